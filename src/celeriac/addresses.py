"""Addresses of servers: which schemes each may have, and what is wrong with one, in words."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

BROKER_SCHEMES = ("amqp", "amqps", "redis", "rediss", "redis+socket")
REDIS_SCHEMES = ("redis", "rediss", "redis+socket")
HISTORY_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")
SMTP_SCHEMES = ("smtp", "smtps", "smtp+starttls")


LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
EVERY_INTERFACE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
"""Where a server listens on all of them, and by which it is reached from its own machine."""
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def _url_with(schemes: tuple[str, ...]) -> AfterValidator:
    def check(url: SecretStr) -> SecretStr:
        # kombu would take the rest for further brokers, and tell their passwords in clear text.
        if ";" in url.get_secret_value():
            raise ValueError("names several servers; give one, and write a password's ; as %3B")
        parts = urlsplit(url.get_secret_value())
        try:
            _ = parts.port
        except ValueError:
            # Python's message would quote the address, and the password may be in it.
            raise ValueError(
                "has no valid port; write a password's special characters as %2F, %40 ..."
            ) from None
        if parts.scheme not in schemes:
            raise ValueError(
                f"has the scheme {parts.scheme!r}; expected one of {', '.join(schemes)}, "
                f"for example {schemes[0]}://host"
            )
        rest = f"{parts.path}{parts.query}{parts.fragment}"
        if "@" in rest and parts.scheme != "redis+socket":
            raise ValueError(
                "has an @ behind its host; write a password's special characters as %2F, %40 ..."
            )
        if not (parts.hostname or parts.path.strip("/")):
            raise ValueError(f"names no host; expected {schemes[0]}://host")
        database = parts.path.strip("/")
        if parts.scheme in ("redis", "rediss") and database and not database.isdecimal():
            raise ValueError("ends in no database number; expected redis://host:6379/0")
        return url

    return AfterValidator(check)


def web_address(url: str) -> str:
    """Give the address of a web without a slash at its end.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("is no address of a web; expected https://celeriac.example.org")
    return url.rstrip("/")


def _issuer(url: str) -> str:
    parts = urlsplit(web_address(url))
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ValueError("is reached by https alone, or is on this machine")
    return url


def _flower_address(url: str) -> str:
    url = web_address(url)
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.path:
        raise ValueError(
            "is more than scheme, host and port; Flower is at /flower/ there, and its password is "
            "CELERIAC_FLOWER_BASIC_AUTH"
        )
    return url


BrokerUrl = Annotated[SecretStr, _url_with(BROKER_SCHEMES)]
RedisUrl = Annotated[SecretStr, _url_with(REDIS_SCHEMES)]
SmtpUrl = Annotated[SecretStr, _url_with(SMTP_SCHEMES)]
HistoryUrl = Annotated[SecretStr, _url_with(HISTORY_SCHEMES)]
PublicUrl = Annotated[str, AfterValidator(web_address)]
IssuerUrl = Annotated[str, AfterValidator(_issuer)]
FlowerUrl = Annotated[str, AfterValidator(_flower_address)]
