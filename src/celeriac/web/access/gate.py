"""Finds out who asks, before anything else is done, and refuses what they may not."""

from dataclasses import replace
from hmac import compare_digest
from typing import Final
from urllib.parse import quote, urlsplit

from flask import Flask, Response, copy_current_request_context, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from celeriac.access import LOCAL, Identity, Means, Role
from celeriac.access.errors import BadTokenError, ForbiddenError, NotSignedInError
from celeriac.errors import HistoryUnavailableError
from celeriac.web.access import cookie
from celeriac.web.access.limiting import check_address, check_asker, tell_rate
from celeriac.web.access.permissions import PUBLIC, rule_of
from celeriac.web.access.reach import check_reach
from celeriac.web.access.recording import KEY, record_change
from celeriac.web.access.watching import Going, Progress, watch, while_allowed
from celeriac.web.context import guard, settings
from celeriac.web.gateway import LiveStream
from celeriac.web.problems import of_celeriac_error, wants_page

BEARER: Final = "bearer "
MONITOR: Final = Identity("metrics", Role.VIEWER, Means.TOKEN)
REFUSED: Final = "celeriac.refused"
"""Where in a request's environ it stands why its token opens nothing."""


def install(app: Flask) -> None:
    """Let the app ask who it is, and write down what they change."""
    app.before_request(check_address)
    app.before_request(_identify)
    app.before_request(check_asker)
    app.before_request(_let_in)
    app.after_request(record_change)
    app.after_request(tell_rate)
    app.after_request(_watch_stream)
    app.jinja_env.globals.update(may=may, who=who, is_guarded=_is_guarded)


def who() -> Identity | None:
    """Give who asks, or None where nobody has shown that."""
    if guard() is None:
        return LOCAL
    found: Identity | None = request.environ.get(KEY)
    return found


def me() -> Identity:
    """Give who asks.

    Raises:
        NotSignedInError: nobody has shown that.
    """
    if (found := who()) is None:
        raise NotSignedInError
    return found


def person() -> Identity:
    """Give who asks and must be there in person: no token manages users, tokens or passwords.

    Raises:
        ForbiddenError: a token asks.
        NotSignedInError: nobody has shown who asks.
    """
    if (found := me()).means is Means.TOKEN:
        raise ForbiddenError("A token cannot do that. Sign in with a browser.")
    return found


def may(endpoint: str, *, task: str | None = None, queue: str | None = None) -> bool:
    """Tell whether whoever asks may use an endpoint on these, so that pages show what works."""
    rule, found = rule_of(endpoint), who()
    if rule.role is None or found is None:
        return rule.role is None
    return found.may(rule.role) and _reaches(found, rule.reach, task, queue)


def _reaches(found: Identity, kind: str, task: str | None, queue: str | None) -> bool:
    """Tell whether `check_reach` lets it be, as far as it is known; a queue holds any task."""
    limits_tasks = any(scope.tasks is not None for scope in found.scopes)
    if kind == "all" or (kind == "queue" and limits_tasks):
        return not found.is_limited
    return (task is None or found.may_use_task(task)) and (
        queue is None or found.may_use_queue(queue)
    )


def may_go_on() -> bool:
    """Tell whether whoever asks may still, after a while; as long as nobody can tell, they may."""
    if guard() is None:
        return True
    try:
        found = _identified()
    except BadTokenError:
        return False
    except HistoryUnavailableError:
        return True
    rule = rule_of(request.endpoint)
    if rule.role is None or found is None:
        return rule.role is None
    return found.may(rule.role) and not (found.is_limited and rule.reach == "all")


def watched(going: Going[Progress]) -> Going[Progress]:
    """Let an action on many, begun by whoever asks, stop soon after they may no longer."""
    return while_allowed(going, copy_current_request_context(may_go_on))


def _is_guarded() -> bool:
    return guard() is not None


def _identify() -> None:
    if guard() is None or _is_open():
        return
    try:
        request.environ[KEY] = _identified()
    except BadTokenError as error:
        request.environ[REFUSED] = error


def _let_in() -> BaseResponse | None:
    if guard() is None:
        request.environ[KEY] = replace(LOCAL, address=request.remote_addr or "")
        return None
    if _is_open():
        return None
    if (error := request.environ.get(REFUSED)) is not None:
        return _asked_to_show(error)
    rule, found = rule_of(request.endpoint), who()
    if rule.role is None:
        return None
    if found is None:
        return _asked_to_sign_in()
    if not found.may(rule.role):
        raise ForbiddenError(
            f"This asks for the role {rule.role}; {found.name} is {found.role}. "
            "An administrator can change that."
        )
    check_reach(found, rule.reach)
    return None


def _is_open() -> bool:
    """Tell whether nobody need know who asks."""
    return rule_of(request.endpoint) is PUBLIC and request.blueprint != "signing"


def _identified() -> Identity | None:
    """Find out who asks, by a token or else by the browser's session.

    Raises:
        BadTokenError: a token came, and opens nothing.
    """
    keeper = guard()
    assert keeper is not None
    found = None
    if (header := request.headers.get("Authorization", "")).lower().startswith(BEARER):
        token = header[len(BEARER) :].strip()
        if _opens_metrics(token):
            return MONITOR
        if (found := keeper.access.tokens.find(token)) is None:
            raise BadTokenError
    elif secret := cookie.secret():
        found = keeper.access.sessions.find(secret)
    return replace(found, address=request.remote_addr or "") if found else None


def _opens_metrics(token: str) -> bool:
    """Tell whether it is the token of the settings; it opens one address, without a database."""
    known = settings().metrics_token
    if known is None or request.endpoint != "metrics.show":
        return False
    return compare_digest(token.encode(), known.get_secret_value().encode())


def _asked_to_sign_in() -> BaseResponse:
    if wants_page() and "HX-Request" not in request.headers:
        asked = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return redirect(f"{url_for('signing.show')}?next={quote(asked)}", 303)
    return _asked_to_show(NotSignedInError())


def _asked_to_show(error: NotSignedInError) -> Response:
    response = of_celeriac_error(error)
    more = ', error="invalid_token"' if isinstance(error, BadTokenError) else ""
    response.headers["WWW-Authenticate"] = f'Bearer realm="Celeriac"{more}'
    return response


def way_back(asked: str) -> str:
    """Give where to go after signing in: a page of ours, whatever somebody wrote into a link."""
    if not asked.startswith("/") or asked[:2] in ("//", "/\\") or not asked.isprintable():
        return url_for("home.show")
    try:
        parts = urlsplit(asked)
    except ValueError:
        return url_for("home.show")
    return url_for("home.show") if parts.scheme or parts.netloc else asked


def _watch_stream(response: Response) -> Response:
    if guard() is not None and isinstance(response.response, LiveStream):
        watch(response, copy_current_request_context(may_go_on))
    return response
