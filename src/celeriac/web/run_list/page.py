"""The page itself, and its rows alone for a page that refreshes itself."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Response, render_template, request

from celeriac.errors import FieldProblem, InvalidInputError
from celeriac.runs import RunFilter, RunList, Runs, run_filter
from celeriac.web.context import runs
from celeriac.web.live_page import kept_apart, wants_part
from celeriac.web.run_list.actions import ACTIONS, TYPED_ABOVE
from celeriac.web.run_list.address import EVER, Query
from celeriac.web.run_list.blueprint import run_list
from celeriac.web.run_list.filter_bar import chips_of, selects_of, state_chips, tags_of
from celeriac.web.run_list.rows import RunRow, total_of


@run_list.get("/runs")
def show() -> Response:
    """Show a page of runs; a page that refreshes itself gets its rows only."""
    query = Query.of(request.args)
    try:
        wanted = run_filter(query.lists())
        found = runs().history.find(wanted, query.cursor)
    except InvalidInputError as error:
        return kept_apart(_page(runs(), query, {}, error.problems), 422)
    rows = _rows(query, wanted, found)
    if wants_part():
        return kept_apart(render_template("runs_rows.html", **rows))
    return kept_apart(_page(runs(), query, rows))


def _page(
    source: Runs,
    query: Query,
    rows: Mapping[str, Any],
    problems: tuple[FieldProblem, ...] = (),
) -> str:
    names = source.history.names()
    return render_template(
        "runs.html",
        query=query,
        problems=problems,
        selects=tuple(selects_of(query, names)),
        states=tuple(state_chips(query)),
        chips=tuple(chips_of(query)),
        tags=tags_of(query, names),
        actions={name: asdict(action) for name, action in ACTIONS.items()},
        typed_above=TYPED_ABOVE,
        **{name: value for name, value in rows.items() if name != "query"},
    )


def _rows(query: Query, wanted: RunFilter, found: RunList) -> Mapping[str, Any]:
    total = total_of(runs().history, wanted, query.cursor, found)
    return {
        "query": query,
        "rows": [RunRow(run) for run in found.runs],
        "total": total,
        "total_words": total.words,
        "older": query.older(found.next_cursor) if found.next_cursor else "",
        "is_bounded": wanted.bounded() is not wanted,
        "everything": query.replaced("since", EVER),
    }
