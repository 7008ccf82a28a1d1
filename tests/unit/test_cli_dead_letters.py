"""Dead letters in the terminal: what the list shows can be given to the other commands."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from celeriac.cli import app
from celeriac.cli import dead_letters as commands
from celeriac.errors import InvalidInputError
from celeriac.runs import Letter, LetterList, LetterProgress, LetterSelection
from celeriac.runs.run import RunError

LETTER = Letter(
    id="d94ff3f2a6d1c0a7b2e1f3d4",
    group="80f04de9aa11bb22",
    queue="celery_see",
    reason="rejected",
    died_at=datetime.now(UTC),
    task="a.package.of.some.depth.with.a.task",
    error=RunError(type="NotRegistered", message="no worker of this queue knows the task"),
)


class _OneLetter:
    def find(self, queue: str | None, group: str | None) -> LetterList:
        return LetterList(letters=[LETTER], groups=[], total=1)


def test_letter_in_a_pipe_stands_whole_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(commands, "_dead_letters", _OneLetter)

    _, line = CliRunner().invoke(app, ["dead-letters", "list"]).stdout.splitlines()

    assert LETTER.task and LETTER.error
    told = (LETTER.id, LETTER.group, LETTER.task, LETTER.queue, LETTER.error.message)
    assert all(words in line for words in told)


def test_discard_that_nobody_confirms_names_the_option() -> None:
    result = CliRunner().invoke(app, ["dead-letters", "discard", "--all"])

    assert result.exit_code == 1
    assert "Add --yes." in result.stderr


def test_letters_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def replay(
            self, selection: LetterSelection, rate: float | None
        ) -> Iterator[LetterProgress]:
            yield LetterProgress(total=3, seen=0, done=0)
            yield LetterProgress(total=3, seen=3, done=1, finished=True)

    monkeypatch.setattr(commands, "_dead_letters", Gone)

    result = CliRunner().invoke(app, ["dead-letters", "replay", "one", "two", "three"])

    assert result.exit_code == 1
    assert "2 of those that you named are no dead letters" in result.stderr


def test_group_whose_start_two_have_is_refused_with_both() -> None:
    letters = [LETTER, LETTER.model_copy(update={"group": "80f0ffffaa11bb22"})]

    with pytest.raises(InvalidInputError, match="80f04de9aa11bb22, 80f0ffffaa11bb22"):
        LetterSelection(group="80f0").with_whole_group(letters)
    assert LetterSelection(group="80f04").with_whole_group(letters).group == LETTER.group
