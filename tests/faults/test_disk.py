"""A disk that is full under the history: what happens waits in Redis, and is recorded later."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis import Redis

from celeriac.lag import read_lag
from eventually import eventually
from fault_system import System, running
from ordeal import ordeal
from small_disk import SmallDisk, small_disk

MANY = 60
"""How many runs are accepted while nothing is recorded."""

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.parametrize("unstarted_system", ["Valkey"], indirect=True),
]


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """Give a disk that is soon full."""
    with small_disk(tmp_path_factory.mktemp("disk")) as disk:
        yield disk


@pytest.fixture
def on_small_disk(unstarted_system: System, disk: SmallDisk) -> Iterator[System]:
    """Run a system whose history is on the small disk."""
    url = f"sqlite:///{disk.folder}/history.db"
    told = {**unstarted_system.environment, "CELERIAC_HISTORY_URL": url}
    with running(replace(unstarted_system, environment=told)) as system:
        yield system


def test_disk_full_under_the_history(on_small_disk: System, disk: SmallDisk) -> None:
    system = on_small_disk
    with ordeal(system, "disk full under the history") as load:
        disk.fill(system.recorder.pid)
        with Redis.from_url(system.environment["CELERIAC_REDIS_URL"]) as redis:
            eventually(lambda: read_lag(redis).problem, deadline_s=180)
        load.await_more(MANY)
        disk.free(system.recorder.pid)
    assert load.lost() == set()
