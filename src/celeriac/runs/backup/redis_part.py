"""A database of Redis, key by key, each with the time that it has left.

Each key is as it was at one instant, and another may be as it was a little later.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from celeriac.errors import ConfigurationError
from celeriac.redis_client import connect, redis_errors

AT_ONCE: Final = 200
TIMEOUT_S: Final = 30.0
AWAY: Final = "Redis did not answer. Nothing but the backup was touched; try again shortly."
HALF: Final = "Redis did not take all of it; empty that database before you try again."


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
        if dump is not None:  # It has expired meanwhile.
            words = {"key": _text(key), "left_ms": max(0, left_ms), "dump": _text(dump)}
            yield json.dumps(words) + "\n"


def restoring(url: str, path: Path) -> tuple[Callable[[], str | None], Callable[[], str]]:
    """Give what tells whether anything stands against it, and what does it."""

    def check() -> str | None:
        with redis_errors(AWAY), connect(url, timeout_s=TIMEOUT_S) as client:
            number = client.dbsize()
        return f"the database has {number:,} keys already." if number else None

    return check, lambda: _restore(url, path)


def _restore(url: str, path: Path) -> str:
    restored = 0
    with redis_errors(HALF), connect(url, timeout_s=TIMEOUT_S, tries=1) as client:
        try:
            with path.open() as file:
                while lines := list(islice(file, AT_ONCE)):
                    restored += _put(client, lines)
        except NoPermissionError:
            raise ConfigurationError(
                "This user of Redis may not restore keys (RESTORE). "
                "Name one that may with --redis redis://USER:PASSWORD@HOST:6379/0."
            ) from None
        except ResponseError as error:
            raise ConfigurationError(f"Redis refuses: {error}. {HALF}") from None
    return f"{restored:,} keys"


def _put(client: Any, lines: list[str]) -> int:
    with client.pipeline(transaction=False) as pipe:
        for line in lines:
            words = json.loads(line)
            pipe.restore(b64decode(words["key"]), words["left_ms"], b64decode(words["dump"]))
        pipe.execute()
    return len(lines)


def _text(value: bytes) -> str:
    return b64encode(value).decode()
