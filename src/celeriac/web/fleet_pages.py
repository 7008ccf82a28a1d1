"""The pages of queues and of workers: what they do, and what can be asked of them."""

from typing import Final

from flask import (
    Blueprint,
    Response,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as BaseResponse

from celeriac.errors import WorkerRefusedError
from celeriac.runs import Workers
from celeriac.web.context import runs
from celeriac.web.fleet_view import WorkerView, missing_parts, queue_views, worker_views
from celeriac.web.live_page import kept_apart, live_page

fleet = Blueprint("fleet", __name__)

PURGE_STEP_S = 5.0
"""After so long a purge shows how far it is, and goes on. Each step gives back what it keeps, which
RabbitMQ lets happen twenty times."""
CHANGES: Final = {"grow": Workers.grow, "shrink": Workers.shrink, "shutdown": Workers.shutdown}


@fleet.get("/queues")
def queues() -> Response:
    """Show the queues; a page that refreshes itself gets its rows only."""
    found = runs().queues.all()
    return live_page(
        "queues.html",
        "queues_live.html",
        views=queue_views(found),
        away=list(missing_parts(found)),
        waiting=sum(queue.ready or 0 for queue in found),
    )


@fleet.get("/queues/<path:name>")
def queue(name: str) -> BaseResponse:
    """Lead to the queue's row; a name that no queue has is told with those that are near."""
    runs().queues.get(name)
    return redirect(url_for("fleet.queues", _anchor=f"queue-{name}"), 302)


@fleet.post("/queues/<path:name>/pause")
def pause(name: str) -> BaseResponse:
    """Hold a queue back."""
    runs().queues.pause(name)
    flash(f"{name} is paused. Workers finish what they have fetched and take no more.")
    return redirect(url_for("fleet.queues"), 303)


@fleet.post("/queues/<path:name>/resume")
def resume(name: str) -> BaseResponse:
    """Let a queue flow again."""
    runs().queues.resume(name)
    flash(f"{name} is resumed.")
    return redirect(url_for("fleet.queues"), 303)


@fleet.get("/queues/<path:name>/purge")
def confirm_purge(name: str) -> Response:
    """Ask for the queue's name before it is emptied, where no dialog can."""
    return kept_apart(render_template("purge.html", queue=runs().queues.get(name)))


@fleet.post("/queues/<path:name>/purge")
def purge(name: str) -> BaseResponse | tuple[str, int]:
    """Empty a queue, once its name was typed; of a long one, show how far it is and go on."""
    if request.form.get("confirm") != name:
        queue = runs().queues.get(name)
        return render_template("purge.html", queue=queue, is_wrong=True), 422
    before = request.form.get("purged", 0, int)
    done = runs().queues.purge(name, request.form.get("most", None, int), PURGE_STEP_S)
    purged = before + done.purged
    if done.left:
        return render_template("purging.html", name=name, done=done, purged=purged), 200
    flash(_purged_words(name, purged, done.kept))
    return redirect(url_for("fleet.queues"), 303)


def _purged_words(name: str, purged: int, kept: int) -> str:
    words = f"{purged:,} purged from {name}; their runs are revoked."
    if kept:
        words += f" {kept:,} had begun before and end when a worker takes them."
    return words


@fleet.get("/workers")
def workers() -> Response:
    """Show the workers; a page that refreshes itself gets its cards only."""
    views = worker_views(runs().workers.all())
    alive = [view for view in views if view.is_alive]
    return live_page("workers.html", "workers_live.html", views=views, alive=alive)


@fleet.get("/workers/<path:name>")
def worker(name: str) -> Response:
    """Show one worker."""
    view = WorkerView(runs().workers.get(name))
    return live_page("worker.html", "worker_live.html", view=view)


@fleet.post("/workers/<path:name>/<any(grow, shrink, shutdown):change>")
def change_worker(name: str, change: str) -> BaseResponse:
    """Do what a button of a worker's card says, and show the page that it was on again."""
    if change == "shutdown" and request.form.get("confirm") != name:
        raise WorkerRefusedError(f"Type {name} to confirm that it shall end.")
    CHANGES[change](runs().workers, name)
    words = {"grow": "gets a slot more", "shrink": "gives up a slot"}
    flash(f"{name} {words.get(change, 'finishes what it executes and ends')}.")
    here = {"worker": url_for("fleet.worker", name=name)}.get(request.form.get("on", ""))
    return redirect(here or url_for("fleet.workers"), 303)
