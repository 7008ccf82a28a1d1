"""Short commands start quickly: none imports what it does not need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import celeriac.runs
from celeriac.cli.inventory import COMMANDS, load

SLOW = ("alembic", "celery", "flask", "kombu", "pydantic", "redis", "sqlalchemy")


def _imported(code: str) -> list[str]:
    """Give those of the slow packages that are imported once the code has run."""
    asked = f"{code}; import sys; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", asked], check=True, capture_output=True, text=True, timeout=60
    )
    found = ast.literal_eval(done.stdout.splitlines()[-1])
    assert isinstance(found, list)
    return found


def test_help_imports_nothing_slow() -> None:
    asking = "from celeriac.cli import app; app(['--help'], standalone_mode=False)"

    assert _imported(asking) == []


def test_help_of_a_group_imports_the_settings_alone() -> None:
    groups = ("history", "queues", "run", "runs", "workers")
    asking = f"[app([group, '--help'], standalone_mode=False) for group in {groups}]"

    assert _imported(f"from celeriac.cli import app; {asking}") == ["pydantic"]


def test_listing_runs_imports_neither_celery_nor_redis() -> None:
    reading = (
        "from celeriac.cli import runs, show; from celeriac.runs import RunHistory, run_filter"
    )

    assert _imported(reading) == ["pydantic", "sqlalchemy"]


def test_runs_give_each_name_that_the_type_checkers_see() -> None:
    tree = ast.parse(Path(celeriac.runs.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (alias.name, node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert set(celeriac.runs._HOMES.items()) == seen
    assert all(getattr(celeriac.runs, name) is not None for name, _ in seen)


def test_runs_refuse_a_name_that_they_do_not_have() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Rnus'"):
        _ = celeriac.runs.Rnus


@pytest.mark.parametrize("name", COMMANDS)
def test_command_says_of_itself_what_the_list_of_commands_says(name: str) -> None:
    assert " ".join(load(name).help.split()).startswith(COMMANDS[name].help.rstrip("."))
