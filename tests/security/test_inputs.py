"""Whatever is sent, nothing fails inside, and no page shows it as anything but text."""

import json
import random
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi import OpenAPI
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from access_app import AccessApp
from attack import LOG_OUT, PAGE, STREAMS, Count, addresses, clients
from celeriac.access import Role

TRACEBACK = "Traceback (most recent call last)"
SEED = 20_261_130
MANY = 1_500
"""How many malformed requests each of the tests sends."""
SCRIPTS = (
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'-alert(1)-'",
    "</title><svg onload=alert(1)>", "{{7*7191}}", "${7*7191}", "javascript:alert(1)//<b>",
)  # fmt: skip
CANARY = "x-canary"
BREAKOUT = (
    f"javascript:x' {CANARY}=' {CANARY}=\" {CANARY}> --></script></style></textarea></title>"
    f"<{CANARY}>\r\n{CANARY}: 1"
)
"""It ends whatever it may stand in: an attribute, a comment, a script, a header."""
LEADING = ("href", "src", "action", "formaction")
TASKS = ("text.reverse", "primes.count", "email.send", "no.such", "../x", "x" * 300)
TYPES = (
    "application/json", "application/x-ndjson", "text/plain", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "multipart/form-data", "application/json; charset=utf-16",
    "application/json; charset=no-such", "", "\x7f", "application/xml",
)  # fmt: skip
BODIES: tuple[bytes, ...] = (
    b"", b"{", b"[]", b"null", b"0", b'"x"', b"{}" * 50, b"\xff\xfe\x00", b"\x00" * 64,
    b"[" * 20_000, b'{"a":' * 5_000, b'{"args": NaN}', b'{"args": 1e999}', b"9" * 5_000,
    b'{"args": {"text": "\\ud800"}}', b'{"args": {"text": "\\u0000"}}', b'{"args": {"text": 1}}',
    b'{"args": {}, "args": {"text": "x"}}', b'{"__proto__": {"a": 1}}', b'{"args": {"": ""}}',
    b'{"options": {"eta": "9999-12-31T23:59:59+99:99"}}', b'{"options": {"countdown": -1}}',
    b'{"options": {"queue": "\\u0000"}, "args": {"text": "x"}}', b'{"options": {"tags": [[]]}}',
    b'{"options": {"priority": 99999999999999999999999}}', b'{"ids": ["\\u0000"]}', b'{"all": 1}',
    b'{"ids": [' + b'"x",' * 9_000 + b'"x"]}', b'{"rate": 1e-320, "all": true}', b'{"filter": 7}',
    b'{"group": "\\ud800"}', b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1",
    b"a=%", b"a=%ff&csrf_token=%00", b"&".join(b"a%d=1" % n for n in range(1_200)),
)  # fmt: skip
QUERIES = (
    "", "limit=-1", "limit=1e9", "limit=%00", "cursor=%ff", "cursor=" + "A" * 5_000, "state=x",
    "state=DEAD&state=dead", "q=%00", "q=" + "%25" * 500, "since=x", "since=9999-99-99",
    "since=-1d", "until=99999999999999999999", "tag=%F0%9F%A5%95", "queue=%ud800", "a=1&a=1",
    "&&&", "=x", "%",
    "span=x", "n=0x10", "foreign=maybe", "most=-1", "by=NaN", "page=99999999999999999999",
)  # fmt: skip
WORDS = (
    "x", "%00", "%ff", "%F0%9F%A5%95", "..%2f..%2fetc%2fpasswd", "%2e%2e", "x" * 3_000, "-1", "a b",
    "'", "%0d%0aSet-Cookie:a=b", "01936d4c-7b7e-7cc0-9a3f-0123456789ab", "%25s%25n", "*", "[",
)  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {}, {"Prefer": "wait=-1"}, {"Prefer": "wait=99999999999999999999"}, {"Prefer": "=;,=="},
    {"Idempotency-Key": '"'}, {"Idempotency-Key": "x" * 5_000}, {"Accept": "*/*;q=x"},
    {"Last-Event-ID": "x"}, {"Range": "bytes=5-1"}, {"If-None-Match": '"' * 50},
    {"Cookie": "=;=;a"}, {"Accept-Language": "x" * 3_000}, {"Content-Encoding": "gzip"},
    {"traceparent": "00-x"},
    {"X-Request-Id": "<b>"}, {"Accept-Encoding": "\xff"}, {"If-Modified-Since": "never"},
)  # fmt: skip


@pytest.fixture(scope="module")
def callers(web: AccessApp) -> list[FlaskClient]:
    found = clients(web)
    # An operator may send more than a viewer, and unlike an administrator ends no user of ours.
    return [found[None], *[found[Role.OPERATOR]] * 3, found[Role.ADMIN]]


def _targets(web: AccessApp, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Give methods and addresses without an end, those of the API that take a body more often."""
    found = []
    for address in addresses(web.app, word="{}"):
        if address.endpoint in {*STREAMS, LOG_OUT}:
            continue
        if address.endpoint.startswith(("admin.", "signing.")):
            continue
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


def test_valid_bodies_with_one_thing_wrong_never_fail(
    callers: list[FlaskClient], count: Count
) -> None:
    chance = random.Random(SEED)
    submission = {"args": {"text": "x"}, "options": {"queue": "celery_see", "tags": ["a"]}}
    odd: list[object] = [
        None, True, -1, 2**70, 1.5e308, "", "\x00", "\ud83e", "x" * 70_000, [], {}, [[[[]]]],
        {"$redacted": True}, {"__celery__": 1}, "${jndi:ldap://x}", "' OR 1=1 --", "%s%n", "\u202e",
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


def test_nothing_that_is_sent_comes_back_as_markup(web: AccessApp, count: Count) -> None:
    browser, tried = web.signed_in("admin"), 0
    for address in addresses(web.app, word="{}"):
        if "GET" not in address.methods or address.endpoint in STREAMS:
            continue
        for script in SCRIPTS:
            answer = browser.get(
                address.path.replace("{}", script.replace("/", "%2f")),
                query_string={
                    name: script for name in ("q", "queue", "task", "state", "tag", "next")
                },
                headers={**PAGE, "Referer": script, "User-Agent": script},
            )
            said = f"{address.path} with {script}"
            assert answer.status_code < 500, said
            if answer.mimetype == "text/html":
                assert "<script>alert" not in answer.text and "<img src=x" not in answer.text, said
                assert "<svg onload" not in answer.text and "50337" not in answer.text, said
                assert "//<b>" not in answer.text, said
            assert answer.headers["X-Content-Type-Options"] == "nosniff", said
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe-eval" not in policy and "script-src 'self'" in policy, said
            tried += 1
            answer.close()
    count("scripts sent to pages, none came back", tried)


def test_no_query_parameter_comes_back_as_markup(web: AccessApp, count: Count) -> None:
    browser = web.signed_in("admin")
    asked, tried = _asked_names(web.app, browser), 0
    assert sum(map(len, asked.values())) > 30, asked
    for path, names in asked.items():
        for query in ({name: BREAKOUT} for name in sorted(names)):
            answer = browser.get(path, query_string=query, headers=PAGE)
            said = f"{path}?{query}"
            assert answer.status_code < 500 and CANARY not in answer.headers, said
            if answer.mimetype == "text/html":
                page = _Markup(answer.text)
                assert CANARY not in page.words and not page.is_running, said
            answer.close()
            tried += 1
    count("scripts sent in query parameters, none came back", tried)


def _asked_names(app: OpenAPI, client: FlaskClient) -> dict[str, set[str]]:
    """Find out which query parameters each page and call looks at, by looking over its shoulder."""
    found: dict[str, set[str]] = {}
    usual = app.request_class

    class Watched(usual):  # type: ignore[misc, valid-type]
        @property
        def args(self) -> _Watched:
            return _Watched(super().args, found[self.path])

    app.request_class = Watched
    try:
        for address in addresses(app):
            if "GET" in address.methods and address.endpoint not in STREAMS:
                found[address.path] = set()
                client.get(address.path, headers=PAGE).close()
    finally:
        app.request_class = usual
    return found


class _Watched(MultiDict[str, str]):
    """A query that notes what is looked for in it."""

    def __init__(self, given: MultiDict[str, str], names: set[str]) -> None:
        super().__init__(given)
        self._names = names

    def get(self, key: str, *more: Any, **named: Any) -> Any:
        self._names.add(key)
        return super().get(key, *more, **named)

    def getlist(self, key: str, *more: Any, **named: Any) -> Any:
        self._names.add(key)
        return super().getlist(key, *more, **named)

    def __contains__(self, key: object) -> bool:
        self._names.add(str(key))
        return super().__contains__(key)


class _Markup(HTMLParser):
    """A page as browsers read it: the names of its tags and attributes, and what would run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: set[str] = set()
        self.is_running = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.words |= {tag, *(name for name, _ in attrs)}
        led = [value or "" for name, value in attrs if name in LEADING]
        self.is_running |= any(place.startswith("javascript:") for place in led)


def test_no_address_reads_files_of_the_machine(web: AccessApp, count: Count) -> None:
    client = web.app.test_client()
    ways = [
        f"/static/{dots}{name}"
        for dots in ("../" * 8, "..%2f" * 8, "%2e%2e/" * 8, "....//" * 8, "..\\" * 8, "/", "")
        for name in (
            "etc/passwd",
            "etc/passwd%00.css",
            "proc/self/environ",
            "../.env",
            "../web/wsgi.py",
        )
    ]
    for way in ways:
        answer = client.get(way)
        assert answer.status_code in (400, 401, 404), way
        assert "root:" not in answer.text and "CELERIAC_" not in answer.text, way
    count("files asked for outside of the static ones", len(ways))
