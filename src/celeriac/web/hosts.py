"""Which hosts a request may name.

A page of another site can let its own name point to this machine (DNS rebinding) and then read what
we answer. So what a request calls us must be a name that we go by.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Response, request

from celeriac.addresses import EVERY_INTERFACE, LOOPBACK
from celeriac.errors import ConfigurationError
from celeriac.settings import Settings
from celeriac.web.context import guard
from celeriac.web.problems import plain_problem

SETTING = "CELERIAC_TRUSTED_HOSTS"
ANY = "*"


def trusted_names(settings: Settings) -> frozenset[str]:
    """Give the names that requests may use; `*` among them stands for every name.

    Raises:
        ConfigurationError: an entry of the setting is no host.
    """
    more = settings.trusted_hosts
    if more is None and settings.host in EVERY_INTERFACE:
        return frozenset({ANY})
    entries = [entry for entry in (more or "").split(",") if entry.strip()]
    return frozenset({settings.host.lower(), *LOOPBACK, *(_entry_name(e) for e in entries)})


def refuse_untrusted_host(trusted: Collection[str]) -> Response | None:
    """Answer 400 to a request that calls us by a name we do not go by.

    Probes of a load balancer use whatever address the machine has, so `/healthz` and `/readyz`
    always answer; so does Prometheus where `/metrics` asks for a token, which no page of another
    site has. Flask's own `TRUSTED_HOSTS` is of no use here: it never matches an IPv6 address.
    """
    if _asks_by_any_name() or is_trusted(request.host, trusted):
        return None
    return plain_problem(
        400,
        "untrusted_host",
        f"This server does not go by the name {request.host!r}. If it should, add the name to "
        f"{SETTING} (names separated by commas; `.example.org` stands for every name below it).",
    )


def _asks_by_any_name() -> bool:
    guarded = guard() is not None and request.blueprint == "metrics"
    return guarded or request.blueprint == "health"


def is_trusted(host: str, trusted: Collection[str]) -> bool:
    """Tell whether `host`, as a request names it, is one of ours; its port does not matter."""
    if ANY in trusted:
        return True
    name = _host_name(host)
    return name in trusted or any(f".{name}".endswith(t) for t in trusted if t.startswith("."))


def _host_name(host: str) -> str:
    """Give the name without the port; empty for what is no host."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _entry_name(entry: str) -> str:
    """Read one entry of the setting: a name, an address, either with a port, or `.domain`."""
    entry = entry.strip().lower()
    name = entry if entry == ANY or _is_address(entry) else _host_name(entry)
    with suppress(UnicodeError):
        name = name if name.isascii() else name.encode("idna").decode()
        if name.strip(".") and not re.search(r"[/@\s]", entry):
            return name
    raise ConfigurationError(f"{SETTING}: {entry!r} is no name of a host.")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
