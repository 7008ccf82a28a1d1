"""The entry point for servers of one's own."""

import importlib
import sys
from pathlib import Path

import pytest

from celeriac.runs import DeadLetters


def test_first_request_of_a_process_begins_to_watch_dead_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[DeadLetters] = []
    monkeypatch.setattr(DeadLetters, "watch", lambda letters: watched.append(letters))
    monkeypatch.setenv("CELERIAC_BROKER_URL", "redis://localhost/0")
    monkeypatch.setenv("CELERIAC_REDIS_URL", "redis://localhost/1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "celeriac.wsgi", raising=False)

    client = importlib.import_module("celeriac.wsgi").app.test_client()
    assert watched == []
    for _ in range(2):
        assert client.get("/healthz").status_code == 200

    assert len(watched) == 1
