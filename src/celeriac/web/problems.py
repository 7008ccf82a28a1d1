"""Errors as people and programs get them: a page, or `application/problem+json` (RFC 9457)."""

import http
import json
import logging
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from celeriac.errors import (
    CeleriacError,
    InvalidInputError,
    RunFinishedError,
    RunNotFoundError,
    TransientError,
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
API_PREFIX = "/api/"

logger = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Let every error of the app leave as a problem or as a page."""
    app.register_error_handler(CeleriacError, _of_celeriac_error)
    app.register_error_handler(HTTPException, _of_http_error)
    app.register_error_handler(Exception, _of_anything_else)


def problem(status: int, code: str, detail: str, **more: Any) -> Response:
    """Make the answer to a request that failed, in the form that the client understands."""
    title = http.HTTPStatus(status).phrase
    if _wants_page():
        page = render_template(
            "error.html", status=status, title=title, detail=detail, code=code, **more
        )
        return Response(page, status)
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
    response = problem(status, error.code, str(error))
    if isinstance(error, TransientError):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _of_http_error(error: HTTPException) -> Response:
    if error.response is not None:
        return error.get_response()  # type: ignore[return-value]
    detail = error.description or ""
    if isinstance(error, RequestEntityTooLarge):
        limit = settings().max_body_bytes
        detail = f"The body is larger than {limit} bytes (CELERIAC_MAX_BODY_BYTES)."
    response = problem(error.code or 500, error.name.lower().replace(" ", "_"), detail)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _of_anything_else(error: Exception) -> Response:
    logger.exception("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "internal", "This is a fault of ours; the server's log tells more.")


def _wants_page() -> bool:
    if request.path.startswith(API_PREFIX):
        return False
    best = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return best == "text/html"
