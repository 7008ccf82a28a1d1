"""`celeriac top`: what happens now, in a terminal, drawn anew every other second."""

import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli.place import servers

if TYPE_CHECKING:
    from rich.console import Console

    from celeriac.cli.keys import Keys
    from celeriac.runs import Runs, Span

LEAVE = frozenset("qQ\x1b\x03")
FARTHER, NEARER = frozenset("+l>"), frozenset("-h<")
LOOK_FOR_KEYS_S = 0.2


def top(
    span: Annotated[
        str, typer.Option("--range", help="How far back: 15m, 1h, 6h, 24h, 7d or 30d.")
    ] = "1h",
    every_s: Annotated[
        float, typer.Option("--every", min=0.5, max=60, help="Seconds between two looks.")
    ] = 2,
    once: Annotated[bool, typer.Option("--once", help="Print one look and end.")] = False,
) -> None:
    """Watch queues, workers, runs and failures; `q` leaves, `+` and `-` change the range."""
    from rich.console import Console

    from celeriac.cli.top_view import screen
    from celeriac.runs import Runs

    chosen = _span(span)
    runs = Runs.of(servers())
    console = Console()
    with closing(runs.history):
        if once or not console.is_terminal:
            glance = runs.overview.look(chosen)
            console.print(screen(glance, console.width, None))
        else:
            _watch(runs, chosen, every_s)


def _span(name: str) -> "Span":
    from celeriac.runs import SPANS

    if name not in SPANS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(SPANS)}.", param_hint="--range")
    return SPANS[name]


def _watch(runs: "Runs", span: "Span", every_s: float) -> None:
    """Draw until somebody leaves; the terminal is as it was afterwards, however that came."""
    from rich.console import Console
    from rich.live import Live

    from celeriac.cli.keys import Keys
    from celeriac.cli.top_view import screen

    told = _Told()
    console = Console()
    with Keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while not told.to_leave:
            glance = runs.overview.look(span)
            live.update(screen(glance, *console.size), refresh=True)
            key = _key(keys, every_s, console, told)
            if key in LEAVE:
                return
            span = _changed(span, key)


class _Told:
    """Remembers a signal to leave: an exception could be raised where Python swallows it."""

    def __init__(self) -> None:
        self.to_leave = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._leave)

    def _leave(self, *_: object) -> None:
        self.to_leave = True


def _key(keys: "Keys", every_s: float, console: "Console", told: _Told) -> str:
    """Wait for a key, for the next look, a signal, or until the window has another size."""
    size = console.size
    until_s = time.monotonic() + every_s
    while not told.to_leave and (left_s := until_s - time.monotonic()) > 0:
        if key := keys.read(min(left_s, LOOK_FOR_KEYS_S)):
            return key
        if console.size != size:
            break
    return ""


def _changed(span: "Span", key: str) -> "Span":
    from celeriac.runs import SPANS

    spans = list(SPANS.values())
    step = (key in FARTHER) - (key in NEARER) if key else 0
    return spans[max(0, min(len(spans) - 1, spans.index(span) + step))]
