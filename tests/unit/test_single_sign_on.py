"""Signing in by a provider: what of its word is believed, and what a browser is told instead."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import requests
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from access_app import CHEAP, PASSWORD, ROOT, AccessApp, access_app, send
from celeriac.access import Role, passwords
from celeriac.access.errors import ForbiddenError
from celeriac.access.single_sign_on import SingleSignOn
from celeriac.errors import ConfigurationError
from celeriac.setting_values import RoleName
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.access.cookie import PLAIN
from celeriac.web.context import EXTENSION, Context
from celeriac.web.gateway import is_unfinished
from celeriac.web.gateway.live import ENVIRON_KEY, Later
from oidc_provider import CLIENT, ISSUER, SECRET, FakeProvider, answer_of, new_key

THERE, BACK = "/sign-in/provider", "/sign-in/provider/back"
DISCOVERY = "/.well-known/openid-configuration"
SETTINGS = {
    "oidc_issuer": ISSUER,
    "oidc_client_id": CLIENT,
    "oidc_client_secret": SECRET,
    "oidc_roles": "admins=admin, dev=operator, cn=all=viewer",
    "oidc_label": "Sign in with Work",
}


@pytest.fixture(autouse=True)
def _cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider({"groups": ["dev", "else"]})


@pytest.fixture
def web(tmp_path: Path, provider: FakeProvider) -> Iterator[AccessApp]:
    with access_app(tmp_path, **SETTINGS) as found:
        _believe(found, provider)
        yield found


@pytest.fixture
def client(web: AccessApp) -> FlaskClient:
    return web.app.test_client()


def _believe(web: AccessApp, provider: FakeProvider, **more: str | None) -> None:
    context: Context = web.app.extensions[EXTENSION]
    settings = load_settings(join_stack=False, **{**SETTINGS, **more})
    assert context.guard
    guard = replace(context.guard, sign_on=SingleSignOn.of(settings, provider))
    web.app.extensions[EXTENSION] = replace(context, guard=guard)


def _go(client: FlaskClient, provider: FakeProvider, then: str = "/") -> TestResponse:
    """Go to the provider and come back."""
    sent = client.get(THERE, query_string={"next": then})
    assert sent.status_code == 303, sent.text
    return client.get(f"{BACK}?{provider.visit(sent.headers['Location'])}")


def test_person_comes_back_signed_in_and_where_they_wanted_to_go(
    web: AccessApp, client: FlaskClient, provider: FakeProvider
) -> None:
    page = client.get("/sign-in?next=/account").text
    assert "Sign in with Work" in page and f"{THERE}?next=/account" in page
    client.set_cookie(PLAIN, "chosen-by-somebody-else")

    done = _go(client, provider, "/account?x=1")

    assert (done.status_code, done.headers["Location"]) == (303, "/account?x=1")
    assert "oidc" in client.get("/account").text
    user = web.access.users.get("ada")
    assert (user.role, user.issuer, user.has_password) == (Role.OPERATOR, ISSUER, False)
    assert [(e.action, e.actor, e.means) for e in web.told()] == [
        ("user.add", "ada", "oidc"),
        ("session.begin", "ada", "oidc"),
    ]
    first = client.get_cookie(PLAIN)
    _go(client, provider)
    second = client.get_cookie(PLAIN)
    assert first and second and first.value != second.value != "chosen-by-somebody-else"
    assert web.access.users.get("ada").id == user.id


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example/", "/" + "x" * 3000])
def test_way_back_leads_nowhere_else(
    client: FlaskClient, provider: FakeProvider, then: str
) -> None:
    assert _go(client, provider, then).headers["Location"] == "/"


def test_user_of_a_provider_is_shown_disabled_and_signed_out_like_any_other(
    web: AccessApp, client: FlaskClient, provider: FakeProvider
) -> None:
    web.add("root", Role.ADMIN)
    _go(client, provider)
    page = web.signed_in("root").get("/admin/users").text
    assert ISSUER in page and "New link: ada" not in page and "New link: root" in page
    with pytest.raises(ForbiddenError):
        web.access.links.for_user(ROOT, "ada")
    with pytest.raises(ForbiddenError):
        web.access.users.set_password(ROOT, "ada", PASSWORD)
    other = web.app.test_client()
    _go(other, provider)
    send(client, "/account/sign-out-everywhere", "/account")
    assert other.get("/api/v1/me").status_code == 401
    _go(other, provider)

    web.access.users.disable(ROOT, "ada")

    assert other.get("/api/v1/me").status_code == 401
    refused = _go(other, provider)
    assert refused.status_code == 403 and "ada is disabled here" in refused.text
    assert web.told()[-1].outcome == "user_disabled"


@pytest.mark.parametrize(
    ("groups", "role"),
    [(["dev", "admins"], "admin"), ("dev", "operator"), (["cn=all"], "viewer")],
)
def test_highest_role_of_the_groups_counts_at_each_sign_in(
    web: AccessApp, client: FlaskClient, provider: FakeProvider, groups: Any, role: str
) -> None:
    provider.claims = {"groups": ["dev"]}
    _go(client, provider)
    provider.claims = {"groups": groups, "preferred_username": "renamed"}

    _go(client, provider)

    assert (
        client.get("/api/v1/me").get_json() | {"name": "ada", "role": role}
        == client.get("/api/v1/me").get_json()
    ), "and the name stays that of the first time"
    changes = [e.detail for e in web.told() if e.action == "user.change"]
    expected = [] if role == "operator" else [{"from": {"role": "operator"}, "to": {"role": role}}]
    assert changes == expected


@pytest.mark.parametrize("groups", [None, [], ["else"], {"dev": 1}, [["dev"]], 3, "ADMINS"])
def test_stranger_without_a_role_is_refused_with_a_page(
    web: AccessApp, client: FlaskClient, provider: FakeProvider, groups: Any
) -> None:
    provider.claims, provider.userinfo = {"groups": groups}, {"sub": "4711"}

    refused = _go(client, provider)

    assert refused.status_code == 403
    assert "knows you as ada, and none of your groups has a role here" in refused.text
    assert "Sign in with Work" in refused.text
    assert web.access.users.is_empty()
    (told,) = web.told()
    assert (told.action, told.target, told.outcome) == ("session.begin", "ada", "no_role")


def test_whoever_has_lost_the_role_is_refused(client: FlaskClient, provider: FakeProvider) -> None:
    _go(client, provider)
    provider.claims = {"groups": []}

    assert _go(client, provider).status_code == 403


def test_default_role_is_for_newcomers_where_groups_have_none(
    web: AccessApp, client: FlaskClient, provider: FakeProvider
) -> None:
    _believe(web, provider, oidc_roles=None, oidc_default_role="viewer")
    _go(client, provider)
    web.add("root", Role.ADMIN)
    web.access.users.change(ROOT, "ada", Role.OPERATOR)

    _go(client, provider)

    assert web.access.users.get("ada").role is Role.OPERATOR, "as the administrator has decided"


def test_name_of_somebody_else_is_never_taken_over(
    web: AccessApp, client: FlaskClient, provider: FakeProvider
) -> None:
    web.add("ada", Role.ADMIN)

    refused = _go(client, provider)

    assert refused.status_code == 409 and "another user has that name" in refused.text
    assert client.get("/api/v1/me").status_code == 401
    assert web.access.users.get("ada").issuer is None
    provider.claims |= {"preferred_username": "eve"}
    assert _go(client, provider).status_code == 303
    provider.claims |= {"sub": "4712"}
    assert _go(client, provider).status_code == 409, "it is another eve"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"iss": "https://login.evil.example"}, "iss"),
        ({"aud": "another program"}, "aud"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "azp"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"iat": 4_000_000_000}, "issued in the future"),
        ({"sub": None}, "sub"),
        ({"preferred_username": "Ada Lovelace"}, "begins with a letter or digit"),
        ({"preferred_username": ["ada"]}, "CELERIAC_OIDC_NAME_CLAIM"),
    ],
)  # fmt: skip
def test_word_that_does_not_hold_signs_nobody_in(
    web: AccessApp, client: FlaskClient, provider: FakeProvider, claims: Any, why: str
) -> None:
    provider.claims |= claims

    refused = _go(client, provider)

    assert refused.status_code == 502 and why in refused.text
    assert "answer is not accepted" in refused.text
    assert web.access.users.is_empty()


def test_clocks_may_differ_a_little(client: FlaskClient, provider: FakeProvider) -> None:
    import time

    provider.claims |= {"iat": int(time.time()) + 30, "exp": int(time.time()) - 30}

    assert _go(client, provider).status_code == 303


def test_signature_of_somebody_else_is_refused_and_a_new_key_is_asked_for(
    client: FlaskClient, provider: FakeProvider
) -> None:
    assert _go(client, provider).status_code == 303
    provider.signs_with = new_key("first")
    assert _go(client, provider).status_code == 502
    provider.signs_with = new_key("second")
    assert _go(client, provider).status_code == 502, "it is not published"

    provider.keys = [*provider.keys, provider.signs_with]

    assert _go(client, provider).status_code == 303
    assert provider.asked.count(DISCOVERY) == 1


def test_claims_are_asked_for_that_the_id_token_has_not(
    web: AccessApp, client: FlaskClient, provider: FakeProvider
) -> None:
    provider.claims = {"preferred_username": None}
    provider.userinfo = {"sub": "4711", "email": "Eve@example.org", "realm": {"roles": ["dev"]}}
    _believe(web, provider, oidc_name_claim="email", oidc_roles_claim="realm.roles")
    assert _go(client, provider).status_code == 303
    assert web.access.users.get("eve@example.org").role is Role.OPERATOR

    provider.userinfo |= {"email_verified": False}
    assert "whether Eve@example.org is their address" in _go(client, provider).text
    provider.userinfo |= {"sub": "4712"}
    assert "somebody else" in _go(client, provider).text


@pytest.mark.parametrize("query", ["", "state=&code=x", "state=made-up&code=x"])
def test_coming_back_without_having_been_sent_is_refused(
    web: AccessApp, client: FlaskClient, provider: FakeProvider, query: str
) -> None:
    client.get(THERE)

    refused = client.get(f"{BACK}?{query}")

    assert refused.status_code == 400 and "not begun in this browser" in refused.text
    assert web.told() == []


def test_journey_ends_once_in_its_own_browser_and_in_time(
    web: AccessApp, client: FlaskClient, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = provider.visit(client.get(THERE).headers["Location"])
    assert web.app.test_client().get(f"{BACK}?{query}").status_code == 400
    for _ in range(2):
        client.get(THERE)
    assert client.get(f"{BACK}?{query}").status_code == 303, "tabs do not disturb each other"
    assert client.get(f"{BACK}?{query}").status_code == 400

    query = provider.visit(client.get(THERE).headers["Location"])
    monkeypatch.setattr("celeriac.web.access.single_sign_on.time.time", lambda: 4e9)
    assert client.get(f"{BACK}?{query}").status_code == 400


def test_whoever_says_no_there_is_told_here(client: FlaskClient, provider: FakeProvider) -> None:
    for word, told in (("access_denied", "access denied"), ("<b>odd", "something went wrong")):
        query = provider.visit(client.get(THERE).headers["Location"])

        refused = client.get(f"{BACK}?{query}&error={word}")

        assert refused.status_code == 403 and told in refused.text


@pytest.mark.parametrize("place", [DISCOVERY, "/token", "/keys"])
@pytest.mark.parametrize(
    "trouble", [requests.ConnectTimeout(), requests.ConnectionError(), answer_of({}, 503)]
)
def test_provider_that_is_away_is_told_and_passwords_work(
    web: AccessApp,
    client: FlaskClient,
    provider: FakeProvider,
    place: str,
    trouble: requests.Response | Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("celeriac.access.provider.AWAY_S", 600)
    web.add("eve", Role.VIEWER)
    provider.answers[place] = trouble

    refused = client.get(THERE) if place == DISCOVERY else _go(client, provider)

    assert refused.status_code == 503 and "Retry-After" in refused.headers
    assert "login.example.org does not answer" in refused.text
    done = send(client, "/sign-in", "/sign-in", name="eve", password=PASSWORD)
    assert done.status_code == 303
    asked = len(provider.asked)
    if place == DISCOVERY:
        assert client.get(THERE).status_code == 503
        assert len(provider.asked) == asked, "who asks again at once does not wait"


@pytest.mark.parametrize(
    ("place", "answer", "why"),
    [
        (DISCOVERY, answer_of({}), "calls itself"),
        (DISCOVERY, answer_of({"issuer": ISSUER}), "authorization_endpoint"),
        (DISCOVERY, answer_of({}, 404), "It answered 404"),
        (DISCOVERY, answer_of([]), "nothing that we can read"),
        ("/token", answer_of({"error": "invalid_client"}, 401), "invalid_client"),
        ("/token", answer_of({"access_token": "x"}), "no ID token"),
        ("/keys", answer_of({}), "nothing that we can read"),
    ],
)
def test_answer_that_is_none_is_told(
    client: FlaskClient, provider: FakeProvider, place: str, answer: requests.Response, why: str
) -> None:
    provider.answers[place] = answer

    refused = client.get(THERE) if place == DISCOVERY else _go(client, provider)

    assert refused.status_code == 502 and why in refused.text


@pytest.mark.parametrize("path", [THERE, f"{BACK}?error=x"])
def test_whoever_waits_for_the_provider_holds_no_short_thread(
    web: AccessApp, provider: FakeProvider, path: str
) -> None:
    with web.app.test_request_context(path, environ_overrides={ENVIRON_KEY: True}):
        response = web.app.full_dispatch_request()

    assert is_unfinished(response) and not provider.asked
    assert isinstance(response.response, Later)
    finished = response.response.respond()
    assert finished.status_code == (303 if path == THERE else 403)
    assert "celeriac=" in str(finished.headers.getlist("Set-Cookie"))


def test_without_a_provider_there_is_nothing_to_go_to(tmp_path: Path) -> None:
    with access_app(tmp_path) as web:
        client = web.app.test_client()
        assert THERE not in client.get("/sign-in").text
        assert client.get(THERE).status_code == 404
        assert client.get(BACK).status_code == 400


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"oidc_client_id": None}, "CELERIAC_OIDC_CLIENT_ID"),
        ({"oidc_issuer": None}, "CELERIAC_OIDC_ISSUER"),
        ({"oidc_roles": None}, "CELERIAC_OIDC_ROLES"),
        ({"oidc_roles": "admins=king"}, "viewer, operator, admin"),
        ({"oidc_roles": "admins"}, "GROUP=ROLE"),
        ({"oidc_default_role": "king"}, "CELERIAC_OIDC_DEFAULT_ROLE"),
        ({"oidc_issuer": "http://login.example.org"}, "https"),
        ({"authentication": False}, "CELERIAC_AUTHENTICATION"),
    ],
)
def test_setting_that_does_not_fit_is_named(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        create_app(
            load_settings(join_stack=False, **{"authentication": True, **SETTINGS, **given}), None
        )  # type: ignore[arg-type]


def test_roles_of_settings_are_the_roles() -> None:
    assert get_args(RoleName) == tuple(Role)
