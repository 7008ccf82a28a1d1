"""No page shows what was sent as anything but text, and no address reads what it should not."""

from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from flask_openapi import OpenAPI
from werkzeug.datastructures import MultiDict

from access_app import AccessApp
from attack import PAGE, STREAMS, Count, addresses

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
