"""What has to be there before anybody can sign in: the tables, and the first administrator."""

from celeriac.access import Access
from celeriac.exposure import web_url
from celeriac.settings import Settings
from celeriac.start_wait import wait_for


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
    wait_for(access.prepare, "web", settings.start_wait_s)
    if secret := access.links.for_setup():
        link = f"{web_url(settings)}/welcome/{secret}"
        print(
            f"There is no administrator yet. Become the first administrator, once: {link}",
            flush=True,
        )
    access.close()
