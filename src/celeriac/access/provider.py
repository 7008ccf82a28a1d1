"""The OpenID provider that people may sign in by: where it is, its keys, and what it says of them.

The authorization code flow, with PKCE, state and nonce. What the provider publishes of itself is
asked for when it is needed first, and kept for an hour.
"""

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from requests.adapters import BaseAdapter

from celeriac.access.errors import BadProviderAnswerError, ProviderUnavailableError

DISCOVERY: Final = "/.well-known/openid-configuration"
NEEDED: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
KEPT_S: Final = 3600
AWAY_S: Final = 3
"""Who asks so soon after a failure is told the same at once, so that waiting fills no thread."""
SKEW_S: Final = 60
"""How far the provider's clock may be from ours."""
ALGORITHMS: Final = frozenset(
    f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)
) | {"EdDSA", "Ed25519"}
"""Signatures that only the provider can make; a shared secret makes none."""

Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Journey:
    """What a browser keeps on its way to the provider and back; each is by chance and for once."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class Client:
    """Who we are to the provider."""

    id: str
    secret: str | None
    scopes: str


class Provider:
    """One provider; threads may share it, and it is asked for nothing before it is needed."""

    def __init__(
        self, issuer: str, client: Client, timeout_s: float, adapter: BaseAdapter | None = None
    ) -> None:
        self.issuer = issuer
        self._client = client
        self._timeout_s = timeout_s
        self._adapter = adapter
        self._lock = threading.Lock()
        self._metadata: Claims = {}
        self._keys: KeySet | None = None
        self._old_at_s = 0.0
        self._away_until_s = 0.0

    def begin(self, back: str) -> tuple[str, Journey]:
        """Give where to send a browser, and what it has to keep until it comes back.

        Raises:
            ProviderUnavailableError: it does not answer.
            BadProviderAnswerError: what it publishes of itself does not hold.
        """
        journey = Journey(*(secrets.token_urlsafe(32) for _ in range(3)))
        metadata = self._known()
        with self._session(back) as session:
            url, _ = session.create_authorization_url(
                metadata["authorization_endpoint"],
                state=journey.state,
                nonce=journey.nonce,
                code_verifier=journey.verifier,
            )
        return url, journey

    def claims(self, journey: Journey, code: str, back: str, wanted: Sequence[str] = ()) -> Claims:
        """Give what the provider says of whoever came back; what is wanted, if it knows that.

        Raises:
            ProviderUnavailableError: it does not answer.
            BadProviderAnswerError: it does not take the code, or what it says does not hold.
        """
        metadata = self._known()
        with self._session(back) as session, _translated(self.issuer):
            token = session.fetch_token(
                metadata["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=journey.verifier,
                allow_redirects=False,
            )
            found = self._checked(token, journey)
            endpoint = metadata.get("userinfo_endpoint")
            if endpoint and not all(name in found for name in wanted):
                more = _json(session.get(endpoint))
                if more.get("sub") != found["sub"]:
                    raise BadProviderAnswerError("It tells of somebody else than who came back.")
                found = {**more, **found}
        return found

    def _checked(self, token: Mapping[str, Any], journey: Journey) -> Claims:
        if "id_token" not in token:
            raise BadProviderAnswerError("It gave no ID token; the scope `openid` asks for one.")
        params = {
            "nonce": journey.nonce,
            "client_id": self._client.id,
            "access_token": token.get("access_token"),
        }
        options = {
            "iss": {"essential": True, "value": self._metadata["issuer"]},
            "aud": {"essential": True, "value": self._client.id},
        }
        read = self._decoded(str(token["id_token"]))
        claims = CodeIDToken(read.claims, read.header, options, params)
        claims.validate(leeway=SKEW_S)
        return dict(claims)

    def _decoded(self, text: str) -> jwt.Token:
        """Check the signature; a key that is not known may have been made since we asked."""
        told = self._metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        registry = JWSRegistry(
            algorithms=sorted(ALGORITHMS.intersection(told)), strict_check_header=False
        )
        try:
            return jwt.decode(text, self._known_keys(), registry=registry)
        except InvalidKeyIdError:
            return jwt.decode(text, self._known_keys(anew=True), registry=registry)

    def _known(self) -> Claims:
        """Give what the provider publishes of itself."""
        with self._lock:
            if self._metadata and time.monotonic() < self._old_at_s:
                return self._metadata
            if time.monotonic() < self._away_until_s:
                raise ProviderUnavailableError(self.issuer)
            try:
                found = self._asked(self.issuer.rstrip("/") + DISCOVERY)
            except ProviderUnavailableError:
                self._away_until_s = time.monotonic() + AWAY_S
                raise
            _check_metadata(found, self.issuer)
            self._metadata, self._keys = found, None
            self._old_at_s = time.monotonic() + KEPT_S
            return found

    def _known_keys(self, *, anew: bool = False) -> KeySet:
        if self._keys is None or anew:
            self._keys = KeySet.import_key_set(self._asked(self._metadata["jwks_uri"]))  # type: ignore[arg-type]
        return self._keys

    def _asked(self, address: str) -> Claims:
        with self._session() as session, _translated(self.issuer):
            return _json(session.get(address, withhold_token=True))

    @contextmanager
    def _session(self, back: str | None = None) -> Iterator[Any]:
        told = self._metadata.get("token_endpoint_auth_methods_supported")
        by_body = told and "client_secret_basic" not in told and self._client.secret
        with OAuth2Session(
            self._client.id,
            self._client.secret,
            scope=self._client.scopes,
            redirect_uri=back,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_post" if by_body else None,
            default_timeout=self._timeout_s,
        ) as session:
            if self._adapter is not None:
                for scheme in ("https://", "http://"):
                    session.mount(scheme, self._adapter)
            yield session


def _check_metadata(found: Claims, issuer: str) -> None:
    told = str(found.get("issuer"))
    if told.rstrip("/") != issuer.rstrip("/"):
        raise BadProviderAnswerError(f"It calls itself {told!r}, and CELERIAC_OIDC_ISSUER differs.")
    if missing := [name for name in NEEDED if not isinstance(found.get(name), str)]:
        raise BadProviderAnswerError(f"It does not publish its {missing[0]}.")


def _json(response: requests.Response) -> Claims:
    response.raise_for_status()
    found = response.json()
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


@contextmanager
def _translated(issuer: str) -> Iterator[None]:
    """Tell in words of ours what went wrong; of the provider's own, its code alone.

    Raises:
        ProviderUnavailableError: it does not answer, or says that it cannot for now.
        BadProviderAnswerError: what it answers does not hold.
    """
    try:
        yield
    except requests.HTTPError as error:
        status = 500 if error.response is None else error.response.status_code
        if status >= 500:
            raise ProviderUnavailableError(issuer) from error
        raise BadProviderAnswerError(f"It answered {status}.") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise ProviderUnavailableError(issuer) from error
    except AuthlibBaseError as error:
        raise BadProviderAnswerError(f"It says {error.error!r}.") from error
    except JoseError as error:
        raise BadProviderAnswerError(f"Its ID token does not hold: {error}.") from error
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise BadProviderAnswerError("It is nothing that we can read.") from error
