"""RabbitMQ's definitions of our virtual host, by its management API: queues, exchanges, bindings
and policies. Messages are in no definition."""

import json
import urllib.error
import urllib.request
from base64 import b64encode
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

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


class BrokerPart:
    """Such definitions, and the virtual host that they go back into."""

    def __init__(self, management_url: str, vhost: str, path: Path) -> None:
        self._management_url = management_url
        self._vhost = vhost
        self._definitions = json.loads(path.read_text())

    def check(self) -> str | None:
        """Tell what stands against it."""
        number = len(_ask(self._management_url, f"queues/{quote(self._vhost, safe='')}"))
        return f"the virtual host {self._vhost} has {number:,} queues already." if number else None

    def put_back(self) -> str:
        """Define them; gives how many queues there are."""
        path = f"definitions/{quote(self._vhost, safe='')}"
        _ask(self._management_url, path, self._definitions)
        return f"{len(self._definitions.get('queues', [])):,} queues"


def _ask(management_url: str, path: str, body: object = None) -> Any:
    parts = _checked(management_url)
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
        return json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        raise ConfigurationError(
            f"RabbitMQ's management refuses ({error.code}); its user must be an administrator."
        ) from None
    except (OSError, HTTPException, ValueError) as error:
        raise BrokerUnavailableError("RabbitMQ's management did not answer.") from error


def _checked(management_url: str) -> SplitResult:
    try:
        parts = urlsplit(management_url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # It has no valid port; Python's message would quote the password.
        pass
    raise ConfigurationError("--management names no management: http://admin:PASSWORD@HOST:15672")
