"""Pages that refresh themselves: the whole page, or only the part that changes."""

from flask import Response, make_response, render_template, request


def wants_part() -> bool:
    """Tell whether a page that is open asks, for what has changed in it."""
    return "HX-Request" in request.headers


def live_page(page: str, part: str, **values: object) -> Response:
    """Answer with the template of the page, or with that of its part."""
    return kept_apart(render_template(part if wants_part() else page, **values))


def kept_apart(html: str, status: int = 200) -> Response:
    """Answer so that going back never shows a part where the page was."""
    response = make_response(html, status)
    response.headers["Cache-Control"] = "no-store"
    response.vary.add("HX-Request")
    return response
