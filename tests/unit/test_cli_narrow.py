"""Tables of the command line: whole in a pipe, and no wider than a terminal."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from celeriac.cli import show
from celeriac.runs import Run, RunError, RunState

RUN = Run(
    id="01a203e3-563b-72b1-82c1-95fc09e9bef4",
    task="shop.orders.place_order",
    state=RunState.SUCCESS,
    worker="worker1@a-host-of-some-name-that-is-rather-long.example.com",
    submitted_at=datetime.now(UTC),
)


@pytest.fixture
def lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[int | None], list[str]]:
    def printed(columns: int | None) -> list[str]:
        if columns is None:
            monkeypatch.delenv("COLUMNS", raising=False)
        else:
            monkeypatch.setenv("COLUMNS", str(columns))
        show.run_list([RUN], as_json=False)
        return capsys.readouterr().out.splitlines()

    return printed


def test_pipe_gets_each_run_whole_on_a_line(lines: Callable[[int | None], list[str]]) -> None:
    _, line = lines(None)

    assert RUN.worker and RUN.submitted_at
    date = RUN.submitted_at.astimezone().isoformat(sep=" ", timespec="milliseconds")
    assert line.split("  ")[-1].strip().endswith(RUN.worker)
    assert all(words in line for words in (RUN.id, "shop.orders.place_order", date))


@pytest.mark.parametrize("columns", [64, 72, 80, 100, 120, 200])
def test_terminal_gets_names_and_identifiers_whole_on_a_line(
    lines: Callable[[int | None], list[str]], columns: int
) -> None:
    _, line = lines(columns)

    assert len(line) <= columns
    assert RUN.id in line
    assert "shop.orders.place_order" in line


def test_failed_run_in_a_pipe_keeps_the_lines_of_its_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    path = f'File "/srv/{"folder/" * 30}orders.py", line 7, in place_order'
    error = RunError(type="ValueError", message="No.", traceback=f"Traceback:\n  {path}")

    show.run(RUN.model_copy(update={"state": RunState.FAILURE, "error": error}), as_json=False)

    assert path in capsys.readouterr().out
