"""Flower behind our sign-in: what goes to it, what comes from it, and who may ask for what."""

import re
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from uuid import uuid4

import flower as flower_package
import pytest
from flask.testing import FlaskClient
from kombu import Connection
from tornado.template import filter_whitespace
from werkzeug.datastructures import Headers

import celeriac.flower
from access_app import CHEAP, NO_RUNS, AccessApp, access_app
from celeriac.access import Role, Scope, passwords
from celeriac.errors import ConfigurationError, FlowerUnavailableError
from celeriac.exposure import flower_url
from celeriac.flower import run_flower
from celeriac.settings import load_settings
from celeriac.web import headers
from celeriac.web.flower_link import Answer, FlowerLink, Limits, answered_headers, asked_headers
from celeriac.web.flower_pages import LINK, POLICY, SCRIPTS, Question

BASIC_AUTH = "web:correct-horse-battery"
SCRIPT = {"X-Requested-With": "XMLHttpRequest"}
REVOKE = "/flower/api/task/revoke/the-run"


class _Link:
    """Stands where the way to Flower does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.closed = 0
        self.answer: Callable[[], Answer] = lambda: Answer(
            200, Headers({"Content-Type": "text/html"}), iter([b"a page"]), self.close
        )

    def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.answer()

    def close(self) -> None:
        self.closed += 1


class _Run:
    task, queue = "text.reverse", "slow"


class _Runs:
    dead_letters = NO_RUNS.dead_letters

    @staticmethod
    def get(run_id: str) -> _Run:
        del run_id
        return _Run()


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[AccessApp]:
    with access_app(tmp_path, _Runs()) as found:
        yield found


@pytest.fixture
def link(web: AccessApp) -> _Link:
    found = web.app.extensions[LINK] = _Link()
    return found


def _browser(web: AccessApp, role: Role, scope: Scope | None = None) -> FlaskClient:
    """Give a browser of a new user's, which asks as Flower's scripts do."""
    name = f"{role}-{uuid4().hex[:8]}"
    web.add(name, role, scope)
    client = web.signed_in(name)
    client.environ_base["HTTP_X_REQUESTED_WITH"] = "XMLHttpRequest"
    return client


# --- What goes either way -------------------------------------------------------------------------


def test_flower_hears_nothing_of_who_asks() -> None:
    sent = Headers(
        {
            "Accept": "text/html", "content-type": "application/json", "If-None-Match": '"x"',
            "Cookie": "celeriac_session=secret", "Authorization": "Bearer secret",
            "Proxy-Authorization": "secret", "X-Forwarded-For": "192.0.2.1", "Host": "ours",
            "Origin": "https://ours", "Sec-Fetch-Site": "same-origin", "Connection": "X-Hop",
            "X-Hop": "1", "Transfer-Encoding": "chunked", "Upgrade": "websocket", "TE": "trailers",
            "Content-Length": "7", "Expect": "100-continue", "X-Csrftoken": "secret",
        }
    )  # fmt: skip

    assert asked_headers(sent) == {
        "Accept": "text/html", "Content-Type": "application/json", "If-None-Match": '"x"',
    }  # fmt: skip


def test_what_belongs_to_flower_or_a_connection_does_not_leave() -> None:
    answer = Message()
    for name, value in (
        ("Content-Type", "text/html"), ("etag", '"x"'), ("Set-Cookie", "_xsrf=1; Path=/"),
        ("Set-Cookie", "user=ada"), ("Server", "TornadoServer/6"), ("Connection", "close"),
        ("Transfer-Encoding", "chunked"), ("WWW-Authenticate", "Basic"), ("Keep-Alive", "1"),
        ("Access-Control-Allow-Origin", "*"), ("Content-Security-Policy", "script-src *"),
    ):  # fmt: skip
        answer[name] = value

    found = answered_headers(answer, "http://flower:5555")

    assert dict(found) == {"Content-Type": "text/html", "Etag": '"x"'}


@pytest.mark.parametrize(
    ("place", "ours"),
    [
        ("/flower/workers", "/flower/workers"),
        ("http://flower:5555/flower/tasks?state=FAILURE", "/flower/tasks?state=FAILURE"),
        ("tasks", "/flower/tasks"),
        ("https://evil.example/flower", "/flower"),
        ("//evil.example/x", "/x"),
        ("http://flower:5555//evil.example", "/evil.example"),
    ],
)
def test_way_on_stays_here(place: str, ours: str) -> None:
    answer = Message()
    answer["Location"] = place

    assert answered_headers(answer, "http://flower:5555")["Location"] == ours


def test_request_reaches_flower_as_it_was_sent(web: AccessApp, link: _Link) -> None:
    client = _browser(web, Role.VIEWER)

    form = {"draw": "1", "search[value]": "a&b"}
    client.get("/flower/worker/celery%40w%2F1%00%20HTTP/1?a=%0D%0A&b=%C3%A9+\u00e9").close()
    client.post("/flower/tasks/datatable", data=form).close()

    page, search = link.asked
    assert (page.method, page.body) == ("GET", b"")
    assert page.target == "/flower/worker/celery@w/1%00%20HTTP/1?a=%0D%0A&b=%C3%A9+%C3%A9"
    assert (search.method, search.target) == ("POST", "/flower/tasks/datatable")
    assert search.body == b"draw=1&search%5Bvalue%5D=a%26b"
    assert link.closed == 2, "each answer is closed"


def test_address_that_leads_up_is_nothing(web: AccessApp, link: _Link) -> None:
    client = _browser(web, Role.ADMIN)

    for path in ("/flower/../api/v1/runs", "/flower/static/../../app.py"):
        assert client.get(path).status_code == 404
    assert link.asked == []


def test_page_of_flower_runs_its_own_scripts_alone(web: AccessApp, link: _Link) -> None:
    client = _browser(web, Role.VIEWER)
    answer, ours = client.get("/flower/"), client.get("/account")

    policy = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "unsafe-inline" not in policy["script-src"]
    assert policy["frame-ancestors"] == "'none'"
    assert policy["style-src"] == "'self' 'unsafe-inline'"
    assert ours.headers["Content-Security-Policy"] == headers.POLICY
    assert "unsafe-inline" not in headers.POLICY


def test_policy_knows_each_script_that_flower_writes_into_a_page() -> None:
    templates = Path(flower_package.__file__).parent / "templates"
    scripts = [
        script
        for template in sorted(templates.glob("*.html"))
        for script in re.findall(
            r"<script(?![^>]*src=)[^>]*>(.*?)</script>", template.read_text(), re.S
        )
    ]

    written = {
        filter_whitespace("single", script).replace("{{ autorefresh }}", value)
        for script in scripts
        for value in "01"
    }

    assert written == set(SCRIPTS)


# --- Who may ask for what -------------------------------------------------------------------------

ORDERS = {
    "/flower/tasks/datatable": Role.VIEWER,
    REVOKE: Role.OPERATOR,
    "/flower/api/task/abort/the-run": Role.OPERATOR,
    "/flower/api/task/apply/text.reverse": Role.OPERATOR,
    "/flower/api/task/async-apply/text.reverse": Role.OPERATOR,
    "/flower/api/task/send-task/text.reverse": Role.OPERATOR,
    "/flower/api/task/timeout/text.reverse": Role.ADMIN,
    "/flower/api/task/rate-limit/text.reverse": Role.ADMIN,
    "/flower/api/worker/shutdown/celery@w": Role.ADMIN,
    "/flower/api/worker/pool/restart/celery@w": Role.ADMIN,
    "/flower/api/worker/pool/grow/celery@w": Role.ADMIN,
    "/flower/api/worker/pool/shrink/celery@w": Role.ADMIN,
    "/flower/api/worker/pool/autoscale/celery@w": Role.ADMIN,
    "/flower/api/worker/queue/add-consumer/celery@w": Role.ADMIN,
    "/flower/api/worker/queue/cancel-consumer/celery@w": Role.ADMIN,
}


@pytest.mark.parametrize("role", Role)
def test_order_reaches_flower_from_those_alone_who_may(
    web: AccessApp, link: _Link, role: Role
) -> None:
    client = _browser(web, role)
    for path, asked in ORDERS.items():
        answer = client.post(path)
        assert answer.status_code == (200 if role.includes(asked) else 403), path

    reached = [question.target for question in link.asked]
    assert reached == [path for path, asked in ORDERS.items() if role.includes(asked)]


def test_each_order_of_flower_is_known() -> None:
    """A newer Flower may have more; those need a line in the table of permissions."""
    import flower.api.control as control
    import flower.api.tasks as tasks
    from flower.urls import handlers

    posts = set()
    for each in handlers:
        pattern, handler = (
            (each.regex.pattern, each.handler_class) if hasattr(each, "regex") else each[:2]
        )
        if handler.__module__ in (control.__name__, tasks.__name__) and "post" in vars(handler):
            posts.add("/flower" + pattern.rstrip("$").split("(")[0])

    known = {path.rsplit("/", 1)[0] + "/" for path in ORDERS if "/api/" in path}
    assert posts == known


def test_order_that_is_not_known_never_reaches_flower(web: AccessApp, link: _Link) -> None:
    client = _browser(web, Role.ADMIN)

    for path in ("/flower/api/task/anything/x", "/flower/", "/flower/worker/x"):
        assert client.post(path).status_code == client.delete(path).status_code == 405
    assert link.asked == []


def test_refusal_is_told_in_words_to_a_page_of_flower(web: AccessApp, link: _Link) -> None:
    answer = _browser(web, Role.VIEWER).post(REVOKE)

    assert (answer.status_code, answer.mimetype) == (403, "text/plain")
    assert answer.text.startswith("This asks for the role operator; viewer-")
    assert answer.text.endswith(" is viewer. An administrator can change that.\n")
    told = web.told()[-1]
    assert (told.action, told.target, told.outcome) == ("run.cancel", "the-run", "forbidden")


def test_order_stands_in_the_audit_trail(web: AccessApp, link: _Link) -> None:
    client = _browser(web, Role.ADMIN)
    client.post(REVOKE, data={"terminate": "true"})
    client.post("/flower/api/worker/pool/grow/celery@w", data={"workername": "x", "n": "2"})
    client.post("/flower/api/worker/shutdown/celery@w")
    client.get("/flower/")

    told = [(entry.action, entry.target, entry.outcome, entry.detail) for entry in web.told()[-3:]]
    assert told == [
        ("run.cancel", "the-run", "ok",
         {"order": "revoke", "run_id": "the-run", "terminate": "true"}),
        ("worker.change", "celery@w", "ok",
         {"part": "pool", "order": "grow", "name": "celery@w", "n": "2"}),
        ("worker.shutdown", "celery@w", "ok", {"name": "celery@w"}),
    ]  # fmt: skip


def test_limited_operator_cancels_runs_within_reach_and_submits_none(
    web: AccessApp, link: _Link
) -> None:
    slow, fast = (_browser(web, Role.OPERATOR, Scope(queues=(name,))) for name in ("slow", "fast"))
    form = {"terminate": "false"}

    assert slow.post(REVOKE, data=form).status_code == 200
    assert fast.post(REVOKE, data=form).status_code == 403
    submit = "/flower/api/task/send-task/text.reverse"
    assert slow.post(submit, json={"queue": "fast"}).status_code == 403

    (question,) = link.asked
    assert question.body == b"terminate=false", "that somebody looked at the form is no loss"


def test_page_of_another_site_orders_nothing(web: AccessApp, link: _Link) -> None:
    client = _browser(web, Role.ADMIN)
    del client.environ_base["HTTP_X_REQUESTED_WITH"]
    foreign: list[dict[str, str]] = [
        {}, {"Origin": "https://evil.example", **SCRIPT},
        {"Sec-Fetch-Site": "cross-site", **SCRIPT}, {"Sec-Fetch-Site": "same-origin"},
    ]  # fmt: skip

    statuses = [client.post(REVOKE, headers=each).status_code for each in foreign]

    assert statuses == [400, 403, 403, 400]
    assert link.asked == []


def test_token_needs_no_proof(web: AccessApp, link: _Link) -> None:
    web.add("ada", Role.OPERATOR)
    shown = web.bearer("ada", Role.OPERATOR)

    assert web.app.test_client().post(REVOKE, headers=shown).status_code == 200


def test_stranger_is_led_to_sign_in(web: AccessApp, link: _Link) -> None:
    client = web.app.test_client()

    page = client.get("/flower/tasks?state=FAILURE", headers={"Accept": "text/html"})
    statuses = [client.get("/flower/api/workers").status_code, client.post(REVOKE).status_code]

    assert (page.status_code, page.headers["Location"]) == (
        303, "/sign-in?next=/flower/tasks%3Fstate%3DFAILURE",
    )  # fmt: skip
    assert statuses == [401, 401]
    assert link.asked == []


def test_page_says_how_to_start_flower(web: AccessApp, link: _Link) -> None:
    def fail() -> Answer:
        raise FlowerUnavailableError("Flower does not answer at http://flower:5555.")

    link.answer = fail
    client = _browser(web, Role.VIEWER)
    del client.environ_base["HTTP_X_REQUESTED_WITH"]
    page = client.get("/flower/", headers={"Accept": "text/html"})
    program = client.get("/flower/api/workers")

    assert page.status_code == program.status_code == 503
    assert "Flower is away" in page.text and "celeriac flower" in page.text
    assert program.get_json()["code"] == "flower_unavailable"
    assert "Retry-After" in program.headers


def test_nothing_of_flower_is_kept_but_its_files(web: AccessApp, link: _Link) -> None:
    client = _browser(web, Role.VIEWER)
    page = client.get("/flower/")
    link.answer = lambda: Answer(
        200, Headers({"Cache-Control": "max-age=9"}), iter([b"x"]), link.close
    )
    file = client.get("/flower/static/x.js")

    assert page.headers["Cache-Control"] == "no-store"
    assert file.headers["Cache-Control"] == "max-age=9"


def test_flower_that_hangs_holds_a_few_threads_at_most() -> None:
    link = FlowerLink(load_settings(join_stack=False), Limits(at_once=1))
    assert link._free.acquire(blocking=False)

    with pytest.raises(FlowerUnavailableError, match="too much to do"):
        link.ask(Question("GET", "/flower/", Headers()))


# --- The role -------------------------------------------------------------------------------------


class _App:
    def __init__(self) -> None:
        self.arguments: list[str] = []

    def connection_for_read(self) -> Connection:
        return Connection("memory://")

    def start(self, arguments: list[str]) -> None:
        self.arguments = arguments


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> _App:
    found = _App()
    monkeypatch.setattr(celeriac.flower, "create_app", lambda _: found)
    for name in ("_close_metrics", "_tell_health", "_lead_below_prefix"):
        monkeypatch.setattr(celeriac.flower, name, lambda: None)
    return found


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"host": "0.0.0.0"}, []),  # noqa: S104 - refused
        ({"host": "flower-ec2"}, []),
        ({}, ["--address=0.0.0.0"]),
        ({}, ["-address=192.0.2.1"]),
        ({}, ["--address="]),
        ({"host": "::"}, ["--basic_auth="]),
        ({"host": "::"}, ["--auth_provider=flower.views.auth.GithubLoginHandler"]),
        ({"authentication": True}, []),
    ],
)
def test_open_flower_does_not_start(
    app: _App, settings: dict[str, Any], options: list[str]
) -> None:
    with pytest.raises(ConfigurationError, match="CELERIAC_FLOWER_BASIC_AUTH=USER:PASSWORD"):
        run_flower(load_settings(join_stack=False, **settings), options)
    assert app.arguments == []


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, []),
        ({"host": "::1"}, []),
        ({"host": "0.0.0.0", "flower_basic_auth": BASIC_AUTH}, []),  # noqa: S104 - asks
        ({"authentication": True, "flower_basic_auth": BASIC_AUTH}, []),
        ({"host": "::"}, ["--basic-auth=ada:secret"]),
        ({"host": "::"}, ["--auth=ada@example.org"]),
    ],
)
def test_flower_that_asks_or_is_out_of_reach_starts_below_its_prefix(
    app: _App, settings: dict[str, Any], options: list[str]
) -> None:
    run_flower(load_settings(join_stack=False, **settings), options)

    assert "--url_prefix=flower" in app.arguments
    assert app.arguments[len(app.arguments) - len(options) :] == options, "they win"
    assert (f"--basic_auth={BASIC_AUTH}" in app.arguments) is ("flower_basic_auth" in settings)


def test_user_without_a_password_is_none(app: _App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_FLOWER_BASIC_AUTH", "celeriac:")
    settings = load_settings(join_stack=False, host="0.0.0.0")  # noqa: S104 - it does not start

    assert settings.flower_basic_auth is None
    with pytest.raises(ConfigurationError, match="ask nobody"):
        run_flower(settings)
    assert app.arguments == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"flower_basic_auth": "secret-secret-secret"}, "FLOWER_BASIC_AUTH.*USER:PASSWORD"),
        ({"flower_basic_auth": "web:hunter2"}, "FLOWER_BASIC_AUTH.*less than 16"),
        ({"flower_basic_auth": "web:hunter2,hunter2,hunter2"}, "FLOWER_BASIC_AUTH.*comma"),
        ({"flower_url": "http://ada:hunter2@flower"}, "FLOWER_URL.*CELERIAC_FLOWER_BASIC_AUTH"),
        ({"flower_url": "http://flower/other"}, "FLOWER_URL.*/flower/"),
        ({"flower_url": "flower:5555"}, "FLOWER_URL.*expected"),
    ],
)
def test_setting_that_cannot_work_is_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_settings(join_stack=False, **given)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:5555"),
        ({"host": "::1", "flower_port": 81}, "http://[::1]:81"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:5555"),  # noqa: S104 - Flower is not there
        ({"flower_url": "https://flower-ec2:5555/"}, "https://flower-ec2:5555"),
    ],
)
def test_web_finds_flower(given: dict[str, Any], url: str) -> None:
    assert flower_url(load_settings(join_stack=False, **given)) == url
