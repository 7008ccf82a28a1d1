"""docker-compose.yml says what `topology` says, and leaves no door open."""

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from celeriac.settings import Settings, load_settings
from celeriac.topology import FLASK, ROLES, Role

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
SECRETS = ROOT / "deploy" / "secrets"
NOT_PASSED_ON = ("DATA_DIR", "PORT", "FLOWER_PORT", "WORKERS", "URL", "TOKEN")


def _of(role: Role) -> list[dict[str, Any]]:
    return [each for each in SERVICES.values() if each["profiles"] == [role.name]]


def test_each_profile_is_a_role_and_each_role_a_profile() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service["profiles"]}

    assert profiles == {role.name for role in ROLES} | {"monitoring"}
    assert {role.name for role in ROLES} <= SERVICES.keys()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_role_publishes_the_ports_of_the_topology(role: Role) -> None:
    published = {port for service in _of(role) for port in service.get("ports", ())}

    # Docker goes around the firewall of its host, so nothing is published beyond it by itself.
    assert published == {f"${{LISTEN_ON:-127.0.0.1}}:{port}:{port}" for port in role.ports.values()}


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_kept_running_within_bounds(name: str) -> None:
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    assert service["mem_limit"] and service["stop_grace_period"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert service["healthcheck"]["test"]
    # The others may be on other hosts.
    assert "depends_on" not in service


@pytest.mark.parametrize(
    "name", [name for name in SERVICES if name not in ("rabbitmq", "redis", "grafana")]
)
def test_service_of_ours_can_change_nothing_but_its_data(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_web_and_recorder_share_the_history() -> None:
    assert [each["volumes"] for each in _of(FLASK)] == [["history:/var/lib/celeriac"]] * 2


def test_settings_that_are_passed_on_exist() -> None:
    known = {f"CELERIAC_{name}".upper() for name in Settings.model_fields}
    given = {name for service in SERVICES.values() for name in service.get("environment", ())}

    assert {name for name in given if name.startswith("CELERIAC_")} <= known | {
        "CELERIAC_WORKER_NAME"
    }
    # The rest is the image's own, or of no role.
    assert known - given == {f"CELERIAC_{name}" for name in NOT_PASSED_ON}


def test_file_has_nothing_that_compose_1_29_refuses() -> None:
    """It knows a default and an error for a variable that is not set, and nothing else."""
    for braced in re.findall(r"(?<!\$)\$\{([^}]*)\}", COMPOSE):
        assert re.fullmatch(r"[A-Z_0-9]+(:?[-?][^${}]*)?", braced), braced


def test_every_secret_is_generated_and_none_has_a_default(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    subprocess.run([sys.executable, SECRETS, env], check=True, capture_output=True)
    lines = dict(line.split("=") for line in env.read_text().splitlines())
    made = {name: value for name, value in lines.items() if not name.endswith("_FILES")}
    asked = {name: default for name, default in re.findall(r"\$\{(\w+)(:-[^}]*)?\}", COMPOSE)}
    names = {name for name in asked if name.endswith(("_PASSWORD", "_KEY"))}
    passed = {
        name
        for service in SERVICES.values()
        for name in service.get("environment", ())
        if name.endswith(("_PASSWORD", "_SECRET_KEY", "_KEYS", "_TOKEN")) and name[:3] != "GF_"
    }

    assert names | passed == made.keys()
    assert {asked[name] for name in names} == {":-"}
    assert all(re.fullmatch("(first:)?[0-9a-f]{64}", secret) for secret in made.values())
    assert load_settings(join_stack=False, message_keys=made["CELERIAC_MESSAGE_KEYS"])
    assert len(set(made.values())) == len(made)


def test_secrets_that_are_there_are_kept_and_hidden(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(
        "# Ours\nCELERIAC_SECRET_KEY=kept\nexport REDIS_FLASK_PASSWORD=mine\nFLOWER_PASSWORD=\n"
        'CELERIAC_METRICS_TOKEN=""\n'
    )

    for _ in range(2):
        subprocess.run([sys.executable, SECRETS, env], check=True, capture_output=True)

    text = env.read_text()
    assert text.startswith("# Ours\nCELERIAC_SECRET_KEY=kept\n")
    assert text.count("CELERIAC_SECRET_KEY") == text.count("\nFLOWER_PASSWORD") == 1
    assert re.findall("REDIS_FLASK_PASSWORD=(.*)", text) == ["mine"]
    assert re.fullmatch("[0-9a-f]{64}", *re.findall("CELERIAC_METRICS_TOKEN=(.*)", text))
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [env]


@pytest.mark.parametrize("place", [[], ["no/such/folder/.env"]])
def test_secrets_that_cannot_be_written_are_told_in_a_line(
    tmp_path: Path, place: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, SECRETS, *place], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert re.fullmatch(r"(Usage: .*|no/such.* cannot be read and written: .*)\n", done.stderr)


def test_container_is_made_anew_when_its_files_change(tmp_path: Path) -> None:
    copy = tmp_path / "deploy"
    shutil.copytree(SECRETS.parent, copy)

    def sums() -> dict[str, str]:
        command = [sys.executable, copy / "secrets", tmp_path / ".env"]
        subprocess.run(command, check=True, capture_output=True)
        lines = (tmp_path / ".env").read_text().splitlines()
        found = (line.split("=") for line in lines)
        return {name: value for name, value in found if name.endswith("_FILES")}

    before = sums()
    assert sums() == before
    with (copy / "redis" / "redis.conf").open("a") as file:
        file.write("# changed\n")

    changed = {name for name, value in sums().items() if value != before[name]}
    assert changed == {"REDIS_FILES"}
    mounting = {name for name, each in SERVICES.items() if "./deploy/" in str(each.get("volumes"))}
    labelled = {
        name: each["labels"]["celeriac.files"]
        for name, each in SERVICES.items()
        if "labels" in each
    }
    assert labelled == {name: f"${{{name.upper()}_FILES:-}}" for name in mounting}
    assert {f"{name.upper()}_FILES" for name in mounting} == before.keys()


def test_users_of_rabbitmq_are_those_that_get_a_password() -> None:
    text = (ROOT / "deploy" / "rabbitmq" / "definitions.json").read_text()
    definitions = json.loads(text)
    users = {user["name"]: user["password"] for user in definitions["users"]}

    assert users == {name: f"@{name.upper()}_PASSWORD@" for name in users}
    assert "guest" not in users
    assert {f"RABBITMQ_{name.upper()}_PASSWORD" for name in users} <= SERVICES["rabbitmq"][
        "environment"
    ].keys()
    assert {each["user"] for each in definitions["permissions"]} == users.keys()


def test_users_of_redis_are_those_that_get_a_password() -> None:
    lines = (ROOT / "deploy" / "redis" / "users.acl").read_text().splitlines()
    users = {words[1]: words[2:] for words in map(str.split, lines)}

    # Nobody is let in as it, but the server reads its own file as that user.
    assert users.pop("default") == ["off", "~*", "&*", "+@all"]
    for name, rules in users.items():
        assert rules[:2] == ["on", f">@{name.upper()}_PASSWORD@"]
        assert f"REDIS_{name.upper()}_PASSWORD" in SERVICES["redis"]["environment"]
