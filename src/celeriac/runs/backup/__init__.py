"""One file that holds what Redis, the history and RabbitMQ's definitions were, and how to go back.

- `archive`: the file: its parts, and the sums by which each is checked.
- `redis_part`, `history_part`, `broker_part`: how each part is saved, and put back.

It is made while everything runs. Redis comes before the history: what is recorded in between is in
both, and recording it once more changes nothing. docs/how-to/back-up.md says what it does not hold.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from celeriac.errors import ConfigurationError
from celeriac.runs.backup import broker_part, history_part, redis_part
from celeriac.runs.backup.archive import Archive, Writer
from celeriac.runs.backup.broker_part import BrokerPart
from celeriac.runs.backup.history_part import HistoryPart
from celeriac.runs.backup.redis_part import RedisPart
from celeriac.settings import Settings

RESULTS, MESSAGES, SHARED = "redis", "redis-broker", "redis-shared"
HISTORY, DEFINITIONS = "history", "rabbitmq.json"
Part = tuple[str, str]
"""The name of a part, and what became of it, in words."""


def save(settings: Settings, file: Path, management_url: str | None) -> Iterator[Part]:
    """Write the file, part by part, and check it.

    Raises:
        ConfigurationError: the file is there already, or a part cannot be saved so.
        BrokerUnavailableError, ResultsUnavailableError, HistoryUnavailableError: no file is left.
    """
    broker_url, redis_url = settings.require_urls()
    with Writer(file) as writer:
        results = SHARED if _is_shared(settings) else RESULTS
        yield results, writer.add(results, lambda path: redis_part.save(redis_url, path))
        if not broker_url.startswith("amqp") and results != SHARED:
            yield MESSAGES, writer.add(MESSAGES, lambda path: redis_part.save(broker_url, path))
        address = settings.history_address
        yield HISTORY, writer.add(HISTORY, lambda path: history_part.save(address, path))
        if management_url:
            vhost = broker_part.vhost_of(broker_url)
            yield (
                DEFINITIONS,
                writer.add(DEFINITIONS, lambda path: broker_part.save(management_url, vhost, path)),
            )


def restore(settings: Settings, file: Path, management_url: str | None) -> Iterator[Part]:
    """Put every part back, the history first, since only that comes back as a whole or not at all.

    Nothing is changed unless all places are empty and the file is whole.

    Raises:
        ConfigurationError: the file is damaged, or something is there already.
        BrokerUnavailableError, ResultsUnavailableError, HistoryUnavailableError
    """
    with Archive(file) as archive:
        _check_broker(settings, archive.parts)
        steps = dict(_steps(settings, archive.parts, management_url))
        for name, step in steps.items():
            if problem := step.check():
                raise ConfigurationError(f"Nothing was restored: {name}: {problem}")
        for name, step in steps.items():
            yield name, step.put_back()
        if DEFINITIONS in archive.parts.keys() - steps:
            yield DEFINITIONS, "left out; --management says where RabbitMQ's management is"


def _is_shared(settings: Settings) -> bool:
    """Tell whether messages and results are in one database of Redis."""
    broker_url, redis_url = settings.require_urls()
    return not broker_url.startswith("amqp") and redis_part.is_same(broker_url, redis_url)


def _check_broker(settings: Settings, parts: Iterable[str]) -> None:
    """Refuse to put messages where no worker would look for them."""
    if MESSAGES in parts and settings.require_urls()[0].startswith("amqp"):
        problem = f"{MESSAGES}: messages of Redis do not go into RabbitMQ."
    elif SHARED in parts and not _is_shared(settings):
        problem = f"{SHARED}: give broker and results one database of Redis, as they had."
    else:
        return
    raise ConfigurationError(f"Nothing was restored: {problem}")


class _Step(Protocol):
    def check(self) -> str | None: ...

    def put_back(self) -> str: ...


def _steps(
    settings: Settings, parts: Mapping[str, Path], management_url: str | None
) -> Iterator[tuple[str, _Step]]:
    """Give how each part of the file is put back, in this order."""
    broker_url, redis_url = settings.require_urls()
    yield HISTORY, HistoryPart(settings.history_address, parts[HISTORY])
    if DEFINITIONS in parts and management_url:
        vhost = broker_part.vhost_of(broker_url)
        yield DEFINITIONS, BrokerPart(management_url, vhost, parts[DEFINITIONS])
    for name, url in ((RESULTS, redis_url), (SHARED, redis_url), (MESSAGES, broker_url)):
        if name in parts:
            yield name, RedisPart(url, parts[name])
