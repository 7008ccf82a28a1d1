"""Where people reach a page of ours: what is printed, mailed or told to others leads there."""

from flask import request

from celeriac.web.context import settings


def public_address(path: str) -> str:
    """Give the whole address of a path as `url_for` gives it."""
    base = settings().public_url or request.url_root.rstrip("/")
    return base + path.removeprefix(request.script_root)
