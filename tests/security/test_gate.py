"""Nobody reaches what their role does not allow, by any address, method or disguise."""

import re
from urllib.parse import urlsplit

import pytest

from access_app import PASSWORD, AccessApp, send
from attack import (
    LOG_OUT,
    METHODS,
    PAGE,
    STREAMS,
    Count,
    addresses,
    clients,
    endpoint_of,
    status_of,
)
from celeriac.access import Role
from celeriac.web.access.cookie import PLAIN
from celeriac.web.access.permissions import rule_of

ROLES = [None, *Role]
RANK = {role: rank for rank, role in enumerate(ROLES)}
ELSEWHERE = (
    "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example",
    "https://evil.example", "https:evil.example", "http:/evil.example", "//evil.example@here",
    "/\t/evil.example", "/\n/evil.example", "/\r\nSet-Cookie: a=b", "javascript:alert(1)",
    "data:text/html,hi", " //evil.example", "%2f%2fevil.example", "/%5cevil.example",
    "/..//evil.example", "//evil%00.example", "https://[evil", "\u2044\u2044evil.example",
    "/\u3000/evil.example", "//\u24d4vil.example", "http://localhost@evil.example/",
)  # fmt: skip


def test_every_address_and_method_is_refused_to_lower_roles(web: AccessApp, count: Count) -> None:
    callers, tried = clients(web), 0
    for address in addresses(web.app):
        for method in METHODS:
            asked = rule_of(endpoint_of(web.app, address.path, method))
            for role, client in callers.items():
                if asked.role is None or RANK[role] >= RANK[asked.role]:
                    continue
                answer = client.open(address.path, method=method)
                expected = 401 if role is None else 403
                where = f"{method} {address.path} by {role}"
                assert status_of(answer) == expected, where
                if method != "HEAD":
                    assert answer.is_json and "code" in (answer.json or {}), where
                tried += 1
    count("requests by a role too low, refused", tried)


@pytest.mark.timeout(300)
def test_no_address_and_method_fails_for_those_who_may(web: AccessApp, count: Count) -> None:
    callers, tried = clients(web), 0
    for address in addresses(web.app, word="01936d4c-7b7e-7cc0-9a3f-0123456789ab"):
        if address.endpoint in {*STREAMS, LOG_OUT}:
            continue
        for method in METHODS:
            asked = rule_of(endpoint_of(web.app, address.path, method))
            for role, client in callers.items():
                if asked.role is not None and RANK[role] < RANK[asked.role]:
                    continue
                answer = client.open(address.path, method=method, headers=PAGE)
                assert status_of(answer) < 500, f"{method} {address.path} by {role}: {answer.text}"
                tried += 1
    count("requests by a role that may, answered", tried)


@pytest.mark.parametrize("path", ["/admin/users", "/api/v1/runs", "/api/v1/dead-letters/discard"])
def test_no_disguise_of_an_address_or_method_leads_in(
    web: AccessApp, count: Count, path: str
) -> None:
    client, last = clients(web)[None], path.rsplit("/", 1)[1]
    disguises = [
        f"/{path}", f"{path}/", f"{path}//", f"{path}/.", f"{path};x=1", f"{path}%00", f"{path}%20",
        path.replace("/", "//"), path.upper(), f"/static/..{path}", f"/static/%2e%2e{path}",
        f"/healthz/..{path}", f"/sign-in/../{path}", f"{path}?next=/sign-in", f"{path}.json",
        path.replace(last, "%" + last.encode().hex("%")), f"/.{path}", f"{path}#/sign-in",
    ]  # fmt: skip
    overrides = [
        {"X-HTTP-Method-Override": "GET"}, {"X-Original-URL": "/healthz"},
        {"X-Rewrite-URL": "/healthz"}, {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-User": "admin"}, {"Remote-User": "admin"}, {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer"}, {"Authorization": "bearer \x00"}, {"Forwarded": "for=::1"},
        {"Cookie": f"{PLAIN}="}, {"Cookie": f"{PLAIN}=' OR 1=1 --"}, {"Cookie": "celeriac=e30.x.y"},
    ]  # fmt: skip
    for disguise in disguises:
        assert status_of(client.get(disguise)) in (301, 308, 400, 401, 404, 405), disguise
    for headers in overrides:
        assert status_of(client.get(path, headers=headers)) == 401, headers
    count("disguised addresses and headers, refused", len(disguises) + len(overrides))


def test_every_changing_page_wants_the_proof_of_its_form(web: AccessApp, count: Count) -> None:
    browser, tried = web.signed_in("admin"), 0
    for address in addresses(web.app):
        for method in address.methods - {"GET", "HEAD", "OPTIONS"}:
            if address.path.startswith("/api/"):
                continue
            for fields in ({}, {"csrf_token": "x"}, {"csrf_token": "e30.x.y"}):
                answer = browser.open(address.path, method=method, data=fields)
                assert answer.status_code == 400, f"{method} {address.path}"
                assert answer.json and answer.json["code"] == "stale_form", address.path
                tried += 1
    assert tried
    count("forms without their proof, refused", tried)


def test_no_other_site_changes_anything_by_a_visitors_browser(web: AccessApp, count: Count) -> None:
    browser, tried = web.signed_in("admin"), 0
    foreign = [
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost.evil"},
        {"Origin": "http://localhost:81"},
    ]  # fmt: skip
    for address in addresses(web.app):
        for method in address.methods - {"GET", "HEAD", "OPTIONS"}:
            for headers in foreign:
                answer = browser.open(address.path, method=method, headers=headers)
                assert answer.status_code == 403, f"{method} {address.path} {headers}"
                tried += 1
    count("changes that another site asked for, refused", tried)


def test_session_that_somebody_else_chose_is_worth_nothing(web: AccessApp) -> None:
    victim, attacker = web.app.test_client(), web.app.test_client()
    for name in (PLAIN, "celeriac"):
        victim.set_cookie(name, "chosen")
        attacker.set_cookie(name, "chosen")
    answer = send(victim, "/sign-in", page="/sign-in", name="viewer", password=PASSWORD)

    given = victim.get_cookie(PLAIN)
    assert answer.status_code == 303 and given and len(given.value) >= 40
    assert attacker.get("/account").status_code == 401


def test_guessing_a_password_is_slowed(web: AccessApp, count: Count) -> None:
    web.add("guessed", Role.ADMIN)
    client = web.app.test_client()
    page = client.get("/sign-in").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token

    def guess(password: str) -> int:
        fields = {"name": "guessed", "password": password, "csrf_token": token[1]}
        return client.post(
            "/sign-in", data=fields, environ_overrides={"REMOTE_ADDR": "192.0.2.7"}
        ).status_code

    statuses = [guess(f"wrong {number}") for number in range(30)]

    assert statuses[:10] == [401] * 10 and set(statuses[10:]) == {429}
    assert guess(PASSWORD) == 429, "who guesses does not even learn of success"
    count("guessed passwords", len(statuses) + 1)


def test_guessing_tokens_and_sessions_leads_nowhere(web: AccessApp, count: Count) -> None:
    real = web.token("admin", Role.ADMIN)
    client = web.app.test_client()
    guesses = [
        real[:-1],
        real + "x",
        real.upper(),
        real.swapcase(),
        real[::-1],
        f"{real} ",
        f"x{real}",
    ]
    guesses += [real[:place] + "_" + real[place + 1 :] for place in range(len(real))]
    guesses = [guess for guess in guesses if guess.strip() != real]
    for guess in guesses:
        answer = client.get("/api/v1/me", headers={"Authorization": f"Bearer {guess}"})
        assert status_of(answer) == 401, guess
    count("tokens that are none, refused", len(guesses))


@pytest.mark.parametrize("asked", ELSEWHERE)
def test_signing_in_leads_to_no_other_site(web: AccessApp, asked: str, count: Count) -> None:
    browser = web.app.test_client()
    fields = {"name": "viewer", "password": PASSWORD, "next": asked}

    after = send(browser, "/sign-in", page="/sign-in", **fields)
    again = browser.get("/sign-in", query_string={"next": asked})

    for answer in (after, again):
        place = urlsplit(answer.headers["Location"])
        assert answer.status_code == 303
        assert (place.scheme, place.netloc, place.path[:1]) == ("", "", "/")
        assert place.path[:2] not in ("//", "/\\")
    assert "a=b" not in str(after.headers.getlist("Set-Cookie"))
    count("ways back to other sites", 2)
