"""`celeriac users`, `tokens` and `audit`, on a database of their own."""

import json
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from access_app import CHEAP, PASSWORD
from celeriac.access import Access, Role, passwords
from celeriac.cli import app


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELERIAC_HISTORY_URL", url := f"sqlite:///{tmp_path}/new/history.db")
    monkeypatch.setenv("CELERIAC_PUBLIC_URL", "https://celeriac.example.org/")
    return url


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_user_is_added_changed_and_disabled(database: str) -> None:
    added = _run("users", "add", "Ada", "--role", "admin")
    link = re.search(r"https://celeriac\.example\.org/welcome/([\w-]+)$", added.stdout.strip())
    assert link, added.output
    access = Access(database)
    access.links.follow(link[1], "", PASSWORD)
    assert _run("users", "add", "eve", "--task", "mail.*").exit_code == 0
    assert _run("users", "change", "eve", "--role", "operator").exit_code == 0
    assert _run("users", "disable", "eve").exit_code == 0

    found = json.loads(_run("users", "list", "--json").stdout)

    assert [(user["name"], user["role"], user["disabled"]) for user in found] == [
        ("ada", "admin", False),
        ("eve", "operator", True),
    ]
    assert "disabled" in _run("users", "list").stdout
    assert _run("users", "enable", "eve").exit_code == 0
    assert "0 browsers" in _run("users", "sign-out", "eve").stdout
    again = json.loads(_run("users", "link", "ada", "--json").stdout)
    assert again["link"] != link[0]
    access.close()


def _limits() -> tuple[list[str] | None, list[str] | None]:
    (user,) = json.loads(_run("users", "list", "--json").stdout)
    return user["tasks"], user["queues"]


def test_limits_stay_unless_others_are_given() -> None:
    _run("users", "add", "eve", "--role", "operator", "--task", "mail.*", "--queue", "fast")

    _run("users", "change", "eve", "--role", "viewer")
    again = _run("users", "change", "eve", "--role", "operator")
    assert _limits() == (["mail.*"], ["fast"])
    assert "limited to mail.*, fast" in again.stdout

    _run("users", "change", "eve", "--role", "operator", "--task", "text.*")
    assert _limits() == (["text.*"], ["fast"])

    both = _run("users", "change", "eve", "--role", "operator", "--task", "x", "--no-limits")
    assert both.exit_code == 2
    _run("users", "change", "eve", "--role", "operator", "--no-limits")
    assert _limits() == (None, None)


def test_wrong_role_is_named() -> None:
    done = _run("users", "add", "ada", "--role", "king")

    assert done.exit_code == 2
    assert "viewer, operator, admin" in done.output


def test_token_is_shown_once_and_revoked(database: str) -> None:
    _run("users", "add", "ada", "--role", "operator")
    made = _run(
        "tokens", "create", "ada", "--label", "nightly", "--role", "operator", "--days", "3"
    )
    token = made.stdout.strip().splitlines()[-1]
    access = Access(database)
    who = access.tokens.find(token)
    assert who and who.role is Role.OPERATOR

    (listed,) = json.loads(_run("tokens", "list", "--json").stdout)
    assert (listed["label"], listed["owner"]) == ("nightly", "ada")
    assert token not in _run("tokens", "list").stdout
    assert _run("tokens", "revoke", listed["id"]).exit_code == 0

    assert access.tokens.find(token) is None
    access.close()


@pytest.mark.parametrize(("words", "days"), [([], 90), (["--days", "7"], 7), (["--days", "0"], 0)])
def test_token_ends_unless_somebody_says_otherwise(words: list[str], days: int) -> None:
    _run("users", "add", "ada", "--role", "operator")

    made = json.loads(_run("tokens", "create", "ada", "--label", "x", "--json", *words).stdout)

    if days:
        left = datetime.fromisoformat(made["ends_at"]) - datetime.now(UTC)
        assert timedelta(days=days - 1) < left <= timedelta(days=days)
    else:
        assert made["ends_at"] is None


def test_token_for_longer_than_anybody_lives_is_refused() -> None:
    done = _run("tokens", "create", "ada", "--label", "x", "--days", "99999999999")

    assert done.exit_code == 2 and "--days" in done.output


def test_audit_tells_what_was_done_on_the_command_line() -> None:
    _run("users", "add", "ada")
    _run("users", "add", "eve")

    listed = json.loads(_run("audit", "list", "--json", "--action", "user.add").stdout)
    exported = _run("audit", "export", "--target", "eve").stdout.splitlines()

    assert [entry["target"] for entry in listed] == ["eve", "ada"]
    assert {entry["means"] for entry in listed} == {"cli"}
    assert {json.loads(line)["action"] for line in exported} == {"user.add", "user.link"}
    assert "user.add" in _run("audit", "list", "--since", "1h").stdout
    assert "Nothing of that kind" in _run("audit", "list", "--q", "nobody").stdout


def test_nobody_else_reads_what_is_made_before_the_first_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELERIAC_HISTORY_URL")
    old = os.umask(0o022)
    try:
        assert _run("users", "add", "ada").exit_code == 0
    finally:
        os.umask(old)

    data = tmp_path / ".celeriac"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert (data / ".gitignore").read_text() == "*\n"
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in data.glob("history.db*")}
    assert modes["history.db"] == 0o600 and set(modes.values()) == {0o600}


def test_history_of_an_earlier_version_is_closed_to_others(tmp_path: Path) -> None:
    _run("users", "add", "ada")
    file = tmp_path / "new" / "history.db"
    file.chmod(0o664)

    assert _run("users", "list").exit_code == 0

    assert stat.S_IMODE(file.stat().st_mode) == 0o660
