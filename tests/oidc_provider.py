"""OpenID providers: one that answers in this process whatever a test wants, and a real one."""

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from requests.adapters import BaseAdapter

from eventually import eventually
from processes import LOOPBACK, ChildProcess, free_port, is_listening, tail
from servers import clean_environment

ISSUER = "https://login.example.org/realms/work"
PROVIDER_PROCESS = Path(__file__).parent / "provider_process.py"
CLIENT = "celeriac-here"
SECRET = "shared with the provider"


def new_key(name: str) -> RSAKey:
    """Make a key of a provider's."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})


KEY = new_key("first")


@dataclass
class FakeProvider(BaseAdapter):
    """A provider that stands in for the network of the client's session.

    `claims` are changed into the next ID token, `userinfo` is what it tells beside. `away` makes
    every answer of an address that ends so fail.
    """

    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    keys: list[RSAKey] = field(default_factory=lambda: [KEY])
    signs_with: RSAKey = field(default_factory=lambda: KEY)
    answers: dict[str, requests.Response | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def visit(self, url: str) -> str:
        """Be the person there, who agrees; gives the query that the browser comes back with."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        return urlencode({"code": code, "state": query["state"]})

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer a request, as an adapter does."""
        address = str(request.url).removeprefix(ISSUER)
        self.asked.append(address)
        if isinstance(found := self.answers.get(address), Exception):
            raise found
        response = answer_of(self._body(address, request)) if found is None else found
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        """Close nothing."""

    def _body(self, address: str, request: requests.PreparedRequest) -> Any:
        match address:
            case "/.well-known/openid-configuration":
                return self._published()
            case "/keys":
                return KeySet(self.keys).as_dict(private=False)  # type: ignore[arg-type]
            case "/userinfo":
                return self.userinfo
            case _:
                return self._token(parse_qs(str(request.body)))

    def _published(self) -> dict[str, Any]:
        places = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
        found = {name: f"{ISSUER}/{place}" for name, place in places.items()}
        return {
            "issuer": ISSUER,
            **found,
            "userinfo_endpoint": f"{ISSUER}/userinfo",
        } | self.metadata

    def _token(self, form: dict[str, list[str]]) -> dict[str, Any]:
        asked = self._codes.pop(form["code"][0])
        assert create_s256_code_challenge(form["code_verifier"][0]) == asked["code_challenge"]
        assert form["redirect_uri"] == [asked["redirect_uri"]]
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": CLIENT, "iat": now, "exp": now + 300, "sub": "4711"}
        claims |= {"nonce": asked["nonce"], "preferred_username": "Ada", **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": "RS256", "kid": self.signs_with.kid}
        token = jwt.encode(header, claims, self.signs_with)
        return {"token_type": "Bearer", "access_token": "opaque", "id_token": token}


def answer_of(body: Any, status: int = 200) -> requests.Response:
    """Make an answer."""
    response = requests.Response()
    response.status_code = status
    response._content = json.dumps(body).encode()
    return response


@contextmanager
def running_provider(folder: Path) -> Iterator[str]:
    """Run a real provider in a process of its own; gives its issuer."""
    port = free_port()
    process = ChildProcess(
        command=[sys.executable, PROVIDER_PROCESS, str(port)],
        log_path=folder / "provider.log",
        env=clean_environment(folder, AUTHLIB_INSECURE_TRANSPORT="1"),
        cwd=folder,
    )
    process.start()
    try:
        eventually(lambda: not process.is_running or is_listening(port), deadline_s=60)
        assert process.is_running, tail(process.log_path)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        if process.is_running:
            process.kill()


def introduce(issuer: str, subject: str, **claims: Any) -> None:
    """Let a real provider know somebody."""
    request = urllib.request.Request(
        f"{issuer}/users/{subject}",
        json.dumps(claims).encode(),
        {"Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=30).close()
