"""Errors as people and programs get them: a page, or `application/problem+json` (RFC 9457)."""

import http
import json
import logging
from collections.abc import Sequence
from typing import Any

from flask import Flask, Response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from celeriac.errors import (
    BrokerUnavailableError,
    CeleriacError,
    HistoryUnavailableError,
    InvalidInputError,
    ResultsUnavailableError,
    RunFinishedError,
    RunNotFoundError,
    TransientError,
    UnconfirmedError,
    UnknownTaskError,
)
from celeriac.web.context import settings

STATUS: dict[type[CeleriacError], int] = {
    InvalidInputError: 422,
    RunFinishedError: 409,
    RunNotFoundError: 404,
    TransientError: 503,
    UnknownTaskError: 404,
}
TITLES: dict[type[CeleriacError], str] = {
    BrokerUnavailableError: "The broker is away",
    HistoryUnavailableError: "The history is away",
    ResultsUnavailableError: "The result backend is away",
    RunNotFoundError: "No such run",
    UnconfirmedError: "The broker did not confirm",
    UnknownTaskError: "No such task",
}
"""What pages say instead of the status' own words."""
API_PREFIX = "/api/"

logger = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Let every error of the app leave as a problem or as a page."""
    app.register_error_handler(CeleriacError, _of_celeriac_error)
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

    `title` is a page's heading; `near` names tasks that may have been meant.
    """
    if not _wants_page():
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
        json.dumps(body | {"detail": detail, "instance": request.path} | more),
        status,
        mimetype="application/problem+json",
    )


def of_invalid_input(error: InvalidInputError) -> Response:
    """Name each field that is wrong."""
    errors = [{"pointer": p.pointer, "detail": p.detail} for p in error.problems]
    return problem(422, error.code, "The input does not fit; see errors.", errors=errors)


def _of_celeriac_error(error: CeleriacError) -> Response:
    if isinstance(error, InvalidInputError):
        return of_invalid_input(error)
    status = next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)
    if status == 500:
        return _of_anything_else(error)
    title, near = TITLES.get(type(error)), getattr(error, "near", ())
    response = problem(status, error.code, str(error), title=title, near=near)
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
    logger.exception("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "internal", "This is a fault of ours; the server's log tells more.")


def _wants_page() -> bool:
    if request.path.startswith(API_PREFIX):
        return False
    best = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return best == "text/html"
