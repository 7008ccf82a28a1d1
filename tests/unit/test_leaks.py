"""`celeriac doctor` finds secrets in logs, names where they are, and shows none."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from celeriac.cli import app, doctor
from celeriac.cli.leaks import logs_of
from celeriac.stack.folder import DataFolder

PASSWORD = "correct-horse-battery"
LEAKED = f"fine\nno way to amqp://ann:{PASSWORD}@rabbit//\nfine\n{PASSWORD}\nredis://:x1@h\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELERIAC_BROKER_URL", f"amqp://ann:{PASSWORD}@rabbit//")
    monkeypatch.setenv("CELERIAC_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(doctor, "_servers", lambda settings: iter(()))
    monkeypatch.setattr(doctor, "_listening", lambda *_: doctor.Finding("web", "ok", ""))
    return tmp_path


def look(*options: str, text: str = "") -> list[dict[str, str]]:
    """Give what `celeriac doctor` says of secrets."""
    done = CliRunner().invoke(app, ["doctor", "--json", *options], input=text)
    assert PASSWORD not in done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [each for each in found if each["subject"] == "secrets"]


def test_doctor_names_secrets_in_a_log_by_line(folder: Path) -> None:
    log = folder / "up.log"
    log.write_text(LEAKED)

    known, unknown = look("--log", str(log))

    assert known["verdict"] == unknown["verdict"] == "problem"
    assert known["detail"].startswith(f"CELERIAC_BROKER_URL shows in {log}, lines 2, 4. ")
    assert unknown["detail"].startswith(f"a password in an address shows in {log}, line 5. ")


@pytest.mark.parametrize("before", [65_530, 65_536 - len(PASSWORD) // 2, 131_060])
def test_doctor_finds_a_secret_wherever_a_long_line_has_it(folder: Path, before: int) -> None:
    log = folder / "up.log"
    log.write_text(f"fine\n{'x' * before}{PASSWORD}{'y' * 70_000}\n{PASSWORD}\n")

    (found, *_) = look("--log", str(log))

    assert found["detail"].startswith(f"CELERIAC_BROKER_URL shows in {log}, lines 2, 3. ")


def test_doctor_reads_a_log_from_standard_input(folder: Path) -> None:
    (found, _) = look("--log", "-", text=LEAKED)

    assert "standard input, lines 2, 4" in found["detail"]


def test_doctor_says_how_much_it_searched(folder: Path) -> None:
    log = folder / "up.log"
    log.write_text("amqp://ann:***@rabbit and amqp://ann:**@rabbit\n" * 3)

    (found,) = look("--log", str(log))

    assert found["verdict"] == "ok"
    assert found["detail"] == f"the 1 that the settings hold: none in 3 lines of {log}, none here"


def test_doctor_finds_what_a_start_has_made(folder: Path) -> None:
    with DataFolder(folder / ".celeriac") as data:
        password = data.secret("flower.password").get_secret_value()
        key = data.secret("secret.key").get_secret_value()

    flower, signing = look("--log", "-", text=f"asks for {password}\nkey {key}\n")[:2]

    assert flower["detail"].startswith("CELERIAC_FLOWER_BASIC_AUTH shows in standard input, line 1")
    assert signing["detail"].startswith("CELERIAC_SECRET_KEY shows in standard input, line 2")


def test_doctor_finds_what_opens_doors_and_is_no_setting(folder: Path) -> None:
    secret = "x" * 43
    lines = f"Authorization: Bearer cel_0123456789ab_{secret}\nCookie: celeriac-session={secret}\n"

    found = look("--log", "-", text=f"{lines}Bearer cel_0123456789ab_***\nceleriac-session=***\n")

    token, session = (each["detail"] for each in found)
    assert token.startswith("an API token shows in standard input, line 1. Revoke it")
    assert session.startswith("a session's cookie shows in standard input, line 2. Sign out")
    assert secret not in token + session


@pytest.mark.parametrize(("key", "said"), [("x", "problem"), ("0123456789abcdef" * 2, "")])
def test_doctor_refuses_a_key_that_can_be_guessed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, key: str, said: str
) -> None:
    monkeypatch.setenv("CELERIAC_SECRET_KEY", key)

    done = CliRunner().invoke(app, ["doctor", "--json"])

    findings = [json.loads(line) for line in done.stdout.splitlines()]
    verdicts = [each["verdict"] for each in findings if "CELERIAC_SECRET_KEY" in each["detail"]]
    assert verdicts == [said] * bool(said)
    assert done.exit_code == bool(said)


def test_doctor_asks_for_logs_where_it_knows_of_none(folder: Path) -> None:
    (found,) = look()

    assert found["verdict"] == "ok"
    assert "--log FILE" in found["detail"]


def test_doctor_finds_a_secret_in_its_own_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = doctor.Finding("broker", "problem", f"no way to {PASSWORD}")
    monkeypatch.setattr(doctor, "_servers", lambda settings: iter([own]))

    (found,) = look()

    assert found["verdict"] == "problem"
    assert "CELERIAC_BROKER_URL shows in what this command says of the broker" in found["detail"]


def test_doctor_refuses_a_log_that_is_not_there(folder: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--log", "nowhere.log"])

    assert done.exit_code == 2
    assert "nowhere.log cannot be read" in done.output


def test_logs_are_found_of_a_stack_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "stdout"
    with DataFolder(tmp_path / "data") as folder, log.open("w") as file:
        (folder.path / "old.log").write_text("")
        monkeypatch.setattr(
            os, "readlink", lambda path: str(log if f"/{os.getpid()}/" in path else "")
        )

        assert logs_of(folder.path) == [str(folder.path / "old.log"), str(log)]
        assert file
