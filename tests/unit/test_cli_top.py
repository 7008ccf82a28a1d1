"""`celeriac top`: a glance drawn for any terminal, whatever is away."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from celeriac.cli.columns import chart, fitted
from celeriac.cli.top_view import screen
from celeriac.lag import RecorderLag
from celeriac.runs import (
    USUAL_SPAN,
    Failure,
    Glance,
    Part,
    Progress,
    Queue,
    Run,
    RunState,
    Stats,
    StatsBucket,
)
from celeriac.runs.overview import Running

NOW = datetime.now(UTC)


def _bucket(succeeded: int, failed: int = 0) -> StatsBucket:
    return StatsBucket(
        starts_at=NOW, submitted=succeeded + failed, succeeded=succeeded, failed=failed, revoked=0,
        runtime_p50_s=0.5, runtime_p95_s=2, waiting_p50_s=0.01, waiting_p95_s=None,
    )  # fmt: skip


def _glance() -> Glance:
    since, until = USUAL_SPAN.bounds(NOW)
    buckets = [_bucket(n, n // 10) for n in range(60)]
    stats = Stats(
        since=since, until=until, bucket_s=60, buckets=buckets, total=_bucket(1770, 150),
        recorder=None,
    )  # fmt: skip
    run = Run(
        id="01a203aa-0000-7000-8000-000000c9823b", task="orders.[import]", state=RunState.STARTED,
        started_at=NOW - timedelta(seconds=5), progress=Progress(current=1, total=4, message="row"),
    )  # fmt: skip
    failure = Failure(
        fingerprint="f", count=17, first_seen_at=NOW, last_seen_at=NOW, sample_id="x",
        task="mail.send", error_type="shop.MailError", error_message="[red]no\nmail",
    )  # fmt: skip
    return Glance(
        span=USUAL_SPAN, since=since, until=until, stats=Part(stats), before=Part(stats),
        running=Part(Running((run,), 1, is_capped=False)), failures=Part([failure]),
        queues=Part([Queue(name="bulk", ready=1234, paused=True)]), workers=Part([]),
        lag=Part(RecorderLag(3, 0.1, NOW, is_running=True)),
    )  # fmt: skip


def _away() -> Glance:
    since, until = USUAL_SPAN.bounds(NOW)
    missing: Part[object] = Part(problem="It is gone fishing.")
    names = ("stats", "before", "running", "failures", "queues", "workers", "lag")
    parts = dict.fromkeys(names, missing)
    return Glance(span=USUAL_SPAN, since=since, until=until, **parts)  # type: ignore[arg-type]


def _drawn(glance: Glance, width: int, height: int | None = None) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    console.print(screen(glance, width, height))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [30, 59, 60, 99, 100, 180])
def test_every_line_fits_the_terminal(width: int) -> None:
    for glance in (_glance(), _away()):
        assert max(map(len, _drawn(glance, width).splitlines())) <= width


@pytest.mark.parametrize("height", [24, 40])
def test_wide_look_fits_the_height(height: int) -> None:
    assert len(_drawn(_glance(), 120, height).splitlines()) <= height


def test_look_shows_each_part() -> None:
    shown = _drawn(_glance(), 140)

    for text in (
        "1,920",
        "92.19 %",
        "orders.[import]",
        "25%",
        "17\N{MULTIPLICATION SIGN}",
        "MailError",
        "[red]no mail",
    ):
        assert text in shown
    assert "25%" in shown and "17\N{MULTIPLICATION SIGN}" in shown
    assert "1,234 waiting" in shown and "paused" in shown and "No worker" in shown
    assert "3 events behind" in shown and "█" in shown


@pytest.mark.parametrize(
    ("letters", "words"), [(1, "Queues 1 dead letter "), (1200, "Queues 1,200 dead letters ")]
)
@pytest.mark.parametrize("width", [45, 140])
def test_look_says_that_dead_letters_wait(letters: int, words: str, width: int) -> None:
    glance = replace(_glance(), letters=Part(letters))

    assert words in _drawn(glance, width)


def test_look_says_nothing_of_dead_letters_where_there_are_none() -> None:
    assert "dead letter" not in _drawn(replace(_glance(), letters=Part(0)), 140)


def test_look_says_what_is_away() -> None:
    assert _drawn(_away(), 140).count("! It is gone fishing.") == 5


def test_look_says_that_nobody_knows_how_far_the_recorder_is() -> None:
    glance = replace(_glance(), lag=Part(problem="away"))

    assert "Redis does not answer" in _drawn(glance, 140)


def test_chart_stacks_failures_on_what_succeeded() -> None:
    drawn = chart([(8, 8), (16, 0), (0, 1), (0, 0)], width=4, height=2)

    assert drawn.plain == "██  \n██▁ "
    styles = {(span.start, span.style) for span in drawn.spans}
    assert (0, "red") in styles and (1, "green") in styles


@pytest.mark.parametrize("width", [1, 7, 30, 60, 61])
def test_chart_never_loses_a_run(width: int) -> None:
    columns = [(n, n % 3) for n in range(60)]

    kept = fitted(columns, width)

    assert len(kept) <= width
    assert sum(good for good, _ in kept) == sum(good for good, _ in columns)
