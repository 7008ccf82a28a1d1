"""Runs in the terminal."""

import json

import pytest

from celeriac.cli.show import run_list
from celeriac.runs import Run, RunState

RUN = Run(
    id="01a203e3-563b-72b1-82c1-95fc09e9bef4",
    task="a.task.with.a[/long]name.that.takes.much.room",
    state=RunState.SUCCESS,
    worker="worker1@a-host-of-some-name",
)


def test_list_shows_whole_identifiers_however_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    run_list([RUN], as_json=False)

    assert RUN.id in capsys.readouterr().out


def test_list_as_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    run_list([RUN], as_json=True)

    assert json.loads(capsys.readouterr().out)[0]["id"] == RUN.id
