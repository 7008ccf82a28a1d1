"""Bulk actions in the terminal, and for the programs that call them."""

import json
from collections.abc import Iterator
from io import StringIO

import pytest
import typer

from celeriac.cli import bulk
from celeriac.runs import BulkProgress, RunCount


def _confirmed(found: RunCount, *, dry_run: bool = False, as_json: bool = True) -> None:
    with pytest.raises(typer.Exit):
        bulk.confirm("Cancel", found, yes=True, dry_run=dry_run, as_json=as_json)


def test_dry_run_for_programs_is_what_the_api_answers(capsys: pytest.CaptureFixture[str]) -> None:
    _confirmed(RunCount(1200, True), dry_run=True)

    assert json.loads(capsys.readouterr().out) == {"matched": 1200, "capped": True}


def test_nothing_found_for_programs_is_progress_that_finished(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _confirmed(RunCount(0, False))

    last = json.loads(capsys.readouterr().out)
    assert (last["matched"], last["done"], last["finished"]) == (0, 0, True)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (RunCount(1200, True), "more than 1,200 runs would be gone through."),
        (RunCount(0, False), "0 runs would be gone through."),
    ],
)
def test_dry_run_for_people_is_a_sentence(
    found: RunCount, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _confirmed(found, dry_run=True, as_json=False)

    assert capsys.readouterr().out == f"{words}\n"


def test_question_stands_apart_from_what_programs_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("y\n"))

    bulk.confirm("Cancel", RunCount(3, False), yes=False, dry_run=False, as_json=True)

    printed = capsys.readouterr()
    assert (printed.out.strip(), "Cancel 3 runs?" in printed.err) == ("", True)


@pytest.mark.parametrize("go_on", [bulk.GO_ON, bulk.BEGIN_ANEW])
def test_stopped_action_says_how_to_go_on_without_doubling(
    go_on: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> Iterator[BulkProgress]:
        yield BulkProgress(matched=5, capped=False, done=2)
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit):
        bulk.follow(stopped(), "Resubmitted", as_json=False, go_on=go_on)

    assert f"Stopped. {go_on}" in capsys.readouterr().err
