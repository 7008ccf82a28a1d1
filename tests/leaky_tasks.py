"""What libraries and tasks do by accident, done on purpose: they quote addresses and keys."""

import logging
import os
from typing import NoReturn

from celery import shared_task

from celeriac.access.links import Links

FAULT = "fault-of-a-link-0123456789abcdef"
_name_of = Links.name_of


def everything() -> str:
    """Give all that the settings hold as secret."""
    return " ".join(
        value
        for name, value in os.environ.items()
        if name.startswith("CELERIAC_") and name.endswith(("_URL", "_KEY", "_KEYS", "_SECRET"))
    )


@shared_task(name="leaky.tell")
def tell() -> NoReturn:
    """Log, print and raise it."""
    logging.getLogger("leaky").warning("connecting to %s", everything())
    print("printed", everything())
    raise OSError(f"no way to {everything()}")


def _faulty(links: Links, secret: str) -> str | None:
    if secret == FAULT:
        raise RuntimeError(f"a fault of ours, with {everything()}")
    return _name_of(links, secret)


Links.name_of = _faulty  # type: ignore[method-assign, assignment]
