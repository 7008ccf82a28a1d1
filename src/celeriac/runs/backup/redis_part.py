"""A database of Redis, key by key, each with the time that it has left.

Each key is as it was at one instant, and another may be as it was a little later.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from celeriac.errors import ConfigurationError
from celeriac.redis_client import connect, redis_errors

AT_ONCE: Final = 200
TIMEOUT_S: Final = 30.0
AWAY: Final = "Redis did not answer. Nothing but the backup was touched; try again shortly."
HALF: Final = "Redis did not take all of it; empty that database, and what was restored before it."
EXPIRED: Final = (-2, 0)
"""What is left of a key that has gone since it was read, or goes this very moment; 0 would last."""


def save(url: str, path: Path) -> str:
    """Write each key; gives how many there are."""
    written = 0
    with redis_errors(AWAY), connect(url, timeout_s=TIMEOUT_S) as client, path.open("w") as file:
        keys = client.scan_iter(count=AT_ONCE)
        seen: set[bytes] = set()  # A scan may meet a key twice.
        while page := [key for key in islice(keys, AT_ONCE)]:
            new = [key for key in dict.fromkeys(page) if key not in seen]
            seen.update(new)
            for line in _lines(client, new):
                file.write(line)
                written += 1
    return f"{written:,} keys"


def _lines(client: Any, keys: list[bytes]) -> Iterator[str]:
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.dump(key)
            pipe.pttl(key)
        answers = pipe.execute()
    for key, dump, left_ms in zip(keys, answers[::2], answers[1::2], strict=True):
        if dump is not None and left_ms not in EXPIRED:
            words = {"key": _text(key), "left_ms": max(0, left_ms), "dump": _text(dump)}
            yield json.dumps(words) + "\n"


def is_same(url: str, other_url: str) -> bool:
    """Tell whether both name one database of one server, however they are written."""
    return _identity(url) == _identity(other_url)


def _identity(url: str) -> tuple[str, int]:
    with redis_errors(AWAY), connect(url, timeout_s=TIMEOUT_S) as client:
        database = client.connection_pool.connection_kwargs.get("db") or 0
        return client.info("server")["run_id"], database


class RedisPart:
    """Such keys, and the database that they go back into."""

    def __init__(self, url: str, path: Path) -> None:
        self._url = url
        self._path = path

    def check(self) -> str | None:
        """Tell what stands against it.

        Raises:
            ConfigurationError: Redis refuses keys such as the first one.
            ResultsUnavailableError
        """
        with redis_errors(AWAY), connect(self._url, timeout_s=TIMEOUT_S) as client:
            if number := client.dbsize():
                return f"the database has {number:,} keys already."
            with _refusals("Nothing was restored."), self._path.open() as file:
                for line in islice(file, 1):
                    key, _, dump = _read(line)
                    # It is read in whole, and not kept, since it expired in 1970.
                    client.restore(key, 1, dump, absttl=True)
        return None

    def put_back(self) -> str:
        """Restore each key; gives how many there are."""
        restored = 0
        with (
            redis_errors(HALF),
            connect(self._url, timeout_s=TIMEOUT_S, tries=1) as client,
            _refusals(HALF),
            self._path.open() as file,
        ):
            while lines := list(islice(file, AT_ONCE)):
                restored += _put(client, lines)
        return f"{restored:,} keys"


@contextmanager
def _refusals(outcome: str) -> Iterator[None]:
    try:
        yield
    except NoPermissionError:
        raise ConfigurationError(
            "This user of Redis may not restore keys (RESTORE). "
            "Name one that may with --redis redis://USER:PASSWORD@HOST:6379/0."
        ) from None
    except ResponseError as error:
        raise ConfigurationError(f"Redis refuses: {error}. {outcome}") from None


def _put(client: Any, lines: list[str]) -> int:
    with client.pipeline(transaction=False) as pipe:
        for line in lines:
            pipe.restore(*_read(line))
        pipe.execute()
    return len(lines)


def _read(line: str) -> tuple[bytes, int, bytes]:
    words = json.loads(line)
    return b64decode(words["key"]), words["left_ms"], b64decode(words["dump"])


def _text(value: bytes) -> str:
    return b64encode(value).decode()
