"""`celeriac doctor`: try every dependency and setting, one line each."""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.text import Text

from celeriac.errors import CeleriacError, ConfigurationError
from celeriac.settings import CELERY_VARIABLES, Settings, load_settings

MARKS = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "problem": ("✖", "red")}


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    subject: str
    verdict: str
    detail: str


def doctor() -> None:
    """Check each dependency and setting; the exit code is 1 when something is wrong."""
    console = Console()
    broken = False
    for finding in _findings():
        console.print(
            Text.assemble(MARKS[finding.verdict], f" {finding.subject:<12} {finding.detail}")
        )
        broken = broken or finding.verdict == "problem"
    raise typer.Exit(1 if broken else 0)


def _findings() -> Iterator[Finding]:
    try:
        settings = load_settings()
        settings.require_urls()
    except ConfigurationError as error:
        yield Finding("settings", "problem", str(error))
        return
    yield Finding("settings", "ok", "complete")
    yield from _environment()
    yield from _servers(settings)
    yield _listening("web", settings.host, settings.port)
    yield _listening("flower", settings.host, settings.flower_port)
    yield _mail(settings)


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
    problems = runs.check()
    for name, problem in problems.items():
        yield Finding(name, "problem" if problem else "ok", problem or "answers")
    if not problems["broker"]:
        yield _workers(runs.workers)


def _workers(workers_of: Callable[[], list[str]]) -> Finding:
    workers = workers_of()
    if workers:
        return Finding("workers", "ok", ", ".join(workers))
    return Finding("workers", "problem", "none answers a ping; start one with `celeriac worker`")


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
