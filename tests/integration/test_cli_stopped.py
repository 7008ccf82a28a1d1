"""The history is read where nothing runs: no broker, no Redis, no module of tasks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.history import History
from history_events import Stream


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with a history of one run that has ended."""
    history = History(f"sqlite:///{tmp_path / '.celeriac' / 'history.db'}")
    history.migrate()
    stream = Stream()
    stream.run(0, task="gone.task", id="run-1")
    history.apply(stream.events)
    history.close()
    return tmp_path


def _celeriac(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CELERIAC_")}
    return subprocess.run(
        [sys.executable, "-m", "celeriac", *words],
        cwd=folder,
        env={**kept, "CELERIAC_TASKS": "a_module_that_is_gone"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_history_is_read_where_nothing_runs(folder: Path) -> None:
    listed = _celeriac(folder, "runs", "list", "--json")
    shown = _celeriac(folder, "run", "show", "run-1", "--json")
    exported = _celeriac(folder, "history", "export")
    counted = _celeriac(folder, "stats", "--since", "365d", "--json")
    pruned = _celeriac(folder, "history", "prune", "--keep", "0", "--yes", "--json")

    assert [run["id"] for run in json.loads(listed.stdout)] == ["run-1"]
    assert json.loads(shown.stdout)["task"] == "gone.task"
    assert "history" in shown.stderr
    assert json.loads(exported.stdout)["id"] == "run-1"
    assert json.loads(counted.stdout)["recorder"] is None
    assert json.loads(pruned.stdout) == {"removed": 1}


def test_module_that_is_not_found_is_told_with_where_it_is_looked_for(folder: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "celeriac", "tasks"],
        cwd=folder,
        env={
            **os.environ, "CELERIAC_TASKS": "a_module_that_is_gone",
            "CELERIAC_BROKER_URL": "redis://127.0.0.1:1/0",
            "CELERIAC_REDIS_URL": "redis://127.0.0.1:1/1",
        },
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert told.returncode == 2
    assert all(name in told.stderr for name in ("PYTHONPATH", "CELERIAC_TASKS"))
