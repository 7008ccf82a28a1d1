"""Who can reach the web and Flower, and by which address."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from celeriac.addresses import EVERY_INTERFACE
from celeriac.errors import ConfigurationError
from celeriac.settings import Settings


def is_on_loopback(settings: Settings) -> bool:
    """Tell whether nobody beyond this machine can reach the web."""
    return is_loopback(settings.host)


def is_loopback(host: str) -> bool:
    """Tell whether nobody beyond this machine can reach what listens on `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def flower_host(settings: Settings) -> str:
    """Give where Flower listens: it knows no users of ours, so nobody else may reach it."""
    return settings.host if is_on_loopback(settings) else "127.0.0.1"


def flower_url(settings: Settings) -> str:
    """Give the address by which the web reaches Flower, without a slash at its end."""
    if settings.flower_url:
        return settings.flower_url
    return f"http://{_bracketed(flower_host(settings))}:{settings.flower_port}"


def web_url(settings: Settings) -> str:
    """Give the address by which people reach the web, without a slash at its end."""
    if settings.public_url:
        return settings.public_url
    host = EVERY_INTERFACE.get(settings.host, settings.host)
    return f"http://{_bracketed(host)}:{settings.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def require_closed(settings: Settings) -> None:
    """Check that strangers cannot run tasks.

    Raises:
        ConfigurationError: they could.
    """
    if not settings.authentication and (way := _way_in(settings)):
        raise ConfigurationError(
            f"{way}, so everybody who comes that way could run tasks. "
            "Set CELERIAC_AUTHENTICATION=on, or let this machine alone reach the web."
        )


def _way_in(settings: Settings) -> str | None:
    """Tell how others than this machine reach the web; a proxy of theirs does so on loopback."""
    if not is_on_loopback(settings):
        return f"CELERIAC_HOST is {settings.host}"
    if settings.trusted_proxies:
        return f"CELERIAC_TRUSTED_PROXIES is {settings.trusted_proxies}"
    if settings.public_url and not is_loopback(urlsplit(settings.public_url).hostname or ""):
        return f"CELERIAC_PUBLIC_URL is {settings.public_url}"
    return None
