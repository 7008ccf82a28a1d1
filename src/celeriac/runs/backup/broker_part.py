"""RabbitMQ's definitions of our virtual host, by its management API: queues, exchanges, bindings
and policies. Messages are in no definition."""

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from celeriac.errors import BrokerUnavailableError, ConfigurationError

ANSWERS_WITHIN_S = 30.0


def vhost_of(broker_url: str) -> str:
    """Give the virtual host of the broker's address."""
    return unquote(urlsplit(broker_url).path.removeprefix("/")) or "/"


def save(management_url: str, vhost: str, path: Path) -> str:
    """Write the definitions; gives how many queues there are."""
    found = _ask(management_url, f"definitions/{quote(vhost, safe='')}")
    path.write_text(json.dumps(found))
    return f"{len(found.get('queues', [])):,} queues"


def restoring(
    management_url: str, vhost: str, path: Path
) -> tuple[Callable[[], str | None], Callable[[], str]]:
    """Give what tells whether anything stands against it, and what does it."""
    name = quote(vhost, safe="")
    definitions = json.loads(path.read_text())

    def check() -> str | None:
        number = len(_ask(management_url, f"queues/{name}"))
        return f"the virtual host {vhost} has {number:,} queues already." if number else None

    def put_back() -> str:
        _ask(management_url, f"definitions/{name}", definitions)
        return f"{len(definitions.get('queues', [])):,} queues"

    return check, put_back


def _ask(management_url: str, path: str, body: object = None) -> Any:
    parts = urlsplit(management_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            "--management names no management: http://admin:PASSWORD@HOST:15672"
        )
    host = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(  # noqa: S310 - only these two schemes come so far
        f"{parts.scheme}://{host}{parts.path.rstrip('/')}/api/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    who = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    request.add_header("Authorization", f"Basic {b64encode(who.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN_S) as answer:  # noqa: S310
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise ConfigurationError(
            f"RabbitMQ's management refuses ({error.code}); its user must be an administrator."
        ) from None
    except OSError as error:
        raise BrokerUnavailableError("RabbitMQ's management did not answer.") from error
    return json.loads(text) if text else None
