"""Every answer, of whatever kind and to whomever, tells browsers what they may do with it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from access_app import PASSWORD, AccessApp, access_app
from attack import PAGE, Count, addresses, clients
from celeriac.access import Role
from celeriac.web import assets
from celeriac.web.flower_pages import POLICY as FLOWERS_POLICY
from celeriac.web.gateway import asgi, refusals, wsgi
from celeriac.web.headers import POLICY

STATIC = "/static/celeriac.css"
TLS = "https://localhost"
ALONE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
DIRECTIVES = {
    "default-src 'self'", "script-src 'self'", "style-src 'self'", "object-src 'none'",
    "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
}  # fmt: skip
SENSORS = {"camera=()", "microphone=()", "geolocation=()", "payment=()", "usb=()"}


def _wrong(
    headers: Mapping[str, str], *, may_be_kept: bool = False, is_flowers: bool = False
) -> list[str]:
    """Name what is missing, or says something else than it should."""
    wrong = [name for name, value in ALONE.items() if headers.get(name) != value]
    policy = headers.get("Content-Security-Policy", "")
    if is_flowers:
        policy = policy.replace(FLOWERS_POLICY, POLICY)
    if not set(policy.split("; ")) >= DIRECTIVES or "unsafe" in policy or "*" in policy:
        wrong.append("Content-Security-Policy")
    if not set(headers.get("Permissions-Policy", "").split(", ")) >= SENSORS:
        wrong.append("Permissions-Policy")
    if "Access-Control-Allow-Origin" in headers:
        wrong.append("Access-Control-Allow-Origin")
    kept = "max-age=31536000, public"
    if headers.get("Cache-Control") != (kept if may_be_kept else "no-store"):
        wrong.append(f"Cache-Control {headers.get('Cache-Control')}")
    return wrong


def _look(answer: TestResponse, asked: str, seen: Counter[int]) -> None:
    wrong = _wrong(answer.headers, is_flowers=" /flower/" in asked)
    assert not wrong, f"{asked}: {answer.status} {wrong}"
    place = answer.headers.get("Location", "/")
    assert place.startswith("/") and place[:2] not in ("//", "/\\"), f"{asked} leads to {place}"
    seen[answer.status_code] += 1
    answer.close()


def _walk(web: AccessApp, client: FlaskClient) -> Iterator[tuple[str, TestResponse]]:
    """Ask for everything there is, by each of its methods; what is looked at, as a person, too."""
    evil = {"Referer": "https://evil.example/", "X-Forwarded-Host": "evil.example"}
    query = {"next": "https://evil.example/", "on": "//evil.example"}
    for address in addresses(web.app):
        # One more than it has, so that it is refused.
        for method in sorted(address.methods - {"HEAD"} | {"PUT"}):
            for accept in ({}, PAGE) if method == "GET" else ({},):
                headers = {**evil, **accept}
                yield (
                    f"{method} {address.path}",
                    client.open(address.path, method=method, query_string=query, headers=headers),
                )


@pytest.mark.parametrize("role", [None, Role.ADMIN])
def test_every_answer_of_the_url_map_has_them(
    web: AccessApp, count: Count, role: Role | None
) -> None:
    client, seen = clients(web)[role], Counter[int]()
    for asked, answer in _walk(web, client):
        _look(answer, f"{asked} by {role}", seen)

    assert set(seen) >= ({303, 400, 401} if role is None else {200, 303, 400, 404, 422}), seen
    count("answers whose every header was looked at", seen.total())


def test_answers_of_each_other_kind_have_them(web: AccessApp, tmp_path: Path, count: Count) -> None:
    admin, seen = clients(web)[Role.ADMIN], Counter[int]()
    viewer, nobody = clients(web)[Role.VIEWER], web.app.test_client()
    json, large = {"content_type": "application/json"}, b"x" * 2_000_000
    with access_app(tmp_path, rate_limit="1/hour") as hurried:
        first, second = (hurried.app.test_client().get("/api/v1/me") for _ in range(2))
    answers = {
        "a page": admin.get("/runs", headers=PAGE),
        "a stream": admin.get("/api/v1/events"),
        "a submission": admin.post("/api/v1/tasks/text.reverse/runs", json={"args": {"text": "x"}}),
        "wrong arguments": admin.post("/api/v1/tasks/text.reverse/runs", json={"args": {}}),
        "too large a body": admin.post("/api/v1/runs/cancel", data=large, **json),
        "a batch": admin.post("/api/v1/runs/batch", data=b"{", content_type="application/x-ndjson"),
        "another site": admin.post("/api/v1/runs/cancel", headers={"Origin": "https://evil"}),
        "another name": nobody.get("/", base_url="http://evil.example"),
        "no such page": admin.get("/no/such", headers=PAGE),
        "no such file": nobody.get("/static/no-such.css"),
        "a role too low": viewer.get("/admin/users", headers=PAGE),
        "health": nobody.get("/healthz"),
        "asked once": first,
        "asked too often": second,
    }
    for asked, answer in answers.items():
        _look(answer, asked, seen)
    assert answers["a stream"].mimetype == "text/event-stream"
    assert {200, 202, 400, 401, 403, 404, 413, 422, 429} <= set(seen), seen
    count("answers whose every header was looked at", seen.total())


def test_static_files_have_them_and_may_be_kept(web: AccessApp, count: Count) -> None:
    client, tried = web.app.test_client(), 0
    for file in assets.STATIC.rglob("*"):
        if not file.is_file() or file.suffix == ".gz":
            continue
        answer = client.get(f"/static/{file.relative_to(assets.STATIC)}?v=x")
        assert answer.status_code == 200 and not _wrong(answer.headers, may_be_kept=True), file
        answer.close()
        tried += 1
    with client.get(STATIC) as answer:
        same = client.get(STATIC, headers={"If-None-Match": answer.headers["ETag"]})
    changed = client.post(STATIC)
    assert (same.status_code, changed.status_code) == (304, 405)
    assert not _wrong(same.headers, may_be_kept=True)
    assert "X-Frame-Options" in changed.headers
    count("answers whose every header was looked at", tried + 2)


def test_answers_of_the_gateway_alone_have_them(count: Count) -> None:
    made = [refusals.LONG_TARGET, refusals.LARGE_HEADERS, refusals.UNCLEAR_HOST]
    made += [refusals.SLOW_BODY, asgi.CUT_OFF, asgi.BUSY, wsgi.CRASHED]
    for reply in made:
        told = {name.decode().title(): value.decode() for name, value in reply.headers}
        named = {name.title(): name for name in [*ALONE, "Content-Security-Policy"]}
        assert not _wrong({named.get(name, name): value for name, value in told.items()})
    assert {reply.status for reply in made} == {400, 408, 414, 431, 500, 503}
    count("answers whose every header was looked at", len(made))


def test_browsers_keep_to_tls_where_people_come_by_it(web: AccessApp, tmp_path: Path) -> None:
    name, kept = "Strict-Transport-Security", "max-age=31536000"
    paths = ("/", STATIC, "/api/v1/me", "/no/such", "/sign-in", "/healthz")

    def told(app: Flask) -> set[str | None]:
        answers = [app.test_client().get(path, base_url=TLS) for path in paths]
        for answer in answers:
            answer.close()
        return {answer.headers.get(name) for answer in answers}

    with access_app(tmp_path, public_url=TLS) as safe:
        assert told(safe.app) == {kept}
    assert told(web.app) == {None}


@pytest.mark.parametrize(
    ("settings", "base_url", "is_bound"),
    [
        ({}, "http://localhost", False),
        ({}, TLS, False),
        ({"public_url": TLS}, TLS, True),
        ({"public_url": TLS}, "http://localhost", True),
    ],
)
def test_cookies_are_out_of_reach_for_scripts_other_sites_and_neighbours(
    tmp_path: Path, count: Count, settings: dict[str, str], base_url: str, is_bound: bool
) -> None:
    with access_app(tmp_path, **settings) as web:
        web.add("ada", Role.VIEWER)
        client = web.app.test_client()
        page = client.get("/sign-in", base_url=base_url)
        proof = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert proof
        fields = {"name": "ada", "password": PASSWORD, "csrf_token": proof[1]}
        headers = {"Referer": f"{base_url}/sign-in"}
        answer = client.post("/sign-in", data=fields, base_url=base_url, headers=headers)
    assert answer.status_code == 303
    given = [*page.headers.getlist("Set-Cookie"), *answer.headers.getlist("Set-Cookie")]
    for cookie in given:
        name, *flags = cookie.split("; ")
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(flags), cookie
        assert ("Secure" in flags) == (TLS in (base_url, settings.get("public_url"))), cookie
        assert name.startswith("__Host-") == is_bound and "Domain" not in cookie, cookie
    assert len(given) == 3, "the form's, its end, and the session's"
    count("cookies whose flags were looked at", len(given))
