"""Measures the history with a million runs; prints Markdown tables.

python bench/history.py                             SQLite, in a temporary folder
python bench/history.py --url postgresql://...      PostgreSQL, an empty database
python bench/history.py --runs 100000 --keep FOLDER a smaller one, kept for a look at it

The runs are spread over thirty days. Times are medians of whole calls, parsed rows included; the
indexes are those that the database says it uses for the query.
"""

import argparse
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

from lives import DAYS, END, HUB, QUEUES, TASKS, interleaved, list_of_ids, whole_lives
from sqlalchemy import text

from celeriac.events import Event
from celeriac.history import History, RunFilter
from celeriac.history.queries import page

ROUNDS = 9
BATCH = 2000


def main() -> None:
    """Build the runs, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="an empty database; otherwise SQLite in a temporary folder")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="where to leave the SQLite file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="celeriac-bench-") as folder:
        file = (options.keep or Path(folder)) / "history.db"
        history = History(options.url or f"sqlite:///{file}")
        history.migrate()
        measure(history, options.runs)
        if not options.url:
            print(f"\nThe file has {file.stat().st_size / 2**20:,.0f} MiB.")
        history.close()


def measure(history: History, number: int) -> None:
    """Print everything that there is to know."""
    chance = random.Random(1)
    lives = list_of_ids(number)
    rates = [
        ("all events of a run in one batch", record(history, whole_lives(lives, chance))),
        ("each event of a run in another batch", record(history, interleaved(7, number, chance))),
        (
            "the same with UUIDv4, as of other clients",
            record(history, interleaved(4, number, chance)),
        ),
    ]
    print(
        f"\n| {history.database.dialect}, {number:,} runs: recording | events/s | CPU µs an event |"
    )
    print("| --- | ---: | ---: |")
    for name, (events, wall_s, cpu_s) in rates:
        print(f"| {name} | {events / wall_s:,.0f} | {cpu_s / events * 1e6:.0f} |")
    analyze(history)
    print("\n| first page of 50 | ms | runs | index |\n| --- | ---: | ---: | --- |")
    for name, wanted in (filters(lives) | alike(history)).items():
        find = partial(history.find, wanted)
        print(f"| {name} | {median_ms(find)} | {len(find().runs)} | {indexes(history, wanted)} |")
    print("\n| other questions | ms |\n| --- | ---: |")
    for name, call in questions(history, lives).items():
        print(f"| {name} | {median_ms(call)} |")


def filters(lives: list[str]) -> dict[str, RunFilter]:
    """Give each filter in its common kind and its rarest kind."""
    return field_filters(lives) | text_filters()


def field_filters(lives: list[str]) -> dict[str, RunFilter]:
    """Give the filters that an index serves, but for the one that says so."""
    failed, revoked = ("FAILURE",), ("REVOKED",)
    week = END - timedelta(days=7)
    return {
        "no filter": RunFilter(),
        "a day, two weeks ago": RunFilter(
            since=END - timedelta(days=15), until=END - timedelta(days=14)
        ),
        "state": RunFilter(states=revoked),
        "several states": RunFilter(states=(*failed, *revoked, "RETRY")),
        "scheduled": RunFilter(states=("SCHEDULED",)),
        "task": RunFilter(tasks=("shop.pay",)),
        "rare task": RunFilter(tasks=("shop.rarely",)),
        "task and rare state": RunFilter(tasks=("shop.pay",), states=revoked),
        "rare task and rare state": RunFilter(tasks=("shop.rarely",), states=revoked),
        "three tasks, two states, a week": RunFilter(
            tasks=TASKS[:3], states=(*failed, *revoked), since=week
        ),
        "queue": RunFilter(queue="celery_see"),
        "rare queue and state": RunFilter(queue="rare", states=failed),
        "worker": RunFilter(worker="celery@worker3"),
        "worker and state and a week": RunFilter(
            worker="celery@worker3", states=failed, since=week
        ),
        "common tag": RunFilter(tags=("nightly",)),
        "common tag and rare state": RunFilter(tags=("nightly",), states=revoked),
        "rare tag": RunFilter(tags=("customer:17",)),
        "two tags": RunFilter(tags=("customer:17", "nightly")),
        "parent": RunFilter(parent_id=HUB),
        "parent and rare state": RunFilter(parent_id=HUB, states=revoked),
        "root and state": RunFilter(root_id=HUB, states=failed),
        "root of its own": RunFilter(root_id=lives[-9]),
        "resubmitted from": RunFilter(resubmit_of=lives[7]),
        "50 identifiers": RunFilter(ids=tuple(lives[:: len(lives) // 50][:50])),
        "task and worker and queue (no one index)": RunFilter(
            tasks=("shop.audit",), worker="celery@worker3", queue="fast"
        ),
    }


def alike(history: History) -> dict[str, RunFilter]:
    """Give the filters that the groups of failures lead to."""
    groups = sorted(history.failures(END - timedelta(days=DAYS)), key=lambda group: group.count)
    return {
        "failures that look alike, rare": RunFilter(fingerprint=groups[0].fingerprint),
        "failures that look alike, common": RunFilter(fingerprint=groups[-1].fingerprint),
    }


def text_filters() -> dict[str, RunFilter]:
    """Give the searches for text, which scan their time range."""
    month = END - timedelta(days=DAYS)
    return {
        "text, a week, found at once": RunFilter(text="GARLIC"),
        "text, a week, found in few": RunFilter(text="number 77777"),
        "text, a week, found nowhere": RunFilter(text="nowhere to be found"),
        "text with Ö, a week, found nowhere": RunFilter(text="nÖwhere"),
        "text, 30 days, found nowhere": RunFilter(text="nowhere to be found", since=month),
        "text and task, 30 days, nowhere": RunFilter(
            text="nowhere to be found", tasks=("shop.report",), since=month
        ),
    }


def questions(history: History, lives: list[str]) -> dict[str, Callable[[], object]]:
    """Give the other things that pages ask."""
    day, month = END - timedelta(days=1), END - timedelta(days=DAYS)
    return {
        "one run": lambda: history.get(lives[12345 % len(lives)]),
        "count of all, capped at 10,000": history.count,
        "count of a rare state": lambda: history.count(RunFilter(states=("REVOKED",))),
        "count of all, not capped": lambda: history.count(cap=10**9),
        "names for the menus": history.names,
        "longest waiting, by queue": lambda: history.oldest_waiting(QUEUES),
        "1,000 identifiers of a filter": lambda: next(
            history.ids(RunFilter(tasks=TASKS[:1]), 1000)
        ),
        "statistics of a day, 60 buckets": lambda: history.stats(day, END),
        "statistics of 30 days, 60 buckets": lambda: history.stats(month, END),
        "failures of a day, grouped": lambda: history.failures(day),
        "failures of 30 days, grouped": lambda: history.failures(month),
        "export of 2,000 runs": lambda: [
            line for line, _ in zip(history.export(), range(2000), strict=False)
        ],
    }


def record(history: History, events: Iterator[Event]) -> tuple[int, float, float]:
    """Apply all events; gives their number, and the seconds and CPU seconds that applying took."""
    total, wall_s, cpu_s = 0, 0.0, 0.0
    batch: list[Event] = []

    def apply() -> None:
        nonlocal total, wall_s, cpu_s
        began_s, cpu_began_s = time.perf_counter(), time.process_time()
        history.apply(batch)
        wall_s += time.perf_counter() - began_s
        cpu_s += time.process_time() - cpu_began_s
        total += len(batch)
        batch.clear()

    for event in events:
        batch.append(event)
        if len(batch) == BATCH:
            apply()
    apply()
    return total, wall_s, cpu_s


def analyze(history: History) -> None:
    """Let PostgreSQL know what it has, as it does by itself after a while."""
    if history.database.dialect == "postgresql":
        with history.database.read() as connection:
            connection.execute(text("VACUUM ANALYZE"))


def median_ms(call: Callable[[], object]) -> str:
    """Call it once to warm up, then measure some rounds, fewer of a slow one."""
    began_s = time.perf_counter()
    call()
    slow = time.perf_counter() - began_s > 0.3
    times_ms = []
    for _ in range(3 if slow else ROUNDS):
        began_s = time.perf_counter()
        call()
        times_ms.append((time.perf_counter() - began_s) * 1000)
    return f"{statistics.median(times_ms):,.1f}"


def indexes(history: History, wanted: RunFilter) -> str:
    """Name the indexes that the database uses for the first page."""
    database = history.database
    query = page(wanted, None, 51, database.dialect)
    sql = str(query.compile(database.engine, compile_kwargs={"literal_binds": True}))
    prefix = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
    with database.read() as connection:
        # A percent sign would begin a parameter of the driver.
        escaped = sql if database.dialect == "sqlite" else sql.replace("%%", "%").replace("%", "%%")
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(prefix + escaped))
    names = dict.fromkeys(re.findall(r"ix_\w+|SCAN runs(?! USING)|Seq Scan on runs", plan))
    return ", ".join(f"`{name}`" for name in names) or "primary key"


if __name__ == "__main__":
    main()
