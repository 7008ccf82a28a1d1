"""The page of dead letters asks before it replays many, ends in time, and tells their number."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from celeriac.runs import Letter, LetterList, LetterProgress, LetterSelection, Runs
from celeriac.runs.letters import groups_of
from celeriac.settings import load_settings
from celeriac.web import create_app, dead_letter_pages


def _letter(name: str, task: str) -> Letter:
    return Letter(id=name, group=task, queue="celery_see", reason="rejected", task=task)


class _Letters:
    """Three letters of two groups; a replay of all goes on until it is stopped."""

    known_counts: dict[str, int] | None = None

    def __init__(self) -> None:
        self.replayed: list[LetterSelection] = []

    def find(self, queue: str | None = None, group: str | None = None) -> LetterList:
        letters = [_letter("1", "charge"), _letter("2", "charge"), _letter("3", "report")]
        return LetterList(letters=letters, groups=groups_of(letters), total=3)

    def replay(
        self, selection: LetterSelection, rate: float | None = None
    ) -> Iterator[LetterProgress]:
        self.replayed.append(selection)
        done = 0
        while not selection.ids:
            yield LetterProgress(total=3, seen=done, done=done)
            done += 1
        yield LetterProgress(total=3, seen=1, done=1, finished=True)

    discard = replay


@pytest.fixture
def letters() -> _Letters:
    return _Letters()


@pytest.fixture
def client(tmp_path: Path, letters: _Letters, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    settings = load_settings(
        join_stack=False, broker_url="amqp://nobody", redis_url="redis://nobody", data_dir=tmp_path
    )
    runs = Runs.of(settings)
    monkeypatch.setattr(runs, "dead_letters", letters)
    app = create_app(settings, runs)
    app.config["WTF_CSRF_ENABLED"] = False
    return app.test_client()


def test_number_is_told_from_memory(client: FlaskClient, letters: _Letters) -> None:
    assert client.get("/dead-letters/count.json").json == {"queues": None, "total": None}

    letters.known_counts = {"celery_see": 2, "reports": 1}

    told: Any = client.get("/dead-letters/count.json").json
    assert (told["total"], told["queues"]["reports"]) == (3, 1)
    page = client.get("/tasks").text
    assert "<b>3</b>" in page


@pytest.mark.parametrize(
    ("form", "question", "which"),
    [
        ({"all": "true"}, "Replay 3 letters?", "All dead letters, of every queue."),
        ({"group": "charge"}, "Replay 2 letters?", "Those of charge in the queue celery_see"),
        ({"all": "true", "queue": "celery_see"}, "Replay 3 letters?", "of the queue celery_see."),
    ],
)
def test_many_letters_are_asked_about_once(
    client: FlaskClient, letters: _Letters, form: dict[str, str], question: str, which: str
) -> None:
    page = client.post("/dead-letters/replay", data=form).text

    assert question in page and which in page
    assert letters.replayed == []


def test_one_letter_is_replayed_without_a_question(client: FlaskClient, letters: _Letters) -> None:
    answer = client.post("/dead-letters/replay", data={"id": "1"})

    assert answer.status_code == 303
    assert [each.ids for each in letters.replayed] == [["1"]]


@pytest.mark.parametrize(
    ("action", "meant"), [("replay", {"confirmed": "1"}), ("discard", {"confirm": "discard"})]
)
def test_long_action_ends_in_time_and_says_how_far_it_came(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, action: str, meant: dict[str, str]
) -> None:
    monkeypatch.setattr(dead_letter_pages, "GOES_ON_S", 0.0)

    answer = client.post(f"/dead-letters/{action}", data={"all": "true", **meant})

    assert answer.status_code == 303
    page = client.get("/dead-letters").text
    assert "Ask again to go on." in page
    assert "without scripts" not in page
