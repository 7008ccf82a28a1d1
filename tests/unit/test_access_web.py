"""Who gets in, what the gate refuses, and what the audit trail tells of it."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient

from access_app import CHEAP, NO_RUNS, PASSWORD, ROOT, AccessApp, access_app, send
from celeriac.access import Access, Entry, Means, Role, Scope, passwords
from celeriac.access.links import Links
from celeriac.errors import HistoryUnavailableError
from celeriac.web.access.cookie import BOUND, PLAIN
from celeriac.web.access.gate import way_back
from celeriac.web.access.permissions import RULES, Rule, rule_of

PAGE = {"Accept": "text/html"}
ROLES = [None, *Role]


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[AccessApp]:
    with access_app(tmp_path) as found:
        yield found


@pytest.fixture
def client(web: AccessApp) -> FlaskClient:
    return web.app.test_client()


def _calls(app: Flask) -> list[tuple[str, str, str]]:
    """Give endpoint, method and an address of everything that can be asked for."""
    found = []
    for rule in app.url_map.iter_rules():
        address = re.sub(r"<any\(([a-z]+)[^>]*>", r"\1", rule.rule)
        address = re.sub(r"<[^>]+>", "x", address)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            found.append((rule.endpoint, method, address))
    return found


def test_every_endpoint_declares_what_it_asks_for(web: AccessApp) -> None:
    endpoints = {rule.endpoint for rule in web.app.url_map.iter_rules()}

    undeclared = sorted(endpoints - RULES.keys())
    assert not undeclared, f"add a line for each to web/access/permissions.py: {undeclared}"
    assert not sorted(RULES.keys() - endpoints), "there is no such endpoint any more"


def test_every_endpoint_that_changes_something_is_told(web: AccessApp) -> None:
    silent = {
        "signing.sign_in",
        "signing.follow",
        "pages.snippets",
        "flower.search",
        "api.begin_login",
        "api.fetch_login",
    }
    changing = {endpoint for endpoint, method, _ in _calls(web.app) if method != "GET"}

    assert [name for name in changing - silent if not rule_of(name).action] == []


def test_undeclared_endpoint_is_refused_to_all_but_administrators(web: AccessApp) -> None:
    assert rule_of("somebody.forgot") == Rule(Role.ADMIN, "undeclared")


@pytest.mark.parametrize("role", ROLES)
def test_every_address_lets_in_whom_it_declares_and_nobody_else(
    web: AccessApp, role: Role | None
) -> None:
    web.add("root", Role.ADMIN)
    headers = web.bearer("root", role) if role else {}
    web.app.config["WTF_CSRF_ENABLED"] = False
    for endpoint in RULES:
        web.app.view_functions[endpoint] = lambda **_: "reached"
    client, tried = web.app.test_client(), 0
    for endpoint, method, address in _calls(web.app):
        if endpoint == "static":
            continue
        asked = rule_of(endpoint).role
        answer = client.open(address, method=method, headers=headers)
        if asked is None or (role and role.includes(asked)):
            assert (answer.status_code, answer.text) == (200, "reached"), (method, address)
        else:
            code = "forbidden" if role else "not_signed_in"
            assert answer.get_json()["code"] == code, (method, address)
            assert answer.status_code == (403 if role else 401)
            assert ("WWW-Authenticate" in answer.headers) is (role is None)
        tried += 1
    print(f"{tried} addresses as {role or 'a stranger'}")
    assert tried > 60


def test_stranger_learns_nothing_of_what_there_is(client: FlaskClient) -> None:
    for address in ("/nothing/here", "/api/v1/nothing", "/runs/x/cancel"):
        assert client.get(address).status_code == 401


def test_person_is_led_to_sign_in_and_back(web: AccessApp, client: FlaskClient) -> None:
    web.add("ada", Role.VIEWER)

    answer = client.get("/account?x=1&y=/z", headers=PAGE)
    assert answer.status_code == 303
    page = client.get(answer.headers["Location"])
    assert 'name="next" value="/account?x=1&amp;y=/z"' in page.text
    done = send(
        client, "/sign-in", answer.headers["Location"], name="ada", password=PASSWORD,
        next="/account?x=1&y=/z",
    )  # fmt: skip

    assert (done.status_code, done.headers["Location"]) == (303, "/account?x=1&y=/z")
    assert client.get("/account").status_code == 200


@pytest.mark.parametrize(
    "asked",
    ["", "runs", "//evil.example", "/\\evil.example", "https://evil.example/", "/\t/evil.example",
     "javascript:alert(1)", "///evil.example", "/\nx"],
)  # fmt: skip
def test_way_back_leads_nowhere_else(web: AccessApp, asked: str) -> None:
    with web.app.test_request_context():
        assert way_back(asked) == "/"
        assert way_back("/runs?q=//x") == "/runs?q=//x"


def test_sign_in_begins_a_new_session_each_time(web: AccessApp) -> None:
    web.add("ada", Role.VIEWER)
    client = web.app.test_client()
    client.set_cookie(PLAIN, "chosen-by-somebody-else")
    send(client, "/sign-in", "/sign-in", name="ada", password=PASSWORD)
    first = client.get_cookie(PLAIN)
    form_cookie = client.get_cookie("celeriac")
    send(client, "/sign-out", "/account")
    assert client.get_cookie(PLAIN) is None

    send(client, "/sign-in", "/sign-in", name="ada", password=PASSWORD)
    second = client.get_cookie(PLAIN)

    assert first and second and first.value != second.value != "chosen-by-somebody-else"
    assert form_cookie is None, "nothing that was there before signing in stays"
    client.set_cookie(PLAIN, first.value)
    assert client.get("/account").status_code == 401, "the old session is over"


@pytest.mark.parametrize("name", ["ada", "eve"])
def test_sign_in_ends_the_session_that_the_browser_had(web: AccessApp, name: str) -> None:
    web.add("ada", Role.VIEWER)
    web.add("eve", Role.VIEWER)
    client, other = web.signed_in("ada"), web.signed_in("ada")
    first = client.get_cookie(PLAIN)
    assert first
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/account").text)
    assert token
    fields = {"name": name, "password": PASSWORD, "csrf_token": token[1]}
    assert client.post("/sign-in", data=fields).status_code == 303

    thief = web.app.test_client()
    thief.set_cookie(PLAIN, first.value)
    assert thief.get("/account").status_code == 401
    assert client.get("/account").status_code == other.get("/account").status_code == 200


def test_cookie_is_out_of_reach_for_scripts_and_other_sites(web: AccessApp) -> None:
    web.add("ada", Role.VIEWER)
    client = web.app.test_client()

    answer = send(client, "/sign-in", "/sign-in", name="ada", password=PASSWORD)

    (given,) = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith(PLAIN)]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(given.split("; "))
    assert "Domain" not in given and "Secure" not in given


def test_cookies_go_over_tls_alone_where_people_come_by_it(tmp_path: Path) -> None:
    with access_app(tmp_path, public_url="https://localhost") as web:
        web.add("ada", Role.VIEWER)
        client = web.app.test_client()
        page = client.get("/sign-in", base_url="https://localhost")
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found
        fields = {"name": "ada", "password": PASSWORD, "csrf_token": found[1]}
        headers = {"Referer": "https://localhost/sign-in"}
        answer = client.post("/sign-in", data=fields, base_url="https://localhost", headers=headers)

        cookies = [*page.headers.getlist("Set-Cookie"), *answer.headers.getlist("Set-Cookie")]
        assert any(cookie.startswith(f"{BOUND}=") for cookie in cookies)
        assert all("Secure" in cookie for cookie in cookies)


def test_form_from_elsewhere_signs_nobody_in(web: AccessApp, client: FlaskClient) -> None:
    web.add("ada", Role.VIEWER)

    answer = client.post("/sign-in", data={"name": "ada", "password": PASSWORD})

    assert (answer.status_code, answer.get_json()["code"]) == (400, "stale_form")


def test_wrong_password_is_refused_without_a_hint_and_told(web: AccessApp) -> None:
    web.add("ada", Role.VIEWER)
    client = web.app.test_client()
    answers = [
        send(client, "/sign-in", "/sign-in", name=name, password="wrong")
        for name in ("ada", "nobody")
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    shown = [re.sub("nobody|ada", "", re.sub(r'value="[^"]*"', "", a.text)) for a in answers]
    assert _without_tokens(shown[0]) == _without_tokens(shown[1])
    told = [(e.action, e.target, e.outcome) for e in web.told()[-2:]]
    assert told == [
        ("session.begin", "ada", "sign_in_failed"),
        ("session.begin", "", "sign_in_failed"),
    ]


def _without_tokens(page: str) -> str:
    return re.sub(r'(content|data-server-time)="[^"]*"', "", page)


def test_guessing_is_slowed_and_nobody_else_is_locked_out(web: AccessApp) -> None:
    web.add("ada", Role.VIEWER)
    web.add("eve", Role.VIEWER)
    client = web.app.test_client()
    for _ in range(10):
        assert send(client, "/sign-in", "/sign-in", name="ada", password="x").status_code == 401

    answer = send(client, "/sign-in", "/sign-in", name="ada", password=PASSWORD)

    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    assert web.signed_in("eve")


def test_first_administrator_follows_the_link_and_is_signed_in(web: AccessApp) -> None:
    secret = web.access.links.for_setup()
    client = web.app.test_client()
    assert "Nobody may sign in yet" in client.get("/sign-in").text

    page = f"/welcome/{secret}"
    differ = send(client, page, page, name="ada", password=PASSWORD, again="else")
    short = send(client, page, page, name="ada", password="short", again="short")
    done = send(client, page, page, name="ada", password=PASSWORD, again=PASSWORD)

    assert (differ.status_code, short.status_code, done.status_code) == (422, 422, 303)
    assert client.get("/api/v1/me").get_json()["role"] == "admin"
    assert client.get(page, headers=PAGE).status_code == 404, "it works once"
    assert [(e.actor, e.action) for e in web.told()] == [
        ("ada", "user.setup"), ("ada", "session.begin")
    ]  # fmt: skip


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_failure_at_a_link_tells_nobody_the_link(
    web: AccessApp,
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    accept: str,
) -> None:
    secret = web.access.links.for_setup()
    assert secret
    monkeypatch.setattr(Links, "name_of", lambda self, secret: 1 / 0)

    failed = client.get(f"/welcome/{secret}", headers={"Accept": accept})

    assert failed.status_code == 500
    assert "GET /welcome/*** failed" in caplog.text
    assert secret not in caplog.text + failed.text


def test_token_opens_the_api_and_dies_at_once(web: AccessApp, client: FlaskClient) -> None:
    web.add("ada", Role.ADMIN)
    headers = web.bearer("ada", Role.OPERATOR)

    answer = client.get("/api/v1/me", headers=headers)
    assert answer.get_json() == {
        "name": "ada", "role": "operator", "means": "token", "tasks": [], "queues": [],
        "token": web.access.tokens.all()[0].id, "ends_at": None,
    }  # fmt: skip
    web.access.tokens.revoke(ROOT, web.access.tokens.all()[0].id)

    answer = client.get("/api/v1/me", headers=headers)
    assert (answer.status_code, answer.get_json()["code"]) == (401, "bad_token")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("wrong", ["Bearer ", "Bearer x", "bearer cel_1_2", "Bearer \udcff"])
def test_token_that_is_none_is_refused_even_beside_a_session(web: AccessApp, wrong: str) -> None:
    web.add("ada", Role.ADMIN)
    client = web.signed_in("ada")

    answer = client.get(
        "/api/v1/me", headers={"Authorization": wrong.encode(errors="replace").decode()}
    )

    assert (answer.status_code, answer.get_json()["code"]) == (401, "bad_token")


def test_token_makes_no_tokens_and_manages_nobody(web: AccessApp, client: FlaskClient) -> None:
    web.add("ada", Role.ADMIN)
    headers = web.bearer("ada", Role.ADMIN)
    web.app.config["WTF_CSRF_ENABLED"] = False

    for address in ("/account/tokens", "/account/sign-out-everywhere", "/admin/users"):
        answer = client.post(address, headers=headers, data={"name": "eve", "role": "admin"})
        assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden"), address
    assert [user.name for user in web.access.users.all()] == ["ada"]


def test_role_that_shrinks_and_a_user_that_is_disabled_count_at_once(web: AccessApp) -> None:
    web.add("root", Role.ADMIN)
    web.add("ada", Role.ADMIN)
    client = web.signed_in("ada")
    assert client.get("/admin/users").status_code == 200

    web.access.users.change(ROOT, "ada", Role.VIEWER)
    assert client.get("/admin/users").status_code == 403
    web.access.users.disable(ROOT, "ada")
    assert client.get("/account").status_code == 401


def test_same_form_sent_again_makes_no_other_token(web: AccessApp) -> None:
    web.add("ada", Role.OPERATOR)
    client = web.signed_in("ada")
    form = {"label": "nightly", "role": "viewer", "days": "30", "form": "a form"}

    first = send(client, "/account/tokens", "/account", **form)
    again = send(client, "/account/tokens", "/account", **form)

    assert "cel_" in first.text and again.status_code == 303
    assert len(web.access.tokens.all()) == 1
    assert 'name="form" value="' in client.get("/account").text


@pytest.mark.parametrize(
    ("fields", "status", "queues"),
    [
        ({}, 303, ("fast",)),
        ({"queues": ""}, 422, ("fast",)),
        ({"tasks": "", "queues": ""}, 303, None),
    ],
)
def test_limits_stay_that_a_form_does_not_give(
    web: AccessApp, fields: dict[str, str], status: int, queues: tuple[str, ...] | None
) -> None:
    web.add("root", Role.ADMIN)
    web.access.users.add(ROOT, "eve", Role.OPERATOR, Scope.of_words((), ("fast",)))

    changed = send(
        web.signed_in("root"), "/admin/users/eve", "/admin/users", role="viewer", **fields
    )

    assert changed.status_code == status
    assert web.access.users.get("eve").scope.queues == queues


def test_person_makes_and_revokes_a_token_of_their_own(web: AccessApp) -> None:
    web.add("ada", Role.OPERATOR)
    client = web.signed_in("ada")

    made = send(
        client, "/account/tokens", "/account", label="nightly", role="viewer", days="30",
        tasks="mail.*, text.reverse", queues="",
    )  # fmt: skip
    found = re.search(r"cel_[0-9a-f]{12}_[\w-]{43}", made.text)
    assert found and made.headers["Cache-Control"] == "no-store"
    headers = {"Authorization": f"Bearer {found[0]}"}
    other = web.app.test_client()
    assert other.get("/api/v1/me", headers=headers).get_json()["tasks"] == [
        ["mail.*", "text.reverse"]
    ]
    assert found[0] not in client.get("/account").text
    token_id = found[0].split("_")[1]
    send(client, f"/account/tokens/{token_id}/revoke", "/account")

    assert other.get("/api/v1/me", headers=headers).status_code == 401
    above = send(client, "/account/tokens", "/account", label="x", role="admin", days="30")
    assert above.status_code == 403


def test_person_changes_the_password_given_the_old_one(web: AccessApp) -> None:
    web.add("ada", Role.VIEWER)
    client, other = web.signed_in("ada"), web.signed_in("ada")
    new = {"password": "another good one", "again": "another good one"}

    refused = send(client, "/account/password", "/account", old="wrong", **new)
    done = send(client, "/account/password", "/account", old=PASSWORD, **new)

    assert (refused.status_code, done.status_code) == (422, 303)
    assert client.get("/account").status_code == 200
    assert other.get("/account").status_code == 401


def test_guessing_the_old_password_is_slowed(web: AccessApp) -> None:
    web.add("ada", Role.VIEWER)
    browser = web.signed_in("ada")

    def guess(old: str) -> int:
        new = {"password": "another long password", "again": "another long password"}
        return send(browser, "/account/password", "/account", old=old, **new).status_code

    assert [guess(f"wrong {n}") for n in range(12)] == [422] * 10 + [429] * 2
    assert guess(PASSWORD) == 429
    told = [entry.outcome for entry in web.told() if entry.action == "user.password"]
    assert told[-1] == "too_many_attempts"


def test_person_signs_out_everywhere(web: AccessApp) -> None:
    web.add("ada", Role.VIEWER)
    client, other = web.signed_in("ada"), web.signed_in("ada")

    send(client, "/account/sign-out-everywhere", "/account")

    assert [each.get("/account").status_code for each in (client, other)] == [401, 401]


def test_administrator_adds_changes_and_disables_users(web: AccessApp) -> None:
    web.add("ada", Role.ADMIN)
    client, page = web.signed_in("ada"), "/admin/users"

    made = send(client, page, page, name="eve", role="operator", tasks="", queues="fast")
    link = re.search(r"http://localhost(/welcome/[\w-]+)", made.text)
    assert link
    again = send(client, page, page, name="eve", role="operator")
    assert again.status_code == 422 and "already" in again.text
    eve = web.app.test_client()
    send(eve, link[1], link[1], password=PASSWORD, again=PASSWORD)
    assert eve.get("/api/v1/me").get_json()["queues"] == [["fast"]]
    send(client, "/admin/users/eve", page, role="viewer", tasks="", queues="")
    assert eve.get("/api/v1/me").get_json()["role"] == "viewer"
    send(client, "/admin/users/eve/disable", page)
    assert eve.get("/api/v1/me").status_code == 401
    alone = send(client, "/admin/users/ada/disable", page)
    assert (alone.status_code, alone.get_json()["code"]) == (409, "last_admin")

    told = [(e.actor, e.means, e.action, e.target, e.outcome) for e in web.told()]
    assert ("ada", Means.PASSWORD, "user.add", "eve", "ok") in told
    assert ("ada", Means.PASSWORD, "user.disable", "eve", "ok") in told
    assert ("ada", Means.PASSWORD, "user.act", "ada", "last_admin") in told
    assert all(e.address == "127.0.0.1" for e in web.told() if e.actor == "ada")


def test_trail_tells_every_change_and_every_refusal_once(web: AccessApp) -> None:
    web.add("ada", Role.ADMIN)
    for endpoint in ("api.pause_queue", "api.cancel", "api.cancel_all", "api.list_queues"):
        web.app.view_functions[endpoint] = lambda **_: "done"
    client = web.app.test_client()
    operator, viewer = web.bearer("ada", Role.OPERATOR), web.bearer("ada", Role.VIEWER)
    before = len(web.told())
    client.get("/api/v1/queues", headers=operator)
    client.post("/api/v1/queues/fast/pause", headers=operator)
    client.post("/api/v1/runs/r1/cancel?foreign=true", headers=viewer)
    body = {"filter": {"task": ["mail.send"]}, "dry_run": False, "secret": "x"}
    client.post("/api/v1/runs/cancel", headers=operator, json=body)

    told = [(e.action, e.target, e.outcome, e.detail) for e in web.told()[before:]]
    assert told == [
        ("queue.pause", "fast", "ok", {"name": "fast"}),
        ("run.cancel", "r1", "forbidden", {"run_id": "r1", "foreign": "true"}),
        ("runs.cancel", "", "ok", {"filter": {"task": ["mail.send"]}, "dry_run": False}),
    ]
    assert {e.means for e in web.told()[before:]} == {Means.TOKEN}


@pytest.mark.parametrize("levels", [5, 40, 200, 600])
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
def test_whatever_is_sent_a_change_is_told_and_the_trail_can_be_read(
    web: AccessApp, role: Role, levels: int
) -> None:
    web.add("ada", Role.ADMIN)
    web.app.view_functions["api.cancel"] = lambda **_: "done"
    client, headers = web.app.test_client(), web.bearer("ada", role)
    for deep in ("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels):
        answer = client.post(
            "/api/v1/runs/r1/cancel",
            data=f'{{"foreign": {deep}}}',
            headers=headers,
            content_type="application/json",
        )
        assert answer.status_code == (200 if role is Role.OPERATOR else 403)

    told = [entry for entry in web.told() if entry.action == "run.cancel"]
    assert [entry.outcome for entry in told] == ["ok" if role is Role.OPERATOR else "forbidden"] * 2
    assert sum('"run.cancel"' in line for line in web.access.audit.export()) == 2
    browser = web.signed_in("ada")
    assert "run.cancel" in browser.get("/admin/audit").text


def test_entry_that_is_nested_deep_keeps_nobody_from_reading_the_trail(web: AccessApp) -> None:
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    web.access.audit.record([Entry("ada", Means.CLI, "odd", detail={"foreign": deep})])

    assert any('"odd"' in line for line in web.access.audit.export())


def test_what_flower_is_asked_for_is_told_wherever_it_stands(web: AccessApp) -> None:
    web.add("ada", Role.OPERATOR)
    web.app.view_functions["flower.cancel"] = lambda **_: "done"
    client, headers = web.app.test_client(), web.bearer("ada", Role.OPERATOR)
    path = "/flower/api/task/revoke/r1"
    client.post(f"{path}?terminate=true&signal=KILL", headers=headers, json={})
    client.post(f"{path}?signal=KILL", headers=headers, data={"terminate": "1", "signal": "INT"})

    told = [entry.detail for entry in web.told() if entry.action == "run.cancel"]
    asked = {"order": "revoke", "run_id": "r1"}
    assert told == [
        {**asked, "terminate": "true", "signal": "KILL"},
        {**asked, "terminate": "1", "signal": ["KILL", "INT"]},
    ]


def test_administrator_reads_searches_and_exports_the_trail(web: AccessApp) -> None:
    web.add("ada", Role.ADMIN)
    client = web.signed_in("ada")
    send(client, "/admin/users", "/admin/users", name="eve", role="viewer")

    page = client.get("/admin/audit?action=user&target=eve").text
    lines = client.get("/admin/audit.ndjson?action=user.add&target=eve").text.splitlines()

    assert "user.add" in page and "session.begin" not in page
    assert len(lines) == 1 and '"actor": "ada"' in lines[0]
    assert client.get("/admin/audit?since=yesterday").status_code == 422
    assert client.get("/admin/audit?q=%00%ED%A0%80'%22<script>&cursor=1").status_code == 200


def test_everybody_reads_what_was_done_in_their_own_name(web: AccessApp) -> None:
    web.add("ada", Role.ADMIN)
    web.add("eve", Role.VIEWER)
    send(web.signed_in("ada"), "/admin/users", "/admin/users", name="otto", role="viewer")
    client = web.signed_in("eve")
    bearer = web.bearer("eve", Role.VIEWER)
    web.app.test_client().post("/api/v1/queues/fast/pause", headers=bearer)
    assert web.told()[-1].actor == "eve"

    page = client.get("/account").text

    assert "session.begin" in page and "queue.pause" in page and "forbidden" in page
    assert "otto" not in page and "/admin/" not in page
    assert "cursor=" not in page, "there is no more than a page of it"
    assert client.get("/account?cursor=1").status_code == 200
    assert client.get("/account?cursor=x").status_code == 422


def test_pages_are_kept_by_no_cache(web: AccessApp) -> None:
    web.add("ada", Role.ADMIN)
    client = web.signed_in("ada")

    for address in ("/account", "/admin/users", "/sign-in", "/api/v1/me"):
        assert client.get(address).headers["Cache-Control"] == "no-store"


def test_health_needs_no_sign_in(client: FlaskClient) -> None:
    assert client.get("/healthz").status_code == 200


def test_readiness_names_the_history_where_people_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Access) -> None:
        raise HistoryUnavailableError("It is away.")

    runs = SimpleNamespace(**vars(NO_RUNS), check=lambda: {"broker": None, "redis": None})
    checks = {"broker": "ok", "redis": "ok", "history": "ok"}
    with access_app(tmp_path, runs) as web:
        answer = web.app.test_client().get("/readyz")
        assert answer.get_json() == {"status": "ready", "checks": checks}

        monkeypatch.setattr(Access, "ping", away)
        answer = web.app.test_client().get("/readyz")

    assert answer.status_code == 503
    assert answer.get_json()["checks"] == checks | {"history": "unreachable"}
