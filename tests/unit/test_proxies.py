"""What proxies say of a client: believed where they are declared, mere noise elsewhere."""

from pathlib import Path

import pytest
from flask import Flask, jsonify, request
from flask.testing import FlaskClient

from access_app import access_app
from celeriac.settings import load_settings
from celeriac.web.proxies import behind_proxies

PEER = "192.0.2.1"
SPOOFED = {
    "X-Forwarded-For": "6.6.6.6, 7.7.7.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;proto=https;host=evil.example",
}


def _client(hops: int) -> FlaskClient:
    app = Flask("echo")

    @app.get("/")
    def seen() -> object:
        return jsonify([request.remote_addr, request.url])

    settings = load_settings(join_stack=False, trusted_proxies=hops)
    app.wsgi_app = behind_proxies(app.wsgi_app, settings)  # type: ignore[method-assign]
    return app.test_client()


def _seen(hops: int, headers: dict[str, str]) -> list[str]:
    answer = _client(hops).get("/", headers=headers, environ_base={"REMOTE_ADDR": PEER})
    found: list[str] = answer.get_json()
    return found


def test_headers_of_proxies_change_nothing_unless_told_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert _seen(0, SPOOFED) == [PEER, "http://localhost/"]
    assert "CELERIAC_TRUSTED_PROXIES" in caplog.text


def test_proxy_that_nobody_told_of_is_mentioned_once(caplog: pytest.LogCaptureFixture) -> None:
    client = _client(0)
    for _ in range(3):
        client.get("/", headers=SPOOFED)
    client.get("/")

    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("hops", "given", "address"),
    [
        (1, "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        (2, "6.6.6.6, 198.51.100.7, 10.0.0.1", "198.51.100.7"),
        (3, "198.51.100.7, 10.0.0.1", PEER),
        (1, "2001:db8::7", "2001:db8::7"),
        (1, "", PEER),
    ],
)
def test_address_is_what_the_outermost_proxy_of_ours_has_seen(
    hops: int, given: str, address: str
) -> None:
    assert _seen(hops, {"X-Forwarded-For": given})[0] == address


def test_scheme_and_host_are_what_the_nearest_proxy_says() -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example, ours.example:8443"}

    assert _seen(2, headers)[1] == "https://ours.example:8443/"


def test_prefix_and_port_are_never_believed() -> None:
    headers = {"X-Forwarded-Prefix": "/evil", "X-Forwarded-Port": "1", "X-Real-IP": "6.6.6.6"}

    assert _seen(1, headers) == [PEER, "http://localhost/"]


def test_host_that_a_proxy_tells_must_be_one_of_ours(tmp_path: Path) -> None:
    with access_app(tmp_path, trusted_proxies=1, trusted_hosts="ours.example") as web:
        client = web.app.test_client()
        codes = [
            client.get("/sign-in", headers={"X-Forwarded-Host": host}).status_code
            for host in ("ours.example", "evil.example")
        ]

    assert codes == [200, 400]


def test_audit_trail_has_the_address_behind_the_proxy(tmp_path: Path) -> None:
    headers = {"X-Forwarded-For": "6.6.6.6, 198.51.100.7"}
    found = []
    for hops in (0, 1):
        folder = tmp_path / str(hops)
        folder.mkdir()
        with access_app(folder, trusted_proxies=hops) as web:
            web.app.config["WTF_CSRF_ENABLED"] = False
            web.app.test_client().post(
                "/sign-in", data={"name": "ada", "password": "x"}, headers=headers
            )
            found.append(web.told()[-1].address)

    assert found == ["127.0.0.1", "198.51.100.7"]
