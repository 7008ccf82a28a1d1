"""What has to be there before anybody can sign in: the tables, and the first administrator."""

import time

from celeriac.access import Access
from celeriac.errors import HistoryUnavailableError
from celeriac.exposure import web_url
from celeriac.settings import Settings

AGAIN_AFTER_S = 2.0


def make_ready(settings: Settings) -> None:
    """Make the tables; while there is nobody, print the link that makes the first administrator.

    Does nothing where nobody has to sign in.

    Raises:
        ConfigurationError: the history's address is wrong, or a newer version made its tables.
        HistoryUnavailableError: its database was away for `start_wait_s`.
    """
    if not settings.authentication:
        return
    access = Access.of(settings)
    _prepare(access, settings.start_wait_s)
    if secret := access.links.for_setup():
        link = f"{web_url(settings)}/welcome/{secret}"
        print(f"Nobody may sign in yet. Become the first administrator, once: {link}", flush=True)
    access.close()


def _prepare(access: Access, wait_s: int) -> None:
    """Make the tables, as soon as the database answers."""
    until_s = time.monotonic() + wait_s
    while True:
        try:
            return access.prepare()
        except HistoryUnavailableError as error:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise HistoryUnavailableError(
                    f"{error} The web waited {wait_s} s for it (CELERIAC_START_WAIT_S) and ends."
                ) from error
            print(f"{error} Trying again for {left_s:.0f} s more.", flush=True)
            time.sleep(min(AGAIN_AFTER_S, left_s))
