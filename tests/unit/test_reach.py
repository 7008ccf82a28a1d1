"""What somebody reaches whose rights are limited to some tasks and queues."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from access_app import CHEAP, access_app
from celeriac.access import Role, Scope, passwords
from celeriac.web.access.permissions import RULES

SUBMIT = "/api/v1/tasks/text.reverse/runs"
RESUBMIT = "/api/v1/runs/r/resubmit"
RESUBMIT_MINE = "/api/v1/runs/mine/resubmit"
"""Of a run that is in the queue `mine`."""
FORM = "/tasks/text.reverse/runs"


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)


@dataclass
class _Run:
    task: str = "text.reverse"
    queue: str = "slow"


class _Runs:
    """As much of the runs as tells which task and queue a request is about."""

    class catalog:  # noqa: N801 - stands where an attribute does
        @staticmethod
        def get(name: str) -> _Run:
            del name
            return _Run()

    @staticmethod
    def get(run_id: str) -> _Run:
        return _Run(queue="mine") if run_id == "mine" else _Run()


MANY = ("/api/v1/runs/batch", "/api/v1/runs/cancel", "/api/v1/workers/w/shutdown", "/runs/actions")


@pytest.mark.parametrize(
    ("scope", "let_in"),
    [
        (Scope(tasks=("text.*",)), {"submit", "resubmit", "elsewhere"}),
        (Scope(tasks=("mail.*",)), {"elsewhere-slow"}),
        (Scope(queues=("slow",)), {"submit", "resubmit", "pause slow", "elsewhere-slow"}),
        (Scope(queues=("fast",)), {"elsewhere", "pause fast"}),
        (Scope(), {"submit", "resubmit", "elsewhere", "elsewhere-slow", "pause slow",
                   "pause fast", *MANY}),
    ],
    ids=["its tasks", "other tasks", "its queue", "another queue", "everything"],
)  # fmt: skip
def test_limited_token_reaches_its_tasks_and_queues_alone(
    tmp_path: Path, scope: Scope, let_in: set[str]
) -> None:
    with access_app(tmp_path, _Runs()) as web:
        web.add("ada", Role.OPERATOR)
        headers = web.bearer("ada", Role.OPERATOR, scope)
        web.app.config["WTF_CSRF_ENABLED"] = False
        for endpoint in RULES:
            web.app.view_functions[endpoint] = lambda **_: "reached"
        client = web.app.test_client()
        calls: dict[str, tuple[str, dict[str, Any]]] = {
            "submit": (SUBMIT, {}),
            "elsewhere": (SUBMIT, {"json": {"options": {"queue": "fast"}}}),
            "elsewhere-slow": (
                "/tasks/mail.send/runs", {"data": {"options.queue": ["slow", "slow"]}}
            ),
            "resubmit": (RESUBMIT, {}),
            "pause slow": ("/api/v1/queues/slow/pause", {}),
            "pause fast": ("/queues/fast/pause", {}),
            **{path: (path, {}) for path in MANY},
        }  # fmt: skip
        reached = {
            name
            for name, (path, more) in calls.items()
            if client.post(path, headers=headers, **more).status_code != 403
        }

    assert reached == let_in


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """Give a program that may use the queue `fast` alone, which is not the usual one."""
    with access_app(tmp_path, _Runs()) as web:
        web.add("ada", Role.OPERATOR)
        web.app.config["WTF_CSRF_ENABLED"] = False
        for endpoint in RULES:
            web.app.view_functions[endpoint] = lambda **_: "reached"
        client = web.app.test_client()
        bearer = web.bearer("ada", Role.OPERATOR, Scope(queues=("fast", "mine")))
        client.environ_base["HTTP_AUTHORIZATION"] = bearer["Authorization"]
        yield client


@pytest.mark.parametrize("claims_length", [True, False])
@pytest.mark.parametrize("body", ['{"options": {"queue": "secret"}}', "x", [], 1, True])
def test_body_that_is_no_object_is_refused_before_anything_reads_it(
    client: FlaskClient, claims_length: bool, body: object
) -> None:
    given = {} if claims_length else {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}

    answer = client.post(RESUBMIT_MINE, json=body, environ_overrides=given)

    assert answer.status_code == 422 and "no object" in answer.text


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (SUBMIT, {"json": {"options": {"queue": None}}}),
        (SUBMIT, {"data": {"options.queue": "fast"}}),
        (RESUBMIT_MINE, {"json": {"options": {"queue": None}}}),
        (RESUBMIT_MINE, {"json": {"options": {"queue": ""}}}),
        (FORM, {"data": {"options.queue": ""}}),
        (FORM, {"data": {"options.queue": ["", "fast"]}}),
        (FORM, {"data": {"options.queue": ["fast", ""]}}),
        (FORM, {"json": {"options": {"queue": "fast"}}}),
    ],
)  # fmt: skip
def test_tasks_own_queue_is_out_of_reach_by_whatever_names_none(
    client: FlaskClient, path: str, more: dict[str, Any]
) -> None:
    assert client.post(path, **more).status_code == 403


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (SUBMIT, {"json": {"options": {"queue": "fast"}}}),
        (RESUBMIT_MINE, {}),
        (RESUBMIT_MINE, {"json": None}),
        (RESUBMIT_MINE, {"json": {"options": {}}}),
        (FORM, {"data": {"options.queue": "fast"}}),
    ],
)  # fmt: skip
def test_queue_within_reach_is_reached(
    client: FlaskClient, path: str, more: dict[str, Any]
) -> None:
    assert client.post(path, **more).status_code == 200
