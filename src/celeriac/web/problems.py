"""Errors as people and programs get them: a page, or `application/problem+json` (RFC 9457)."""

import http
import json
import logging
from collections.abc import Sequence
from typing import Any

from flask import Flask, Response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, NotFound, RequestEntityTooLarge

from celeriac.access.errors import (
    AuthenticationOffError,
    BadProviderAnswerError,
    ForbiddenError,
    LastAdminError,
    LinkSpentError,
    LoginDeniedError,
    LoginLostError,
    NameTakenError,
    NoRoleError,
    NotSignedInError,
    ProviderRefusedError,
    SignInError,
    SignInLostError,
    TooManyAttemptsError,
    TooManyLoginsError,
    TooManyRequestsError,
    UnknownTokenError,
    UnknownUserError,
    UserDisabledError,
)
from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    FlowerUnavailableError,
    HistoryUnavailableError,
    InvalidInputError,
    InvalidKeyError,
    KeyInProgressError,
    KeyReusedError,
    LineError,
    LineTooLongError,
    ResultsUnavailableError,
    RunFinishedError,
    RunNotFoundError,
    RunUnheardOfError,
    TransientError,
    UnconfirmedError,
    UnknownQueueError,
    UnknownTaskError,
    UnknownWorkerError,
    WorkerRefusedError,
)
from celeriac.masking import masked_record
from celeriac.web.context import settings

STATUS: dict[type[CeleriacError], int] = {
    AuthenticationOffError: 404,
    BadProviderAnswerError: 502,
    ForbiddenError: 403,
    InvalidInputError: 422,
    InvalidKeyError: 400,
    KeyInProgressError: 409,
    KeyReusedError: 422,
    LastAdminError: 409,
    LineError: 400,
    LineTooLongError: 413,
    LinkSpentError: 404,
    LoginDeniedError: 403,
    LoginLostError: 404,
    NameTakenError: 409,
    NoRoleError: 403,
    NotSignedInError: 401,
    ProviderRefusedError: 403,
    RunFinishedError: 409,
    RunNotFoundError: 404,
    SignInError: 401,
    SignInLostError: 400,
    TooManyAttemptsError: 429,
    TooManyLoginsError: 429,
    TooManyRequestsError: 429,
    TransientError: 503,
    UnknownQueueError: 404,
    UnknownTaskError: 404,
    UnknownTokenError: 404,
    UnknownUserError: 404,
    UnknownWorkerError: 404,
    UserDisabledError: 403,
    WorkerRefusedError: 409,
}
TITLES: dict[type[CeleriacError], str] = {
    AuthenticationOffError: "Nobody signs in here",
    BrokerUnavailableError: "The broker is away",
    FlowerUnavailableError: "Flower is away",
    ForbiddenError: "Not for you",
    HistoryUnavailableError: "The history is away",
    LastAdminError: "The last administrator",
    LinkSpentError: "This link is spent",
    LoginLostError: "No terminal waits",
    NotSignedInError: "Sign in first",
    ResultsUnavailableError: "The result backend is away",
    RunNotFoundError: "No such run",
    RunUnheardOfError: "No such run",
    UnconfirmedError: "The broker did not confirm",
    UnknownQueueError: "No such queue",
    TooManyAttemptsError: "Too many attempts",
    TooManyRequestsError: "Too many requests",
    UnknownTaskError: "No such task",
    UnknownTokenError: "No such token",
    UnknownUserError: "No such user",
    UnknownWorkerError: "No such worker",
    WorkerRefusedError: "The worker cannot do that",
}
"""What pages say instead of the status' own words."""
INVALID_INPUT = "The input does not fit; see errors."
API_PREFIX = "/api/"
CODE = "celeriac.problem"
"""Where in a request's environ the code of its problem stands."""

logger = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Let every error of the app leave as a problem or as a page."""
    app.register_error_handler(CeleriacError, of_celeriac_error)
    app.register_error_handler(HTTPException, _of_http_error)
    app.register_error_handler(Exception, _of_anything_else)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    title: str | None = None,
    near: Sequence[str] = (),
    **more: Any,
) -> Response:
    """Make the answer to a request that failed, in the form that the client understands.

    `title` is a page's heading; `near` names what may have been meant.
    """
    request.environ[CODE] = code
    if not wants_page():
        return plain_problem(status, code, detail, **more | ({"near": near} if near else {}))
    heading = title or http.HTTPStatus(status).phrase
    page = render_template(
        "error.html", status=status, title=heading, detail=detail, code=code, near=near
    )
    return Response(page, status)


def plain_problem(status: int, code: str, detail: str, **more: Any) -> Response:
    """Make the answer for programs, whoever asked; its title is the status' (RFC 9457)."""
    title = http.HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "code": code}
    return Response(
        json.dumps(body | {"detail": detail, "instance": masked_record(request.path)} | more),
        status,
        mimetype="application/problem+json",
    )


def problem_of(error: CeleriacError) -> dict[str, Any]:
    """Describe an error of ours for programs, apart from any request (RFC 9457)."""
    status = status_of(error)
    found: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "code": error.code,
        "detail": str(error),
    }
    if isinstance(error, InvalidInputError):
        found["detail"] = INVALID_INPUT
        found["errors"] = _errors(error)
    if near := getattr(error, "near", ()):
        found["near"] = near
    return found | _run_of(error)


def of_invalid_input(error: InvalidInputError) -> Response:
    """Name each field that is wrong."""
    return problem(422, error.code, INVALID_INPUT, errors=_errors(error))


def _run_of(error: CeleriacError) -> dict[str, str]:
    """Name the run that may exist after all."""
    return {"run_id": error.run_id} if isinstance(error, UnconfirmedError) else {}


def _errors(error: InvalidInputError) -> list[dict[str, str]]:
    return [{"pointer": p.pointer, "detail": p.detail} for p in error.problems]


def status_of(error: CeleriacError) -> int:
    """Give the status of an answer that tells an error of ours."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)


def of_celeriac_error(error: CeleriacError) -> Response:
    """Answer with an error of ours, as a problem or as a page."""
    if isinstance(error, InvalidInputError):
        return of_invalid_input(error)
    status = status_of(error)
    if status == 500:
        return _of_anything_else(error)
    title, near = TITLES.get(type(error)), getattr(error, "near", ())
    more = _run_of(error)
    response = problem(status, error.code, str(error), title=title, near=near, **more)
    if isinstance(error, TransientError):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _of_http_error(error: HTTPException) -> Response:
    if error.response is not None:
        return error.get_response()  # type: ignore[return-value]
    if isinstance(error, CSRFError):
        return _of_stale_form(error)
    detail = error.description or ""
    if isinstance(error, RequestEntityTooLarge):
        limit = settings().max_body_bytes
        detail = f"The body is larger than {limit} bytes (CELERIAC_MAX_BODY_BYTES)."
    if isinstance(error, NotFound):
        detail = (
            f"Nothing has the address {masked_record(request.path)}; /docs lists what there is."
        )
    response = problem(error.code or 500, error.name.lower().replace(" ", "_"), detail)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _of_stale_form(error: CSRFError) -> Response:
    """Say that a form's proof of where it comes from does not hold, as after a long sleep."""
    detail = f"{error.description} The page with the form is too old; reload it, then send again."
    return problem(400, "stale_form", detail, title="Reload the form")


def _of_anything_else(error: Exception) -> Response:
    logger.exception("%s %s failed", request.method, masked_record(request.path), exc_info=error)
    return problem(500, "internal", "This is a fault of ours; the server's log tells more.")


def wants_page() -> bool:
    """Tell whether a person asks, and no program."""
    if request.path.startswith(API_PREFIX):
        return False
    best = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return best == "text/html"
