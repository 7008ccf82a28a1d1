"""Unit tests touch no network: a connection is a mistake, and says so.

Examples that Hypothesis makes up are the same each time; `--hypothesis-profile default` looks for
new ones. How long one takes is no error: that is the machine's affair.
"""

import socket
from collections.abc import Iterator
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")


@pytest.fixture(scope="module", autouse=True)
def _own_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let no app write into the history of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        history = tmp_path_factory.mktemp("history") / "history.db"
        patch.setenv("CELERIAC_HISTORY_URL", f"sqlite:///{history}")
        yield


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_socket: socket.socket, address: object) -> NoReturn:
        pytest.fail(f"a unit test tried to connect to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
