"""What `celeriac run tail` prints of each thing that happens."""

from datetime import UTC, datetime, timedelta

import pytest

from celeriac.cli.tail_one import _Printer
from celeriac.events import Event, EventKind
from celeriac.runs import LogLine, Run, RunState

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


def _line(text: str, attempt: int = 1) -> LogLine:
    return LogLine(id="1-0", at=NOW, level="INFO", logger="x", text=text, attempt=attempt)


def _words(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Give what was printed, without the times."""
    return [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]


def test_line_is_printed_whole_and_cannot_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _Printer().show(_line("[red]not markup[/red] \x1b]0;title\x07 " + "x" * 300))

    assert _words(capsys) == ["INFO     [red]not markup[/red] �]0;title� " + "x" * 300]


def test_each_state_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    printer = _Printer()
    run = Run(id="r", task="t", state=RunState.STARTED, attempts=1, worker="w", started_at=NOW)
    printer.show(run)
    printer.show(Event("r", EventKind.STARTED, NOW, {"attempt": 1, "worker": "w"}))
    printer.show(Event("r", EventKind.SUCCEEDED, NOW, {"attempt": 1}))
    printer.show(run.model_copy(update={"state": RunState.SUCCESS}))

    assert _words(capsys) == ["▶ STARTED t on w", "✔ SUCCESS"]


def test_progress_is_printed_once_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    printer = _Printer()
    for tenths in range(25):
        at = NOW + timedelta(seconds=tenths / 10)
        data = {"current": tenths, "total": 1000, "message": "on the way"}
        printer.show(Event("r", EventKind.PROGRESS, at, data))

    assert _words(capsys) == [f"  {n} of 1,000 on the way" for n in (0, 10, 20)]


def test_lines_of_the_next_attempt_are_set_apart(capsys: pytest.CaptureFixture[str]) -> None:
    printer = _Printer()
    printer.show(_line("a"))
    printer.show(_line("b", attempt=2))

    assert _words(capsys) == ["INFO     a", "attempt 2", "INFO     b"]
