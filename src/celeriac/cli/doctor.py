"""`celeriac doctor`: try every dependency and setting, one line each."""

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

from celeriac.addresses import DEFAULT_PORTS
from celeriac.cli import options
from celeriac.cli.leaks import ADVICE, Search, Secrets, logs_of
from celeriac.cli.plain import plain
from celeriac.cli.printer import printer
from celeriac.errors import CeleriacError, ConfigurationError
from celeriac.exposure import flower_url
from celeriac.masking import masked
from celeriac.settings import CELERY_VARIABLES, Settings, load_settings

if TYPE_CHECKING:
    from celeriac.runs import RecorderLag, Runs

Logs = Annotated[
    list[str] | None,
    typer.Option(help="A log to search for secrets, several if repeated; - is standard input."),
]
SHORTEST_KEY = 32
MARKS = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "problem": ("✖", "red")}


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    subject: str
    verdict: str
    detail: str


def doctor(log: Logs = None, as_json: options.AsJson = False) -> None:
    """Check each dependency and setting; the exit code is 1 when something is wrong."""
    show = _print_json if as_json else _print
    broken = False
    for finding in _and_secrets(_findings(), log or []):
        show(finding)
        broken = broken or finding.verdict == "problem"
    raise typer.Exit(1 if broken else 0)


def _print(finding: Finding) -> None:
    words = plain(f" {finding.subject:<12} {finding.detail}")
    printer().print(Text.assemble(MARKS[finding.verdict], words))


def _print_json(finding: Finding) -> None:
    print(json.dumps(asdict(finding)), flush=True)


def _findings() -> Iterator[Finding]:
    try:
        settings = load_settings()
        settings.require_urls()
    except ConfigurationError as error:
        yield Finding("settings", "problem", str(error))
        return
    yield Finding("settings", "ok", "complete")
    yield from _environment()
    yield from _keys(settings)
    if settings.message_keys:
        first, *others = settings.message_key_names
        words = f"; {', '.join(others)} accepted too" if others else ""
        yield Finding("messages", "ok", f"signed with the key {first}{words}")
    yield from _servers(settings)
    yield _listening("web", settings.host, settings.port)
    flower = urlsplit(flower_url(settings))
    yield _listening("flower", flower.hostname or "", flower.port or DEFAULT_PORTS[flower.scheme])


def _and_secrets(findings: Iterator[Finding], logs: Sequence[str]) -> Iterator[Finding]:
    """Give the findings, and whether they or a log show a secret."""
    said = []
    for finding in findings:
        said.append(finding)
        yield replace(finding, detail=masked(finding.detail))
    try:
        settings = load_settings()
    except ConfigurationError:
        return
    secrets = Secrets(settings)
    problems = [
        f"{name} shows in what this command says of the {finding.subject}. {ADVICE}"
        for finding in said
        for name in secrets.shown_by(finding.detail)
    ]
    searches = [secrets.search(log) for log in dict.fromkeys([*logs, *logs_of(settings.data_dir)])]
    problems += [problem for search in searches for problem in search.problems()]
    yield from (Finding("secrets", "problem", problem) for problem in problems)
    if not problems:
        yield Finding("secrets", "ok", _nowhere(len(secrets), searches))


def _nowhere(count: int, searches: Sequence[Search]) -> str:
    where = "".join(f"none in {each.lines:,} lines of {each.name}, " for each in searches)
    hint = "" if searches else "; --log FILE searches a log, `--log -` what is piped in"
    return f"the {count} that the settings hold: {where}none here{hint}"


def _keys(settings: Settings) -> Iterator[Finding]:
    key = settings.secret_key
    if key is not None and len(key.get_secret_value()) < SHORTEST_KEY:
        detail = (
            f"CELERIAC_SECRET_KEY has less than {SHORTEST_KEY} characters, so others may guess it "
            "and make cookies of their own; `openssl rand -hex 32` makes a better one"
        )
        yield Finding("settings", "problem", detail)


def _environment() -> Iterator[Finding]:
    for name in CELERY_VARIABLES:
        if os.environ.get(name):
            detail = (
                f"{name} is set: `celeriac worker` and `celeriac flower` ignore it, "
                "the plain `celery` command does not. Unset it before you use that."
            )
            yield Finding("environment", "warning", detail)


def _servers(settings: Settings) -> Iterator[Finding]:
    from celeriac.runs import Runs

    try:
        runs = Runs.of(settings)
    except CeleriacError as error:
        yield Finding("tasks", "problem", str(error))
        return
    yield Finding("tasks", "ok", f"{len(runs.catalog.tasks)} registered")
    if any(task.name == "email.send" for task in runs.catalog.tasks):
        yield _mail(settings)
    problems = runs.check()
    for name, problem in problems.items():
        yield Finding(name, "problem" if problem else "ok", problem or "answers")
    if not problems["broker"]:
        yield _queues(runs.queues.definitions.differences())
        if said := runs.queues.definitions.said_of_teams():
            yield Finding("queues", "warning", said)
        if version := runs.queues.definitions.forgets_long_runs():
            yield _long_runs(version)
        yield _dead_letters(runs.dead_letters.counts())
        yield _workers(runs.workers.ping)
    if not problems["redis"]:
        yield _recorder(runs.recorder_lag())
        yield from _fleet(runs)


def _workers(workers_of: Callable[[], list[str]]) -> Finding:
    workers = workers_of()
    if workers:
        return Finding("workers", "ok", ", ".join(workers))
    return Finding("workers", "problem", "none answers a ping; start one with `celeriac worker`")


def _fleet(runs: "Runs") -> Iterator[Finding]:
    """Tell what may be forgotten: workers that went without a word, and queues held back."""
    lost = [each.name for each in runs.workers.all() if each.state == "lost"]
    if lost:
        yield Finding("workers", "warning", f"lost within a day: {', '.join(lost)}")
    paused = [each.name for each in runs.queues.all() if each.paused]
    if paused:
        yield Finding("queues", "warning", f"paused: {', '.join(paused)}")


def _queues(differences: Mapping[str, str]) -> Finding:
    if not differences:
        return Finding("queues", "ok", "defined as they should be")
    name, detail = next(iter(differences.items()))
    others = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
    how = "Stop the workers and run `celeriac queues migrate`; it keeps the messages."
    return Finding("queues", "problem", f"{name}{others} is defined otherwise ({detail}). {how}")


def _long_runs(version: str) -> Finding:
    detail = (
        f"RabbitMQ {version} gives out again what takes longer than its consumer_timeout, which is "
        "30 minutes unless rabbitmq.conf says more: consumer_timeout = 86400000"
    )
    return Finding("long runs", "warning", detail)


def _dead_letters(counts: Mapping[str, int]) -> Finding:
    if not counts:
        return Finding("dead letters", "ok", "none")
    words = ", ".join(f"{count:,} of {name}" for name, count in counts.items())
    return Finding("dead letters", "warning", f"{words}; look: `celeriac dead-letters list`")


def _recorder(lag: "RecorderLag") -> Finding:
    warning = lag.is_noteworthy or not lag.is_running
    return Finding("recorder", "warning" if warning else "ok", lag.words)


def _listening(role: str, host: str, port: int) -> Finding:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return Finding(role, "warning", f"nothing listens on {host}:{port}")
    return Finding(role, "ok", f"listens on {host}:{port}")


def _mail(settings: Settings) -> Finding:
    if settings.smtp_url is None:
        return Finding("mail", "warning", "CELERIAC_SMTP_URL is not set; email.send will fail")
    server = urlsplit(settings.smtp_url.get_secret_value())
    return Finding("mail", "ok", f"sends by {server.hostname} as {settings.smtp_from}")
