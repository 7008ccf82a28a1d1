"""Signing in by the OpenID provider: there and back, and a page for each way that fails.

A provider may take its time, or hang; whoever waits for it holds none of the few short threads.
"""

import time
from typing import Any, Final

from flask import Response, abort, redirect, request, url_for
from flask import session as form_session
from werkzeug.wrappers import Response as BaseResponse

from celeriac.access import Entry, Means, User
from celeriac.access.errors import (
    NameTakenError,
    NoRoleError,
    ProviderRefusedError,
    SignInLostError,
    UserDisabledError,
)
from celeriac.access.provided import Person
from celeriac.access.provider import Journey
from celeriac.access.single_sign_on import SingleSignOn
from celeriac.errors import CeleriacError
from celeriac.web.access.gate import way_back
from celeriac.web.access.signing import Page, begin, sign_in_page, signing
from celeriac.web.context import access, keeper, trail
from celeriac.web.gateway import answer_later
from celeriac.web.problems import status_of
from celeriac.web.public_address import public_address

KEPT: Final = "journeys"
"""In the signed cookie of forms, which comes along from another site by a link alone."""
LASTS_S: Final = 600
AT_ONCE: Final = 3
"""Tabs of one browser that may be on their way."""
LONGEST_WAY: Final = 500
"""A cookie holds no more than 4 KB."""
REFUSALS: Final = (NameTakenError, NoRoleError, UserDisabledError)


@signing.get("/sign-in/provider")
def to_provider() -> Response:
    """Send the browser to the provider, once that has told where."""
    return answer_later(_sent_there)


@signing.get("/sign-in/provider/back")
def from_provider() -> Response:
    """Begin a session for whom the provider has sent back, if this browser was sent there."""
    return answer_later(_let_in)


def _sent_there() -> BaseResponse | Page:
    asked = way_back(request.args.get("next", ""))
    try:
        url, journey = _sign_on().provider.begin(_back())
    except CeleriacError as error:
        return _refused(error, asked)
    way = asked if len(asked) <= LONGEST_WAY else url_for("home.show")
    kept = {**vars(journey), "next": way, "until": int(time.time()) + LASTS_S}
    form_session[KEPT] = [*form_session.get(KEPT, []), kept][-AT_ONCE:]
    return redirect(url, 303)


def _let_in() -> BaseResponse | Page:
    asked = url_for("home.show")
    try:
        # Some say no without the state, and whom nobody signs in needs none.
        if word := request.args.get("error"):
            raise ProviderRefusedError(word)
        kept = _taken(request.args.get("state", ""))
        asked = way_back(kept["next"])
        journey = Journey(kept["state"], kept["nonce"], kept["verifier"])
        person = _sign_on().person(journey, request.args.get("code", ""), _back())
        user = _welcomed(person)
    except CeleriacError as error:
        return _refused(error, asked)
    return begin(user, Means.OIDC, asked)


def _taken(state: str) -> dict[str, Any]:
    """Take a journey from the cookie: each ends once.

    Raises:
        SignInLostError: there is none of this state.
    """
    kept = form_session.get(KEPT, [])
    found = [each for each in kept if each["state"] == state and each["until"] > time.time()]
    if not found:
        raise SignInLostError
    form_session[KEPT] = [each for each in kept if each["state"] != state]
    return dict(found[0])


def _welcomed(person: Person) -> User:
    address = request.remote_addr or ""
    try:
        return access().provided.welcome(person, address)
    except REFUSALS as error:
        detail = {"issuer": person.issuer, "subject": person.subject}
        entry = Entry(
            person.name, Means.OIDC, "session.begin", person.name, address,
            outcome=error.code, detail=detail,
        )  # fmt: skip
        trail().add(entry)
        raise


def _refused(error: CeleriacError, asked: str) -> Page:
    """Show the page to sign in with what went wrong; whoever is there can begin again."""
    return sign_in_page(asked, problem=str(error)), status_of(error)


def _sign_on() -> SingleSignOn:
    """Give the way of signing in by the provider; without one there is nothing at its addresses."""
    if (found := keeper().sign_on) is None:
        abort(404)
    return found


def _back() -> str:
    """Give the address that the provider knows, and sends browsers back to."""
    return public_address(url_for("signing.from_provider"))
