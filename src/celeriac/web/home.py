"""The home page: what happened, what runs now, and what is wrong, at a glance."""

from typing import Any, Final

from flask import Blueprint, Response, render_template, request, url_for

from celeriac.runs import SPANS, USUAL_SPAN, Glance, Span
from celeriac.web.context import guard, runs
from celeriac.web.home_view import (
    charts_of,
    deepest,
    failure_title,
    first_steps,
    points_of,
    running_views,
    tiles_of,
)
from celeriac.web.live_page import kept_apart, live_page
from celeriac.web.snippets import snippets_of

COMMANDS: Final = ("cli", "http", "python")

home = Blueprint("home", __name__)


@home.get("/")
def show() -> Response:
    """Show everything at a glance; a page that refreshes itself gets only what changes."""
    span = SPANS.get(request.args.get("range", ""), USUAL_SPAN)
    glance = runs().overview.look(span)
    return live_page("home.html", "home_live.html", **_shown(span, glance))


@home.get("/numbers")
def numbers() -> Response:
    """Show what the charts draw, as tables: the same for people and browsers without charts."""
    span = SPANS.get(request.args.get("range", ""), USUAL_SPAN)
    stats = runs().overview.look(span).stats
    points = points_of(stats.value, url_for("run_list.show"))
    page = render_template("numbers.html", span=span, stats=stats, points=points)
    return kept_apart(page)


def _shown(span: Span, glance: Glance) -> dict[str, Any]:
    queues = glance.queues.value or []
    return {
        "spans": SPANS.values(),
        "span": span,
        "glance": glance,
        "tiles": tiles_of(glance),
        "charts": charts_of(glance.stats.value),
        "running": running_views(glance),
        "deepest": deepest(queue.ready for queue in queues),
        "failure_title": failure_title,
        **(_first() if glance.is_fresh else {"first": None}),
    }


def _first() -> dict[str, Any]:
    """Give what a newcomer is shown in place of empty charts."""
    first = first_steps(runs().catalog.tasks)
    if first is None:
        return {"first": None}
    is_guarded, root_url = guard() is not None, request.url_root
    snippets = snippets_of(first.spec, first.args, {}, root_url, with_token=is_guarded)
    found = {s.key: s for s in snippets}
    return {"first": first, "snippets": [found[key] for key in COMMANDS]}
