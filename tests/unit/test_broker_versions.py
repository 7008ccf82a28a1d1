"""Which RabbitMQ reads in a queue how long its runs may take."""

import pytest

from celeriac.runs.definitions import keeps_long_runs


@pytest.mark.parametrize("version", ["3.12.0", "3.13.7", "4.0.5", "4.3.0-rc.1", "unknown"])
def test_queue_tells_a_newer_rabbitmq_how_long_runs_may_take(version: str) -> None:
    assert keeps_long_runs(version)


@pytest.mark.parametrize("version", ["3.8.17", "3.10.8", "3.11.2"])
def test_queue_tells_an_older_rabbitmq_nothing_of_it(version: str) -> None:
    assert not keeps_long_runs(version)
