"""One file that holds what Redis, the history and RabbitMQ's definitions were, and how to go back.

- `archive`: the file: its parts, and the sums by which each is checked.
- `redis_part`, `history_part`, `broker_part`: how each part is saved, and put back.

It is made while everything runs. Redis comes before the history: what is recorded in between is in
both, and recording it once more changes nothing. docs/how-to/back-up.md says what it does not hold.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from celeriac.errors import ConfigurationError
from celeriac.runs.backup import broker_part, history_part, redis_part
from celeriac.runs.backup.archive import Archive, Writer
from celeriac.settings import Settings

RESULTS, MESSAGES, HISTORY, DEFINITIONS = "redis", "redis-broker", "history", "rabbitmq.json"
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
        yield RESULTS, writer.add(RESULTS, lambda path: redis_part.save(redis_url, path))
        if not broker_url.startswith("amqp"):
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
    """Put every part back. Nothing is changed unless all places are empty and the file is whole.

    Raises:
        ConfigurationError: the file is damaged, or something is there already.
        BrokerUnavailableError, ResultsUnavailableError, HistoryUnavailableError
    """
    with Archive(file) as archive:
        steps = _steps(settings, archive, management_url)
        for name, check, _ in steps:
            if problem := check():
                raise ConfigurationError(f"Nothing was restored: {name}: {problem}")
        for name, _, put_back in steps:
            yield name, put_back()


_Step = tuple[str, Callable[[], str | None], Callable[[], str]]


def _steps(settings: Settings, archive: Archive, management_url: str | None) -> list[_Step]:
    """Give each part of the file, what stands against it, and how to put it back."""
    broker_url, redis_url = settings.require_urls()
    address, steps = settings.history_address, list[_Step]()
    for name, path in archive.parts.items():
        if name in (RESULTS, MESSAGES):
            url = redis_url if name == RESULTS else broker_url
            steps.append((name, *redis_part.restoring(url, path)))
        elif name == HISTORY:
            steps.append((name, *history_part.restoring(address, path)))
        elif management_url:
            vhost = broker_part.vhost_of(broker_url)
            steps.append((name, *broker_part.restoring(management_url, vhost, path)))
        else:
            words = "left out; --management says where RabbitMQ's management is"
            steps.append((name, lambda: None, lambda words=words: words))  # type: ignore[misc]
    return steps
