"""Whatever is sent, nothing fails inside, and the audit trail can be read."""

import json
import random
from collections.abc import Iterator
from itertools import product

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from access_app import AccessApp
from attack import LOG_OUT, STREAMS, Count, addresses, clients, endpoint_of, limited, status_of
from celeriac.access import Role
from celeriac.web.access.permissions import rule_of
from odd_inputs import BODIES, HEADERS, KINDS, LEVELS, QUERIES, TASKS, TYPES, WORDS, nested

TRACEBACK = "Traceback (most recent call last)"
SEED = 20_261_130
MANY = 1_500
"""How many malformed requests each of the tests sends."""


@pytest.fixture(scope="module")
def callers(web: AccessApp) -> list[FlaskClient]:
    found = clients(web)
    # An operator may send more than a viewer, and unlike an administrator ends no user of ours.
    return [found[None], limited(web), *[found[Role.OPERATOR]] * 3, found[Role.ADMIN]]


def _targets(web: AccessApp, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Give methods and addresses without an end, those of the API that take a body more often."""
    found = []
    for address in addresses(web.app, word="{}"):
        if address.endpoint in {*STREAMS, LOG_OUT}:
            continue
        if address.endpoint.startswith(("admin.", "signing.")):
            continue  # What changes anything there takes no JSON, and a form needs its proof.
        for method in sorted(address.methods - {"OPTIONS", "HEAD"}):
            found += [(method, address.path)] * (4 if method != "GET" else 1)
    while True:
        yield chance.choice(found)


def _failed_in_flower(path: str, answer: TestResponse) -> bool:
    """Tell whether Flower itself has no answer to this, which the web says in its own words."""
    found = answer.get_json(silent=True) or {}
    return path.startswith("/flower/") and found.get("code") == "flower_unavailable"


@pytest.mark.timeout(300)
def test_malformed_requests_are_refused_and_never_fail(
    web: AccessApp, callers: list[FlaskClient], count: Count
) -> None:
    chance = random.Random(SEED)
    targets = _targets(web, chance)
    for _ in range(MANY):
        method, path = next(targets)
        word = chance.choice(TASKS if "/tasks/" in path else WORDS)
        asked = f"{path.replace('{}', word)}?{chance.choice(QUERIES)}"
        headers, kind = chance.choice(HEADERS), chance.choice(TYPES)
        body = b"" if method == "GET" else chance.choice(BODIES)
        answer = chance.choice(callers).open(
            asked, method=method, data=body, headers=headers, content_type=kind
        )
        sent = f"{method} {asked} {headers} {kind} {body[:80]!r}: {answer.status}"
        assert answer.status_code < 500 or _failed_in_flower(path, answer), (
            f"{sent} {answer.text[:300]}"
        )
        if answer.mimetype != "text/event-stream":  # It has no end.
            assert TRACEBACK not in answer.text, sent
        answer.close()
    count("malformed requests, none failed", MANY)
    count("entries of the audit trail, read after that", _read_trail(web))


def _read_trail(web: AccessApp) -> int:
    """Read all of it, as it is exported; whoever sent what keeps nobody from that."""
    assert web.told()
    return sum("outcome" in json.loads(line) for line in web.access.audit.export())


def test_every_change_is_told_however_deep_what_is_sent_with_it(
    web: AccessApp, count: Count
) -> None:
    found, tried, before = clients(web), 0, _read_trail(web)
    for address, (number, levels) in product(addresses(web.app), enumerate(LEVELS)):
        rule = rule_of(endpoint_of(web.app, address.path, "POST"))
        if not (rule.keeps and address.path.startswith("/api/")):
            continue
        deep = nested(levels, KINDS[number % len(KINDS)])
        body = f"{{{', '.join(f'{json.dumps(name)}: {deep}' for name in rule.keeps)}}}"
        for role in (Role.VIEWER, Role.ADMIN):
            answer = found[role].post(address.path, data=body, content_type="application/json")
            assert status_of(answer) < 500, f"{address.path} by {role} with {levels} levels"
            tried += 1
    assert tried and _read_trail(web) == before + tried
    count("changes with something deep beside them, each told", tried)


def test_valid_bodies_with_one_thing_wrong_never_fail(
    callers: list[FlaskClient], count: Count
) -> None:
    chance = random.Random(SEED)
    submission = {"args": {"text": "x"}, "options": {"queue": "celery_see", "tags": ["a"]}}
    odd: list[object] = [
        None, True, -1, 2**70, 1.5e308, "", "\x00", "\ud83e", "x" * 70_000, [], {}, [[[[]]]],
        {"$redacted": True}, {"__celery__": 1}, "${jndi:ldap://x}", "' OR 1=1 --", "%s%n", "\u202e",
        *["nested"] * 6,
    ]  # fmt: skip
    paths = ("/api/v1/tasks/text.reverse/runs", "/api/v1/runs/batch", "/api/v1/runs/cancel",
             "/api/v1/dead-letters/replay", "/api/v1/dead-letters/sign")  # fmt: skip
    names = (
        "args",
        "options",
        "text",
        "queue",
        "tags",
        "eta",
        "expires",
        "priority",
        "ids",
        "filter",
    )
    for _ in range(MANY):
        broken = json.loads(json.dumps(submission))
        place = chance.choice([broken, broken["args"], broken["options"]])
        place[chance.choice(names)] = chance.choice(odd)
        path = chance.choice(paths)
        kind = "application/x-ndjson" if path.endswith("batch") else "application/json"
        data = json.dumps(broken | ({"task": "text.reverse"} if path.endswith("batch") else {}))
        data = data.replace('"nested"', nested(chance.choice(LEVELS), chance.choice(KINDS)))
        if not chance.randrange(5):
            data = json.dumps(data)  # JSON in a text of JSON.
        answer = callers[-1].post(path, data=data, content_type=kind)
        assert answer.status_code < 500 and "internal" not in answer.text, f"{path} {data[:300]}"
    count("bodies with one thing wrong, none failed", MANY)


@pytest.mark.parametrize("claims_length", [True, False])
def test_oversized_bodies_are_refused(
    web: AccessApp, callers: list[FlaskClient], count: Count, claims_length: bool
) -> None:
    tried = 0
    body = b'{"args": {"text": "' + b"x" * 2_000_000 + b'"}}'
    for address in addresses(web.app):
        if "POST" not in address.methods or not address.path.startswith("/api/"):
            continue
        if address.endpoint == LOG_OUT:
            continue
        if address.path.endswith("/batch"):  # It takes any number of lines, and each has a limit.
            continue
        given = {} if claims_length else {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        answer = callers[-1].post(
            address.path, data=body, content_type="application/json", environ_overrides=given
        )
        assert answer.status_code in (400, 404, 413, 415, 422), f"{address.path}: {answer.status}"
        tried += 1
    count("oversized bodies, refused", tried)


def test_logging_out_ends_the_token_whatever_is_sent_with_it(web: AccessApp, count: Count) -> None:
    for body in (*BODIES, b"x" * 2_000_000):
        client = clients(web)[Role.OPERATOR]
        given = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        answer = client.post("/api/v1/me/log-out", data=body, environ_overrides=given)
        assert (answer.status_code, answer.data) == (204, b""), body[:80]
        assert client.get("/api/v1/me").status_code == 401, body[:80]
    count("bodies sent to log out, and each token ended", len(BODIES) + 1)
