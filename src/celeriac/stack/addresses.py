"""Addresses as people and probes need them: reachable, well formed, without passwords."""

from urllib.parse import urlsplit

from celeriac.addresses import EVERY_INTERFACE
from celeriac.settings import Settings


def reachable(host: str) -> str:
    """Give the host to connect to where a server listens on `host`."""
    return EVERY_INTERFACE.get(host, host)


def web_address(host: str, port: int, path: str = "") -> str:
    """Give the URL that a browser on this machine opens."""
    name = reachable(host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}{path}"


def without_password(url: str) -> str:
    """Mask the password; the query goes too, since Redis URLs may carry one there."""
    parts = urlsplit(url)
    credentials, _, place = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    masked = f"{user}:***@" if password else f"{user}@" if user else ""
    return f"{parts.scheme}://{masked}{place}{parts.path}"


def table_of(settings: Settings) -> list[tuple[str, str]]:
    """Give the rows that `celeriac up` shows when all is ready."""
    broker_url, redis_url = settings.require_urls()
    return [
        ("web", web_address(settings.host, settings.port)),
        ("API docs", web_address(settings.host, settings.port, "/docs")),
        ("Flower", web_address(settings.host, settings.port, "/flower/")),
        ("broker", without_password(broker_url)),
        ("Redis", without_password(redis_url)),
    ]
