"""Where the static files are: addresses that change with the content, and the icon sprite.

What comes from npm is laid into `static/vendor/` by `python frontend/build.py`.
"""

import hashlib
import logging
from functools import lru_cache
from pathlib import Path

from flask import url_for
from markupsafe import Markup

STATIC = Path(__file__).parent / "static"
MAX_AGE_S = 31_536_000
"""Addresses carry a digest of the content, so a browser may keep what they name for a year."""

log = logging.getLogger(__name__)


def url(name: str) -> str:
    """Give the address of a file under `static/`; it changes whenever the content does."""
    try:
        changed_ns = (STATIC / name).stat().st_mtime_ns
    except FileNotFoundError:
        log.warning("static file %s is missing; `python frontend/build.py` makes it", name)
        return url_for("static", filename=name)
    return url_for("static", filename=name, v=_digest(name, changed_ns))


@lru_cache(maxsize=256)
def _digest(name: str, changed_ns: int) -> str:
    del changed_ns
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


@lru_cache(maxsize=1)
def sprite() -> Markup:
    """Give the icons as one hidden SVG; without a build the pages have none, and still work."""
    try:
        # The sprite is made at build time from pinned packages: it is markup of ours.
        return Markup((STATIC / "vendor" / "icons.svg").read_text(encoding="utf-8"))  # noqa: S704
    except FileNotFoundError:
        log.warning("the icons are missing; `python frontend/build.py` makes them")
        return Markup()
