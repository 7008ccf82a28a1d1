"""Is the process alive, and can it do its work?"""

from flask import Blueprint, Response, jsonify

from celeriac.errors import HistoryUnavailableError
from celeriac.web.context import guard, runs

health = Blueprint("health", __name__)


@health.get("/healthz")
def healthz() -> Response:
    """Answer as long as the process can answer at all."""
    return jsonify(status="ok")


@health.get("/readyz")
def readyz() -> Response:
    """Try each dependency and name those that do not answer."""
    problems = runs().check() | _sign_in()
    ready = not any(problems.values())
    checks = {name: problem or "ok" for name, problem in problems.items()}
    response = jsonify(status="ready" if ready else "not ready", checks=checks)
    response.headers["Cache-Control"] = "no-store"
    if not ready:
        response.status_code = 503
        response.headers["Retry-After"] = "5"
    return response


def _sign_in() -> dict[str, str | None]:
    """Try the database of those who sign in; without it, nobody is let in."""
    if not (found := guard()):
        return {}
    try:
        found.access.ping()
    except HistoryUnavailableError:
        return {"history": "unreachable"}
    return {"history": None}
