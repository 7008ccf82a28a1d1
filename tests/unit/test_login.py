"""`celeriac login` and what works by HTTP then, against a web that is in this process."""

import json
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
import typer
from flask.testing import FlaskClient
from requests.adapters import BaseAdapter
from typer.testing import CliRunner, Result
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NewConnectionError

from access_app import CHEAP, NO_RUNS, ROOT, AccessApp, access_app, send
from celeriac.access import Role, passwords
from celeriac.access.errors import LoginLostError
from celeriac.cli import app, login, remote
from celeriac.errors import (
    CeleriacError,
    ConfigurationError,
    HistoryUnavailableError,
    UnknownTaskError,
)
from celeriac.runs import (
    Outcome,
    Run,
    RunFilter,
    RunList,
    RunState,
    SubmitOptions,
    run_filter,
    words_of,
)

URL = "http://localhost:5000"
RUN = "0199e2a0-0000-7000-8000-000000000001"
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


class _App(BaseAdapter):
    """Lets a session ask an app of this process."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.trouble: requests.RequestException | None = None
        self.body = b"<h1>Not now</h1>"
        self.says: list[tuple[int, str | None]] = []
        """What a proxy, or a limit, answers first: status and `Retry-After`."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        if self.trouble:
            raise self.trouble
        if self.says:
            return self._said(*self.says.pop(0))
        answered = self.client.open(
            str(request.url), method=str(request.method), headers=dict(request.headers),
            data=request.body,
        )  # fmt: skip
        response = requests.Response()
        response.status_code, response._content = answered.status_code, answered.data
        response.headers.update(answered.headers)
        response.url = str(request.url)
        return response

    def close(self) -> None:
        """Close nothing."""

    def _said(self, status: int, retry_after: str | None) -> requests.Response:
        response = requests.Response()
        response.status_code, response._content = status, self.body
        if retry_after is not None:
            response.headers["Retry-After"] = retry_after
        return response


class _Runs:
    """Runs of a web; the run that is submitted has succeeded when it is asked for again."""

    dead_letters = NO_RUNS.dead_letters

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.catalog = self
        self.once = SimpleNamespace(submit=self._once)
        self.history = self

    def get(self, name: str) -> Any:
        if name == RUN:
            return self._run(RunState.SUCCESS)
        if name != "text.reverse":
            raise UnknownTaskError(name, ["text.reverse"])
        retry = SimpleNamespace(automatic=False, max_retries=3, delay_s=1, backoff=False)
        return SimpleNamespace(
            name=name, summary="Reverse a text.", description="", warning=None, queue="celery_see",
            retry=retry, time_limit_s=None, soft_time_limit_s=None, schema=SCHEMA,
        )  # fmt: skip

    @property
    def tasks(self) -> list[Any]:
        return [self.get("text.reverse")]

    def submit(self, name: str, args: Mapping[str, Any], options: SubmitOptions) -> Run:
        self.asked.append((name, args, options.model_dump(exclude_defaults=True)))
        return self._run(RunState.PENDING)

    def _once(self, key: str, *rest: Any) -> Outcome:
        self.asked.append((key,))
        return Outcome(self.submit(*rest), is_replay=True)

    def cancel(self, run_id: str, *, foreign: bool) -> Run:
        self.asked.append((run_id, foreign))
        return self._run(RunState.REVOKED)

    def find(self, wanted: RunFilter, cursor: str | None, limit: int) -> RunList:
        self.asked.append((wanted, cursor, limit))
        more = None if cursor else "second"
        return RunList(runs=[self._run(RunState.FAILURE)], next_cursor=more)

    def _run(self, state: RunState) -> Run:
        return Run(id=RUN, task="text.reverse", state=state, result="cba")


@pytest.fixture
def runs() -> _Runs:
    return _Runs()


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: _Runs) -> Iterator[AccessApp]:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)
    with access_app(tmp_path, runs) as found:
        found.add("ada", Role.OPERATOR)
        yield found


@pytest.fixture(autouse=True)
def network(web: AccessApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _App:
    """Let every session reach the app alone, and nobody the files of who runs the tests."""
    adapter = _App(web.app.test_client())
    monkeypatch.setattr(requests.Session, "get_adapter", lambda _, url: adapter)
    monkeypatch.setattr(typer, "get_app_dir", lambda name: str(tmp_path / "config" / name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELERIAC_HISTORY_URL")
    return adapter


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "config" / "celeriac" / "logins.json"


def _run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin)


def _logged_in(web: AccessApp, role: Role = Role.OPERATOR) -> str:
    token = web.token("ada", role)
    done = _run("login", URL, "--token", "-", stdin=f"{token}\n")
    assert done.exit_code == 0, done.output
    return token


def _when_asked(monkeypatch: pytest.MonkeyPatch, decide: Callable[[], None]) -> None:
    """Decide while the terminal waits; what else sleeps in this process sleeps on."""
    monkeypatch.setattr(login, "time", SimpleNamespace(sleep=lambda _: decide()))


def test_person_approves_in_the_browser_and_the_terminal_goes_on(
    web: AccessApp, monkeypatch: pytest.MonkeyPatch, kept: Path
) -> None:
    browser = web.signed_in("ada")
    shown: list[str] = []

    def approve() -> None:
        code = _waiting_code(web)
        page = browser.get(f"/login?code={code}")
        shown.append(page.text)
        at = f"/login?code={code}"
        answered = send(
            browser, "/login", at, code=code, decision="approve", role="viewer", days="7"
        )
        assert answered.status_code == 303

    _when_asked(monkeypatch, approve)

    done = _run("login", f"{URL}/")

    assert done.exit_code == 0, done.output
    code = done.output.partition("browser: ")[2].split()[0]
    assert f"{URL}/login?code={code}" in done.output and code in shown[0]
    assert "Logged in to http://localhost:5000 as ada (viewer) until" in done.output
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    (token,) = web.access.tokens.all()
    assert (token.owner, token.role) == ("ada", Role.VIEWER)
    assert "celeriac login, " in browser.get("/account").text
    assert [e.action for e in web.told()][-2:] == ["login.approve", "token.create"]


def _waiting_code(web: AccessApp) -> str:
    from sqlalchemy import select

    from celeriac.access.tables import logins

    with web.access._database.read() as connection:
        return str(connection.scalar(select(logins.c.code)))


def test_person_refuses_in_the_browser(
    web: AccessApp, monkeypatch: pytest.MonkeyPatch, kept: Path
) -> None:
    browser = web.signed_in("ada")

    def refuse() -> None:
        code = _waiting_code(web)
        send(browser, "/login", f"/login?code={code}", code=code, decision="deny")

    _when_asked(monkeypatch, refuse)

    done = _run("login", URL)

    assert isinstance(done.exception, CeleriacError)
    assert "refused in the browser" in str(done.exception)
    assert not kept.exists() and web.access.tokens.all() == []


@pytest.mark.parametrize(
    ("role", "offered"),
    [(Role.VIEWER, "viewer"), (Role.OPERATOR, "operator"), (Role.ADMIN, "operator")],
)
def test_approval_offers_no_more_than_a_command_line_needs(
    web: AccessApp, role: Role, offered: str
) -> None:
    web.add("eve", role)
    web.app.test_client().post("/api/v1/logins", json={"label": "x"})

    page = web.signed_in("eve").get(f"/login?code={_waiting_code(web)}").text

    assert f'<option value="{offered}" selected>' in page
    assert f'<option value="{role}"' in page, "and lets choose all that they have"


def test_approval_needs_the_form_of_the_page_and_no_more_than_ones_role(web: AccessApp) -> None:
    secret = web.app.test_client().post("/api/v1/logins", json={"label": "x"}).get_json()["secret"]
    browser, code = web.signed_in("ada"), _waiting_code(web)
    bare = {"code": code, "decision": "approve", "role": "viewer", "days": "7"}
    assert browser.post("/login", data=bare).status_code == 400
    at = f"/login?code={code}"
    assert send(browser, "/login", at, **bare | {"role": "admin"}).status_code == 403
    assert send(browser, "/login", at, **bare | {"days": "9999"}).status_code == 404
    assert browser.get("/login?code=BBBB-BBBB").status_code == 404
    assert "celeriac login" in browser.get("/login").text
    stranger = web.app.test_client()
    assert stranger.get(at, headers={"Accept": "text/html"}).status_code == 303
    fetched = stranger.post("/api/v1/logins/token", json={"secret": secret})
    assert (fetched.status_code, fetched.get_json()["token"]) == (202, None)


def test_login_whose_token_cannot_be_made_goes_on_waiting(
    web: AccessApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins, ada = web.access.logins, web.access.users.get("ada")
    login, secret = logins.begin("ada@laptop", "")
    logins.approve(ROOT, ada, login.code, Role.VIEWER, 7)

    def lost(*_: Any) -> None:
        raise HistoryUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr("celeriac.access.logins.insert_token", lost)
        with pytest.raises(HistoryUnavailableError):
            logins.collect(secret)

    assert logins.collect(secret) is not None
    with pytest.raises(LoginLostError):
        logins.collect(secret)


def test_token_comes_from_standard_input_alone(web: AccessApp, kept: Path) -> None:
    token = _logged_in(web)
    assert json.loads(kept.read_text()) == {"last": URL, "tokens": {URL: token}}
    assert token not in _run("whoami").output
    assert _run("login", URL, "--token", token).exit_code == 2
    wrong = _run("login", URL, "--token", "-", stdin="cel_nonsense\n")
    assert "celeriac login" in str(wrong.exception)
    assert json.loads(kept.read_text())["tokens"] == {URL: token}, "and the right one stays"


def test_whoami_tells_name_role_and_end(web: AccessApp) -> None:
    assert "celeriac login https://" in str(_run("whoami").exception)
    _logged_in(web)

    told = json.loads(_run("whoami", "--json").stdout)

    assert (told["url"], told["name"], told["role"]) == (URL, "ada", "operator")
    assert _run("whoami").stdout == f"ada (operator) at {URL}\n"


def test_run_is_submitted_shown_cancelled_and_listed(web: AccessApp, runs: _Runs) -> None:
    _logged_in(web)

    assert _run("submit", "text.reverse", "--text", "abc", "--tag", "a").stdout == f"{RUN}\n"
    waited = _run("submit", "text.reverse", "--text", "abc", "--wait", "--idempotency-key", 'a"b\\')
    assert waited.stdout == "cba\n" and "used before" in waited.stderr
    assert json.loads(_run("run", "show", RUN, "--json").stdout)["result"] == "cba"
    assert RUN in _run("run", "cancel", RUN, "--foreign").stdout
    listed = _run("runs", "list", "--state", "failure", "--since", "1h", "--json")
    assert [each["id"] for each in json.loads(listed.stdout)] == [RUN]
    assert "--cursor second" in listed.stderr
    assert _run("runs", "list", "--all", "--json").stdout.count(RUN) == 2
    assert "text.reverse" in _run("tasks").stdout

    assert runs.asked[0] == ("text.reverse", {"text": "abc"}, {"tags": ("a",)})
    assert ('a"b\\',) in runs.asked and (RUN, True) in runs.asked
    assert [asked[2] for asked in runs.asked[-3:]] == [20, 200, 200]
    assert runs.asked[-3][0].states == ("FAILURE",)


def test_web_writes_down_what_it_is_asked_to_change_and_the_command_does_not(
    web: AccessApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERIAC_DATA_DIR", str(tmp_path / "here"))
    _logged_in(web)

    assert _run("run", "cancel", RUN).exit_code == 0
    assert _run("submit", "text.reverse", "--text", "abc").exit_code == 0

    told = [(each.actor, each.means, each.action) for each in web.told()[-2:]]
    assert told == [("ada", "token", "run.cancel"), ("ada", "token", "run.submit")]
    assert not (tmp_path / "here").exists()


def test_what_the_web_refuses_is_one_line(web: AccessApp, network: _App) -> None:
    _logged_in(web, Role.VIEWER)

    assert "This asks for the role operator" in str(_run("run", "cancel", RUN).exception)
    assert "Did you mean text.reverse?" in str(_run("submit", "text.revers").exception)
    network.trouble = requests.ReadTimeout()
    assert f"{URL} does not answer" in str(_run("run", "show", RUN).exception)


def _nobody_there() -> requests.ConnectionError:
    reason = NewConnectionError(cast(HTTPConnection, None), "refused")
    return requests.ConnectionError(MaxRetryError(cast(Any, None), URL, reason))


@pytest.mark.parametrize(
    ("trouble", "advice"),
    [
        (_nobody_there(), "Nothing answers at http://localhost:5000. Check the address"),
        (requests.ConnectTimeout(), "Nothing answers at http://localhost:5000. Check the address"),
        (requests.exceptions.SSLError(), "Check https or http, the port and the certificate"),
    ],
)
def test_login_to_nobody_tells_what_to_check(
    network: _App, trouble: requests.RequestException, advice: str
) -> None:
    network.trouble = trouble

    done = _run("login", URL)

    assert isinstance(done.exception, CeleriacError)
    assert advice in str(done.exception)


@pytest.mark.parametrize(
    "body", [b"<h1>Welcome</h1>", b"", b"{}", b"[]", b"7", b'{"url": 7, "code": [], "secret": ""}']
)
def test_server_that_is_no_celeriac_is_told(
    network: _App, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERIAC_URL", URL)
    network.body = body
    calls = (["login", URL], ["login", URL, "--token", "-"], ["whoami"], ["tasks"],
             ["submit", "text.reverse", "--text", "x"], ["run", "show", RUN])  # fmt: skip

    for words in calls:
        network.says = [(200, None)]
        done = _run(*words, stdin="cel_x\n")

        assert isinstance(done.exception, CeleriacError), (words, done.exception)
        assert "as Celeriac does" in str(done.exception)


def test_error_of_no_form_is_told(network: _App) -> None:
    network.body = b'{"code": "x", "detail": "y", "errors": [7]}'
    network.says = [(422, None)]

    assert "answers 422, and not as Celeriac does" in str(_run("login", URL).exception)


def test_login_ends_the_one_that_it_replaces(web: AccessApp, kept: Path) -> None:
    _logged_in(web)
    (first,) = web.access.tokens.all()

    second = _logged_in(web)
    assert _run("login", URL, "--token", "-", stdin=f"{second}\n").exit_code == 0

    by_age = {token.id: token.is_live for token in web.access.tokens.all()}
    assert by_age.pop(first.id) is False
    assert list(by_age.values()) == [True]
    assert json.loads(kept.read_text())["tokens"] == {URL: second}


def test_login_goes_on_where_the_one_before_cannot_be_ended(
    web: AccessApp, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _logged_in(web)
    ask = remote.Remote.ask

    def lost(self: remote.Remote, method: str, path: str, **more: Any) -> requests.Response:
        if path == "/me/log-out":
            raise remote.WebUnavailableError("away")
        return ask(self, method, path, **more)

    monkeypatch.setattr(remote.Remote, "ask", lost)
    token = web.token("ada", Role.VIEWER)
    done = _run("login", URL, "--token", "-", stdin=f"{token}\n")

    assert "Logged in" in done.stdout and "revoke it there" in done.stderr
    assert json.loads(kept.read_text())["tokens"] == {URL: token}


def test_token_that_was_revoked_is_told_at_once(web: AccessApp) -> None:
    _logged_in(web)
    web.access.tokens.revoke(ROOT, web.access.tokens.all()[0].id)

    for words in (["run", "show", RUN], ["whoami"], ["submit", "text.reverse", "--text", "x"]):
        told = str(_run(*words).exception)
        assert "was revoked" in told and f"celeriac login {URL}" in told, words


def test_waiting_command_that_is_shut_out_names_its_run(web: AccessApp, runs: _Runs) -> None:
    _logged_in(web)
    (token,) = web.access.tokens.all()

    def submitted(*_: Any) -> Run:
        web.access.tokens.revoke(ROOT, token.id)
        return Run(id=RUN, task="text.reverse", state=RunState.PENDING)

    runs.submit = submitted  # type: ignore[method-assign]

    done = _run("submit", "text.reverse", "--text", "x", "--wait")

    assert "was revoked" in str(done.exception)
    assert f"The run goes on: celeriac run show {RUN}" in done.stderr


def test_waiting_command_outlives_a_deployment_and_a_limit(
    web: AccessApp, network: _App, monkeypatch: pytest.MonkeyPatch
) -> None:
    _logged_in(web)
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: 100.0, sleep=slept.append)
    monkeypatch.setattr(remote, "time", clock)
    network.says = [(502, None), (429, "7"), (503, "Mon, 30 Nov 2026 12:00:00 GMT"), (429, "9" * 9)]

    done = list(remote.Remote(URL, web.token("ada", Role.VIEWER)).watch(RUN))

    assert [run and run.state for run in done] == [None, None, None, None, RunState.SUCCESS]
    assert slept == [1, 7, 1, 60]


def test_logout_ends_the_token_there_and_here(web: AccessApp, kept: Path) -> None:
    token = _logged_in(web)

    assert _run("logout").stdout == f"Logged out of {URL}.\n"

    assert web.access.tokens.find(token) is None
    assert json.loads(kept.read_text()) == {"last": None, "tokens": {}}
    assert "Nobody is logged in" in str(_run("--url", URL, "logout").exception)
    assert web.told()[-1].action == "token.revoke"


def test_session_of_a_browser_is_no_token_to_end(web: AccessApp) -> None:
    answered = web.signed_in("ada").post("/api/v1/me/log-out")

    assert answered.status_code == 403


def test_address_that_is_given_wins_and_its_token_goes_nowhere_else(
    web: AccessApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = web.token("ada", Role.VIEWER)
    monkeypatch.setenv("CELERIAC_URL", URL)
    monkeypatch.setenv("CELERIAC_TOKEN", token)
    monkeypatch.setenv("CELERIAC_REDIS_URL", "redis://localhost/9")
    assert "ada (viewer)" in _run("whoami").stdout

    other = _run("--url", "http://127.0.0.1:5000", "whoami")

    assert "celeriac login http://127.0.0.1:5000" in str(other.exception)


@pytest.mark.parametrize(
    "words", [["run", "tail", RUN], ["runs", "tail"], ["runs", "cancel", "--all"]]
)
def test_command_that_cannot_ask_a_web_says_so(words: list[str]) -> None:
    assert "cannot ask https://c.example yet" in str(_run("--url", "c.example", *words).exception)


def test_command_that_cannot_ask_where_one_is_logged_in_says_so(web: AccessApp) -> None:
    _logged_in(web)

    assert f"cannot ask {URL} yet" in str(_run("run", "tail", RUN).exception)


ON_THE_SERVER = [
    ["users", "add", "eve"],
    ["users", "list"],
    ["tokens", "list"],
    ["tokens", "revoke", "4f0c5a1b2c3d"],
    ["audit", "list"],
    ["audit", "export"],
    ["history", "export"],
    ["history", "prune", "--days", "1", "--yes"],
    ["stats"],
    ["queues", "list"],
    ["workers", "list"],
    ["dead-letters", "list"],
    ["top", "--once"],
    ["batch", "-"],
]


@pytest.mark.parametrize("words", ON_THE_SERVER, ids=" ".join)
def test_command_of_the_server_touches_nothing_here_where_a_web_is_meant(
    words: list[str], web: AccessApp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _logged_in(web)
    by_login = _run(*words)
    monkeypatch.setenv("CELERIAC_URL", URL)
    by_address = _run(*words)

    for done, way in ((by_login, "`celeriac logout` first"), (by_address, "CELERIAC_URL out")):
        assert isinstance(done.exception, ConfigurationError), done.output
        assert f"cannot ask {URL} yet; run it on the server" in str(done.exception)
        assert way in str(done.exception)
    assert not (tmp_path / ".celeriac").exists()


def test_command_that_works_where_servers_are_takes_no_address() -> None:
    done = _run("--url", URL, "users", "list")

    assert done.exit_code == 2 and "asks no web" in done.output


@pytest.mark.parametrize("typed", ["ftp://x", "https://", "https://x/?q=1"])
def test_address_that_is_none_is_told(typed: str) -> None:
    assert "is no address of a web" in str(_run("login", typed).exception)


def test_plain_http_elsewhere_is_warned_of(web: AccessApp) -> None:
    token = web.token("ada", Role.VIEWER)
    done = _run("login", "http://celeriac.example.org", "--token", "-", stdin=token)

    assert "not encrypted" in done.stderr


def test_query_asks_for_the_same_runs() -> None:
    words = {"task": ["a", "b"], "state": ["FAILURE"], "tag": ["x"], "queue": ["q"], "q": ["text"]}
    words |= {"since": ["2030-01-31T09:00:00+00:00"], "root": ["r"]}
    found = run_filter(words, datetime.now(UTC))

    assert run_filter(words_of(found)) == found and words_of(found) == words
