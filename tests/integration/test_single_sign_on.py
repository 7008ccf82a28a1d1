"""Signing in by a provider that runs, from its own form back to a session here."""

import http.client
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from access_app import access_app
from celeriac.access import Role
from oidc_provider import introduce, running_provider
from processes import LOOPBACK, free_port
from servers import RedisServer
from web_process import running_web

THERE, BACK = "/sign-in/provider", "/sign-in/provider/back"
STRANGERS = 60


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_provider(tmp_path_factory.mktemp("provider")) as found:
        introduce(found, "4711", preferred_username="ada", groups=["dev"])
        introduce(found, "4712", preferred_username="eve", groups=[])
        yield found


def _settings(issuer: str) -> dict[str, Any]:
    return {
        "oidc_issuer": issuer,
        "oidc_client_id": "celeriac",
        "oidc_client_secret": "secret",
        "oidc_roles": "dev=operator",
        "oidc_timeout_s": 2,
    }


class _Stay(urllib.request.HTTPRedirectHandler):
    """Go nowhere that an answer leads."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _answer_there(url: str, **form: str) -> str:
    """Send the provider's form; gives the query that it sends the browser back with."""
    body = urllib.parse.urlencode(form).encode()
    try:
        urllib.request.build_opener(_Stay).open(url, body, timeout=30)
    except urllib.error.HTTPError as answer:
        with answer:
            return str(answer.headers["Location"]).partition("?")[2]
    raise AssertionError("the provider has sent nobody back")


def _go(client: FlaskClient, **form: str) -> TestResponse:
    sent = client.get(THERE, query_string={"next": "/account"})
    assert sent.status_code == 303, sent.text
    return client.get(f"{BACK}?{_answer_there(sent.headers['Location'], **form)}")


def _query(client: FlaskClient, subject: str) -> dict[str, str]:
    query = _answer_there(client.get(THERE).headers["Location"], sub=subject)
    return dict(urllib.parse.parse_qsl(query))


def test_person_signs_in_by_a_running_provider(tmp_path: Path, issuer: str) -> None:
    with access_app(tmp_path, **_settings(issuer)) as web:
        client = web.app.test_client()

        done = _go(client, sub="4711")

        assert (done.status_code, done.headers["Location"]) == (303, "/account")
        told = client.get("/api/v1/me").get_json()
        assert (told["name"], told["role"], told["means"]) == ("ada", "operator", "oidc")
        assert web.access.users.get("ada").issuer == issuer


def test_whoever_has_no_role_or_says_no_is_told(tmp_path: Path, issuer: str) -> None:
    with access_app(tmp_path, **_settings(issuer)) as web:
        client = web.app.test_client()

        assert "none of your groups has a role here" in _go(client, sub="4712").text
        assert "says: access denied" in _go(client, action="deny").text
        assert web.access.users.is_empty()


def test_code_that_was_used_is_refused(tmp_path: Path, issuer: str) -> None:
    with access_app(tmp_path, **_settings(issuer)) as web:
        client, other = web.app.test_client(), web.app.test_client()
        query, others = _query(client, "4711"), _query(other, "4712")
        assert client.get(BACK, query_string=query).status_code == 303

        stolen = other.get(BACK, query_string={**others, "code": query["code"]})

        assert stolen.status_code == 502 and "invalid_grant" in stolen.text
        assert other.get("/api/v1/me").status_code == 401


def test_code_of_another_browser_is_refused_by_its_nonce(tmp_path: Path, issuer: str) -> None:
    with access_app(tmp_path, **_settings(issuer)) as web:
        client, other = web.app.test_client(), web.app.test_client()
        query, others = _query(client, "4711"), _query(other, "4712")

        refused = other.get(BACK, query_string={**others, "code": query["code"]})

        assert refused.status_code == 502 and "nonce" in refused.text


def test_provider_that_is_not_there_is_told(tmp_path: Path) -> None:
    with access_app(tmp_path, **_settings(f"http://127.0.0.1:{free_port()}")) as web:
        refused = web.app.test_client().get(THERE)

        assert refused.status_code == 503 and "does not answer" in refused.text


def test_provider_that_hangs_keeps_nobody_else_waiting(tmp_path: Path, server: RedisServer) -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as provider,
        ThreadPoolExecutor(STRANGERS) as strangers,
    ):
        settings = {
            "CELERIAC_AUTHENTICATION": "on",
            "CELERIAC_RATE_LIMIT": "off",
            "CELERIAC_OIDC_ISSUER": f"http://{LOOPBACK}:{provider.getsockname()[1]}",
            "CELERIAC_OIDC_CLIENT_ID": "celeriac",
            "CELERIAC_OIDC_DEFAULT_ROLE": "viewer",
            "CELERIAC_OIDC_TIMEOUT_S": "60",
        }
        with running_web(tmp_path, server.url, server.url, settings) as web:
            waiting = [strangers.submit(_status, web.port, THERE) for _ in range(STRANGERS)]
            connection, _ = provider.accept()  # And nothing is ever said.
            with connection:
                for _ in range(50):
                    assert _status(web.port, "/healthz") == 200
                assert not [each.result() for each in waiting if each.done()]
            assert {each.result() for each in waiting} == {503}


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=120)
    with closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def test_role_is_the_one_of_today(tmp_path: Path, issuer: str) -> None:
    with access_app(
        tmp_path, **_settings(issuer) | {"oidc_roles": "dev=operator,ops=admin"}
    ) as web:
        client = web.app.test_client()
        introduce(issuer, "4713", preferred_username="otto", groups=["dev"])
        _go(client, sub="4713")
        introduce(issuer, "4713", preferred_username="otto", groups=["dev", "ops"])

        _go(client, sub="4713")

        assert web.access.users.get("otto").role is Role.ADMIN
