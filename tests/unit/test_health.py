"""`celeriac health` in a container finds the role by the container's first process."""

from pathlib import Path

import pytest
import typer

from celeriac.cli import health
from celeriac.cli.health import Role


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/opt/celeriac/bin/python3 /opt/celeriac/bin/celeriac worker --pool solo", Role.WORKER),
        ("/sbin/docker-init -- celeriac recorder", Role.RECORDER),
        ("/sbin/docker-init -- /opt/celeriac/bin/celeriac flower", Role.FLOWER),
        ("celeriac web --host 0.0.0.0", Role.WEB),
    ],
)
def test_role_is_that_of_the_first_process(
    command: str, role: Role, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cmdline").write_text(command.replace(" ", "\0") + "\0")
    monkeypatch.setattr(health, "FIRST_PROCESS", tmp_path / "cmdline")

    assert health._role_in(health._words_of_first_process()) is role


@pytest.mark.parametrize("command", ["/sbin/init", "celeriac doctor", "celeriac", None])
def test_where_no_role_is_the_first_process_one_must_be_named(
    command: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command:
        (tmp_path / "cmdline").write_text(command.replace(" ", "\0") + "\0")
    monkeypatch.setattr(health, "FIRST_PROCESS", tmp_path / "cmdline")

    with pytest.raises(typer.BadParameter, match="no container of a role"):
        health._role_in(health._words_of_first_process())
