"""What every view needs, found in the app that serves the request."""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from celeriac.runs import Runs
from celeriac.settings import Settings

EXTENSION = "celeriac"


@dataclass(frozen=True)
class Context:
    """The settings and the runs of one web app."""

    settings: Settings
    runs: Runs


def settings() -> Settings:
    """Give the settings of the current app."""
    return _context().settings


def runs() -> Runs:
    """Give the runs of the current app."""
    return _context().runs


def _context() -> Context:
    return cast(Context, current_app.extensions[EXTENSION])
