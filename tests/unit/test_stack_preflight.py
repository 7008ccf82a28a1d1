"""What `celeriac up` checks before it starts anything, and what it hands to its roles."""

from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

from celeriac.errors import ConfigurationError
from celeriac.settings import Settings
from celeriac.stack.commands import role_commands
from celeriac.stack.folder import DataFolder, stack_lines
from celeriac.stack.preflight import check_ports
from celeriac.stack.valkey import EmbeddedValkey


def test_ports_must_differ() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot share port 5000\. Change --port"):
        check_ports(Settings(port=5000, flower_port=5000))


def test_a_host_that_does_not_exist_is_named() -> None:
    # 192.0.2.0/24 belongs to nobody (RFC 5737).
    with pytest.raises(ConfigurationError, match=r"listen on 192\.0\.2\.1: .*CELERIAC_HOST"):
        check_ports(Settings(host="192.0.2.1"))


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(ConfigurationError, match=r"Not a directory.*CELERIAC_DATA_DIR"),
        DataFolder(tmp_path / "file" / "data"),
    ):
        pass


def test_a_data_directory_is_owned_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        DataFolder(tmp_path),
        pytest.raises(ConfigurationError, match="Another `celeriac up`"),
        DataFolder(tmp_path),
    ):
        pass
    with DataFolder(tmp_path):
        pass


def test_an_existing_directory_gets_no_gitignore(tmp_path: Path) -> None:
    with DataFolder(tmp_path):
        assert not (tmp_path / ".gitignore").exists()


def test_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        first = folder.secret("key")
        (tmp_path / "key").chmod(0o644)
        second = folder.secret("key")

    assert first == second
    assert len(first.get_secret_value()) >= 32
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_an_empty_secret_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    with DataFolder(tmp_path) as folder:
        assert folder.secret("key").get_secret_value()


@pytest.mark.parametrize("url", ["redis://:it's\\1@host/0#x y", "amqp://a:b@host//"])
def test_the_stack_file_reads_back_as_written(tmp_path: Path, url: str) -> None:
    file = tmp_path / "stack.env"
    file.write_text(stack_lines(Settings(broker_url=SecretStr(url), port=81)))

    values = dotenv_values(file)

    assert values["CELERIAC_BROKER_URL"] == url
    assert values["CELERIAC_PORT"] == "81"
    assert "CELERIAC_APP" not in values


def test_roles_get_the_chosen_settings_by_environment_alone(tmp_path: Path) -> None:
    settings = Settings(
        broker_url=SecretStr("redis://:correct-horse@host/0"),
        workers=2,
        app="shop:app",
        data_dir=tmp_path,
    )

    web, recorder, worker1, worker2, flower = role_commands(settings)

    roles = [each.argv[-1] for each in (web, recorder, worker1, flower)]
    assert roles == ["web", "recorder", "worker", "flower"]
    assert web.environment["CELERIAC_BROKER_URL"] == "redis://:correct-horse@host/0"
    assert web.environment["CELERIAC_APP"] == "shop:app"
    assert web.environment["CELERIAC_HOST"] == "127.0.0.1"
    assert "CELERIAC_TIMEZONE" not in web.environment
    assert web.environment["CELERIAC_DATA_DIR"] == str(tmp_path)
    assert worker2.environment["CELERIAC_WORKER_NAME"] == "worker2"
    assert "correct-horse" not in f"{web!r}" + "".join(worker1.argv)


def test_without_its_binary_valkey_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with (
        DataFolder(tmp_path) as folder,
        pytest.raises(ConfigurationError, match="--broker and --redis"),
    ):
        EmbeddedValkey.prepare(folder)
