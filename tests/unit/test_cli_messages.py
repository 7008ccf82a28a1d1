"""What the command line says when something is wrong, missing or left."""

import sys
from collections.abc import Iterator
from io import StringIO
from typing import cast

import pytest
import typer

import celeriac
from celeriac.catalog import Catalog, TaskSpec
from celeriac.cli import batch, show
from celeriac.cli import main as run_command
from celeriac.cli.asking import confirm
from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    UnconfirmedError,
    UnknownTaskError,
)
from celeriac.runs import Run, Runs, RunState

RUN = Run(id="01a203e3-563b-72b1-82c1-95fc09e9bef4", state=RunState.STARTED)


class LeftRuns:
    """Somebody presses Ctrl-C as soon as it is waited for a run."""

    def watch(self, _: str) -> Iterator[Run]:
        yield RUN
        raise KeyboardInterrupt


class Pressed(StringIO):
    """Gives an answer as another program does."""


def _said(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["celeriac", *words])
    with pytest.raises(SystemExit) as left:
        run_command()
    printed = capsys.readouterr()
    return cast(int, left.value.code), printed.out + printed.err


def test_version_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = _said(["--version"], monkeypatch, capsys)

    assert answer == (0, f"celeriac {celeriac.__version__}\n")


@pytest.mark.parametrize(
    ("words", "begin"),
    [
        (["--state", "foo"], "celeriac: --state: 'foo' is none of PENDING,"),
        (["--since", "yesterday"], "celeriac: --since: Write an instant"),
        (["--cursor", "nonsense"], "celeriac: --cursor: "),
        (["--tag", ""], "celeriac: --tag: Give it a value, or leave it out."),
        (["--tag", "a", "--tag", ""], "celeriac: --tag: Give it a value"),
        (["--text", ""], "celeriac: --text: Give it a value"),
        (["--finished-since", ""], "celeriac: --finished-since: Give it a value"),
    ],
)
def test_wrong_option_is_named_as_it_was_typed(
    words: list[str],
    begin: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = _said(["runs", "list", *words], monkeypatch, capsys)

    assert (code, said[: len(begin)]) == (2, begin)


@pytest.mark.parametrize(
    "words",
    [
        ["history", "export", "--parent", ""],
        ["runs", "cancel", "--tag", "a", "--queue", ""],
        ["runs", "list", "--cursor", ""],
        ["runs", "tail", "--task", ""],
        ["dead-letters", "list", "--queue", ""],
        ["dead-letters", "discard", "--all", "--group", ""],
        ["audit", "export", "--actor", ""],
        ["audit", "list", "--since", ""],
        ["stats", "--until", ""],
    ],
)
def test_empty_value_of_a_filter_is_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = _said(words, monkeypatch, capsys)

    assert (code, words[-2] in said, "leave it out" in said) == (2, True, True)


def test_limit_says_nothing_about_all_pages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = _said(["runs", "list", "--all", "--limit", "3"], monkeypatch, capsys)

    assert (code, "not both" in said) == (2, True)


@pytest.mark.parametrize("answer", ["", "n\n"])
def test_question_that_nobody_answers_names_the_option(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Pressed(answer))

    with pytest.raises(typer.Exit):
        confirm("Drop all?")

    assert "Add --yes" in capsys.readouterr().err


def test_wait_that_is_left_tells_how_to_find_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as left:
        show.submitted(cast(Runs, LeftRuns()), RUN, wait=True, as_json=False)

    assert left.value.exit_code == 130
    assert f"celeriac run show {RUN.id}" in capsys.readouterr().err


class EndedRuns:
    """Tells the end of a run to whoever waits for it."""

    def __init__(self, *states: RunState) -> None:
        self.states = states

    def watch(self, _: str) -> Iterator[Run | None]:
        for state in self.states:
            yield RUN.model_copy(update={"state": state})
            yield None


def test_run_that_is_waited_for_is_shown_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    where = cast(Runs, EndedRuns(RunState.STARTED, RunState.SUCCESS))

    show.awaited(where, RUN, as_json=True)

    assert '"state":"SUCCESS"' in capsys.readouterr().out.replace(" ", "")


def test_run_that_has_ended_is_waited_for_by_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    failed = RUN.model_copy(update={"state": RunState.FAILURE})

    with pytest.raises(typer.Exit) as left:
        show.awaited(cast(Runs, None), failed, as_json=True)

    assert left.value.exit_code == 1
    assert RUN.id in capsys.readouterr().out


def test_task_is_found_without_its_module() -> None:
    names = ("nasty.fast", "other.slow", "shop.orders.place")
    catalog = Catalog({name: cast(TaskSpec, None) for name in names})

    for wrong, meant in (("fast", "nasty.fast"), ("orders.place", "shop.orders.place")):
        with pytest.raises(UnknownTaskError) as error:
            catalog.get(wrong)
        assert error.value.near[:1] == (meant,)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([3], "line 3:"),
        ([2, 3, 4, 9], "lines 2-4, 9:"),
        (list(range(1, 41, 2)), "lines 1, 3, 5, 7, 9, 11, 13, 15, 17, 19 and 10 more:"),
    ],
)
def test_lines_to_send_again_are_told(lines: list[int], words: str) -> None:
    assert words in batch._advice(lines)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (BrokerUnavailableError("away"), True),
        (UnconfirmedError("run-1"), False),
        (UnknownTaskError("a.b"), False),
        (None, False),
    ],
)
def test_line_that_may_run_all_the_same_is_not_to_be_sent_again(
    error: CeleriacError | None, again: bool
) -> None:
    assert batch.is_to_send_again(error) is again
