"""A web whose every page leads to something: real runs, users of every role, and a real server."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

from access_app import CHEAP, AccessApp, access_app
from attack import QUEUES, Count
from celeriac.access import Role, passwords
from celeriac.runs import Runs
from celeriac.settings import load_settings
from flower_process import BASIC_AUTH, running_flower
from servers import RedisServer

TRIED = "tried"


@pytest.fixture(scope="module", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", CHEAP)
        yield


@pytest.fixture(scope="module")
def web(
    valkey_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AccessApp]:
    """Give a web with a user of each role, called like it."""
    valkey_server.flush()
    folder = tmp_path_factory.mktemp("web")
    urls = {"broker_url": valkey_server.url, "redis_url": valkey_server.url.replace("/0", "/1")}
    quick: dict[str, Any] = {"max_wait_s": 0, "publish_timeout_s": 2.5, "data_dir": folder, **urls}
    quick["queues"] = ",".join(QUEUES)
    quick["rate_limit"] = "off"  # An attack of thousands of requests would meet nothing else.
    history = f"sqlite:///{folder}/history.db"
    runs = Runs.of(load_settings(join_stack=False, history_url=history, **quick))
    with (
        running_flower(folder, urls["broker_url"], urls["redis_url"]) as flower,
        access_app(
            folder, runs, flower_url=flower.url, flower_basic_auth=BASIC_AUTH, **quick
        ) as found,
    ):
        for role in Role:
            found.add(str(role), role)
        yield found


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Count:
    """Give what counts how many of a kind were tried; the end of the session tells of all."""
    return lambda what, many: record_property(TRIED, (what, many))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Tell what was tried."""
    reports = [each for kind in terminalreporter.stats.values() for each in kind]
    told: Counter[str] = Counter()
    for report in reports:
        if getattr(report, "when", "") == "call":
            for name, value in report.user_properties:
                if name == TRIED:
                    told[value[0]] += value[1]
    if told:
        terminalreporter.section("tried")
        for what, many in sorted(told.items()):
            terminalreporter.line(f"{many:>8,}  {what}")
