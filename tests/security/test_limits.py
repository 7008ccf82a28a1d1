"""An operator who is limited to some tasks and queues reaches no other, whatever is sent."""

import json
from collections.abc import Iterator
from itertools import islice, product
from typing import Any, Final

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from access_app import AccessApp
from attack import (
    FOREIGN_TASK,
    METHODS,
    QUEUES,
    Count,
    addresses,
    clients,
    endpoint_of,
    limited,
    status_of,
)
from celeriac.access import Role
from celeriac.runs import Runs, SubmitOptions
from celeriac.web.access.permissions import rule_of
from celeriac.web.context import EXTENSION
from odd_inputs import LEVELS, nested, twice

SECRET: Final = "celery_see"
"""The queue that tasks go to by themselves, and which is out of reach."""
NAMED: tuple[Any, ...] = (
    "fast", "faster", SECRET, None, "", " ", " fast", "fast ", "FAST", "fast\0", "*", "fa*",
    "fast,celery_see", ["fast"], ["fast", SECRET], {"fast": 1}, {"name": SECRET}, 0, 1, True, False,
    "fa\u017ft", "\ufb00ast", "\u202efast", "fast\n", "'fast'", '"fast"', "null", "nested",
)  # fmt: skip
KEYS: Final = ("queue", "Queue", "queue ", "options.queue", "queue\0", "routing_key", "exchange")
TYPES: Final = (
    "application/json", "application/vnd.api+json", "application/x-ndjson", "",
    "application/x-www-form-urlencoded", "application/json; charset=utf-16",
)  # fmt: skip
FORMS: Final = {
    "text.reverse": {"args.text": "x"},
    FOREIGN_TASK: {"args.to.0": "bob@example.com", "args.subject": "x", "args.body": "x"},
}
MAIL: Final[dict[str, Any]] = {"to": ["bob@example.com"], "subject": "x", "body": "x"}


@pytest.fixture(scope="module")
def runs(web: AccessApp) -> Runs:
    found: Runs = web.app.extensions[EXTENSION].runs
    return found


@pytest.fixture(scope="module")
def caller(web: AccessApp) -> FlaskClient:
    return limited(web)


@pytest.fixture(scope="module")
def places(runs: Runs) -> dict[str, str]:
    """Give where runs are made, and the task each is about."""
    mine = runs.submit("text.reverse", {"text": "x"}, SubmitOptions(queue="fast"))
    usual = runs.submit("text.reverse", {"text": "x"}, SubmitOptions())
    mail = runs.submit(FOREIGN_TASK, MAIL, SubmitOptions(queue="fast"))
    found = {f"/api/v1/runs/{run.id}/resubmit": run.task or "" for run in (mine, usual, mail)}
    found |= {f"/runs/{run.id}/resubmit": run.task or "" for run in (mine, usual, mail)}
    for task in ("text.reverse", FOREIGN_TASK):
        found |= {f"/api/v1/tasks/{task}/runs": task, f"/tasks/{task}/runs": task}
    return found


def test_what_reaches_any_task_or_queue_is_refused(
    web: AccessApp, caller: FlaskClient, count: Count
) -> None:
    tried = 0
    for address, method in product(addresses(web.app), METHODS):
        asked = rule_of(endpoint_of(web.app, address.path, method))
        if asked.reach != "all" or asked.role is None or asked.role is Role.VIEWER:
            continue
        assert status_of(caller.open(address.path, method=method)) == 403, address
        tried += 1
    assert tried
    count("requests beyond somebody's limits, refused", tried)


def _bodies(task: str) -> Iterator[bytes]:
    """Give bodies that name a queue in every way, as JSON, as JSON in a text, and as a form."""
    args: dict[str, Any] = {"text": "x"} if task == "text.reverse" else MAIL
    for key, named in product(KEYS, NAMED):
        for body in ({"args": args, "options": {key: named}}, {"args": args, key: named}):
            text = json.dumps(body).replace('"nested"', nested(LEVELS[-4], "both"))
            yield text.encode()
            if key == "queue":
                yield from (twice(text), twice(text, 2), text.encode("utf-16"))
    one, other = ('{"queue": "fast"}', f'{{"queue": "{SECRET}"}}')
    for first, second in ((one, other), (other, one), (one, "{}"), (one, "null")):
        yield f'{{"args": {json.dumps(args)}, "options": {first}, "options": {second}}}'.encode()
    yield from (b"", b"null", b"{}", json.dumps({"args": args}).encode(), b"[]", b'"{}"')


@pytest.mark.timeout(300)
def test_no_body_leads_a_limited_operator_to_another_queue(
    caller: FlaskClient, runs: Runs, places: dict[str, str], count: Count
) -> None:
    tried = reached = 0
    for path, task in places.items():
        if not path.startswith("/api/"):
            continue
        every = 10 if task == FOREIGN_TASK else 1
        for number, body in enumerate(islice(_bodies(task), None, None, every)):
            for kind in (TYPES[0], *TYPES[1 + number % len(TYPES) :][:1]):
                answer = caller.post(path, data=body, content_type=kind)
                reached += _is_within(answer, runs, f"{path} {kind} {body[:200]!r}")
                tried += 1
    assert reached, "what is within reach was not reached either"
    count("bodies of a limited operator, none beyond the limits", tried)


def test_no_form_leads_a_limited_operator_to_another_queue(
    web: AccessApp, runs: Runs, places: dict[str, str], count: Count
) -> None:
    """A page takes a token as well, and then the proof that comes with its form."""
    proven, tried, reached = _Proven(web), 0, 0
    words = [each for each in NAMED if isinstance(each, str)]
    queues = [
        [],
        *([a] for a in words),
        *(["fast", a] for a in words),
        *([a, "fast"] for a in words),
    ]
    pages = {path: task for path, task in places.items() if not path.startswith("/api/")}
    earlier_ones = ["", *(path.split("/")[2] for path in pages if path.startswith("/runs/"))]
    for (path, task), named, earlier in product(pages.items(), queues, earlier_ones):
        answer = proven.post(path, {**FORMS[task], "resubmit_of": earlier, "options.queue": named})
        reached += _is_within(answer, runs, f"{path} {named} {earlier}")
        tried += 1
    assert reached, "what is within reach was not reached either"
    count("forms of a limited operator, none beyond the limits", tried)


class _Proven:
    """A browser of a limited operator, which sends forms with their proof."""

    def __init__(self, web: AccessApp) -> None:
        self._client = limited(web)
        page = self._client.get("/tasks/text.reverse", headers={"Accept": "text/html"}).text
        self._proof = page.partition('name="csrf-token" content="')[2].partition('"')[0]
        assert self._proof

    def post(self, path: str, fields: dict[str, Any]) -> TestResponse:
        """Send a form."""
        return self._client.post(path, data={**fields, "csrf_token": self._proof})


def _is_within(answer: TestResponse, runs: Runs, said: str) -> bool:
    """Tell whether a run was made; fail if it is beyond the limits, or the answer an error."""
    assert answer.status_code < 500 and "stale_form" not in answer.text, f"{said}: {answer.text}"
    run_id = answer.headers.get("Location", "").rpartition("/runs/")[2]
    answer.close()
    if answer.status_code not in (200, 202, 303) or not run_id:
        return False
    run = runs.get(run_id)
    assert run.queue in QUEUES and (run.task or "").startswith("text."), said
    return True


def test_limits_are_no_others_business(web: AccessApp) -> None:
    answer = clients(web)[Role.OPERATOR].post(
        "/api/v1/tasks/text.reverse/runs", json={"args": {"text": "x"}}
    )

    assert answer.status_code == 202
