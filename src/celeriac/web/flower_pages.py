"""Flower at `/flower/`, behind our own sign-in: each request is passed on to it, or refused.

What changes nothing is a viewer's; each order of Flower's API has a line of its own here and in the
table of permissions, and those that are not here are refused. docs/adr/0013-flower.md says why.
"""

import hashlib
from base64 import b64encode
from typing import Final
from urllib.parse import quote

from flask import Blueprint, Flask, Response, abort, current_app, request
from flask_wtf.csrf import CSRFError
from werkzeug.datastructures import Headers

from celeriac.access import Means
from celeriac.settings import Settings
from celeriac.web import headers
from celeriac.web.access.gate import who
from celeriac.web.flower_link import FlowerLink, Question
from celeriac.web.gateway import answer_later

flower = Blueprint("flower", __name__, url_prefix="/flower")

LINK: Final = "celeriac.flower"
SCRIPT_ASKS: Final = "X-Requested-With"
"""Flower's scripts send it, and no page of another site can without asking us first."""
UNESCAPED: Final = "/@:~,+!$&'()*;="
SCRIPTS: Final = tuple(f"\nvar autorefresh = {value};\n" for value in (0, 1))
"""The only scripts that Flower writes into a page. Source: Flower 2.2, workers.html."""


def _hash(script: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


POLICY: Final = headers.POLICY.replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
).replace("script-src 'self'", " ".join(["script-src 'self'", *map(_hash, SCRIPTS)]))


def install(app: Flask, settings: Settings) -> None:
    """Let the app show the Flower that the settings name."""
    app.extensions[LINK] = FlowerLink(settings)
    app.register_blueprint(flower)


@flower.before_request
def refuse_forged() -> None:
    """Refuse a change that a browser may have been led to; a token shows by itself who asks.

    Raises:
        CSRFError: neither a token nor a script of the same site asks.
    """
    asking = who()
    if request.method in ("GET", "HEAD", "OPTIONS") or SCRIPT_ASKS in request.headers:
        return
    if asking is None or asking.means is not Means.TOKEN:
        raise CSRFError(f"Without a token, this asks for the header {SCRIPT_ASKS}.")


@flower.after_request
def tell_in_words(response: Response) -> Response:
    """Let Flower's pages show why something is refused: they print the answer as it is."""
    if SCRIPT_ASKS in request.headers and response.mimetype == "application/problem+json":
        response.set_data(f"{response.get_json()['detail']}\n")
        response.mimetype = "text/plain"
    return response


@flower.get("/", defaults={"path": ""})
@flower.get("/<path:path>")
def see(path: str) -> Response:
    """Show a page of Flower, a file of one, or what its API tells."""
    return _pass_on()


@flower.post("/tasks/datatable")
def search() -> Response:
    """Search Flower's tasks, which it does by POST."""
    return _pass_on()


@flower.post("/api/task/<any(revoke, abort):order>/<run_id>")
def cancel(order: str, run_id: str) -> Response:
    """Cancel a run."""
    return _pass_on()


@flower.post("/api/task/<any(apply, 'async-apply', 'send-task'):order>/<name>")
def submit(order: str, name: str) -> Response:
    """Submit a run."""
    return _pass_on()


@flower.post("/api/task/<any(timeout, 'rate-limit'):order>/<name>")
def limit_task(order: str, name: str) -> Response:
    """Change how long runs of a task may take, or how many a worker starts."""
    return _pass_on()


@flower.post("/api/worker/shutdown/<name>")
def shut_down_worker(name: str) -> Response:
    """Shut a worker down."""
    return _pass_on()


@flower.post("/api/worker/<any(pool, queue):part>/<order>/<name>")
def change_worker(part: str, order: str, name: str) -> Response:
    """Change how many processes a worker has, or the queues that it consumes."""
    return _pass_on()


def _pass_on() -> Response:
    if ".." in request.path.split("/"):
        abort(404)
    asked = Headers(request.headers)
    question = Question(request.method, _target(), asked, request.get_data())
    link: FlowerLink = current_app.extensions[LINK]
    return answer_later(lambda: _response(link, question))


def _response(link: FlowerLink, question: Question) -> Response:
    answer = link.ask(question)
    response = Response(answer.body, answer.status, answer.headers)
    response.call_on_close(answer.close)
    response.headers["Content-Security-Policy"] = POLICY
    return response


def _target() -> str:
    """Write path and query anew, so that nothing in them ends the request line early."""
    path = quote(request.path, safe=UNESCAPED)
    query = quote(request.query_string, safe=f"{UNESCAPED}%?[]")
    return f"{path}?{query}" if query else path
