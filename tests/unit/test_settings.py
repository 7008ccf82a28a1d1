"""Settings: their sources, and one clear line for each wrong value."""

from pathlib import Path
from typing import Any

import pytest

from celeriac.errors import ConfigurationError
from celeriac.settings import STACK_FILE, Settings, load_settings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELERIAC_HISTORY_URL")


@pytest.mark.parametrize("name", ["broker_url", "redis_url"])
def test_address_of_several_servers_is_refused_and_no_password_is_shown(name: str) -> None:
    url = "redis://:one-secret@a:1/0;redis://:two-secret@b:1/0"

    with pytest.raises(ConfigurationError, match="names several servers") as refused:
        load_settings(**{name: url})

    assert "secret" not in str(refused.value)
    load_settings(**{name: "redis://:a%3Bb@a:1/0"})


@pytest.mark.parametrize("sign", ["/", "?", "#"])
def test_address_whose_password_would_be_taken_for_a_host_is_refused(sign: str) -> None:
    with pytest.raises(ConfigurationError, match="%2F, %40") as refused:
        load_settings(broker_url=f"amqp://celery:one@two{sign}three@rabbitmq:5672//")

    assert "two" not in str(refused.value)
    load_settings(broker_url="amqp://celery:one%40two%2Fthree@rabbitmq:5672//")


def test_sources_rank_caller_then_environment_then_dotenv_then_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".celeriac").mkdir()
    (tmp_path / ".celeriac" / STACK_FILE).write_text(
        "CELERIAC_QUEUE=stack\nCELERIAC_PORT=1\nCELERIAC_WORKERS=1\nCELERIAC_CONCURRENCY=1\n"
    )
    (tmp_path / ".env").write_text("CELERIAC_PORT=2\nCELERIAC_WORKERS=2\nCELERIAC_CONCURRENCY=2\n")
    monkeypatch.setenv("CELERIAC_WORKERS", "3")
    monkeypatch.setenv("CELERIAC_CONCURRENCY", "3")

    settings = load_settings(concurrency=4)

    found = (settings.queue, settings.port, settings.workers, settings.concurrency)
    assert found == ("stack", 2, 3, 4)


def test_stack_file_is_left_out_on_request(tmp_path: Path) -> None:
    (tmp_path / ".celeriac").mkdir()
    (tmp_path / ".celeriac" / STACK_FILE).write_text("CELERIAC_BROKER_URL=redis://stale\n")

    assert load_settings(join_stack=False).broker_url is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"broker_url": "http://host"}, "CELERIAC_BROKER_URL.*scheme 'http'.*amqp://host"),
        ({"broker_url": "amqp://"}, "CELERIAC_BROKER_URL.*names no host"),
        ({"redis_url": "amqp://host"}, "CELERIAC_REDIS_URL.*expected one of redis"),
        ({"redis_url": "redis://host:99999"}, "CELERIAC_REDIS_URL.*[Pp]ort"),
        ({"port": 0}, "CELERIAC_PORT"),
        ({"workers": -1}, "CELERIAC_WORKERS"),
        ({"timezone": "Mars/Olympus"}, "CELERIAC_TIMEZONE.*IANA"),
        ({"rate_limit": "often"}, "CELERIAC_RATE_LIMIT.*600/minute"),
        ({"log_level": "loud"}, "CELERIAC_LOG_LEVEL"),
    ],
)
def test_wrong_value_is_named_in_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_settings(**given)

    assert "\n" not in str(caught.value)


def test_wrong_url_never_shows_its_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(broker_url="http://user:hunter2@host")

    assert "hunter2" not in str(caught.value)


def test_secrets_are_masked_in_representations() -> None:
    settings = load_settings(broker_url="amqp://user:hunter2@host", secret_key="hunter2")

    assert "hunter2" not in repr(settings)


def test_missing_address_is_named() -> None:
    with pytest.raises(ConfigurationError, match="CELERIAC_REDIS_URL is not set"):
        load_settings(broker_url="amqp://host").require_urls()


@pytest.mark.parametrize(
    ("given", "modules"),
    [
        ({}, ("celeriac.tasks",)),
        ({"app": "shop:app"}, ()),
        ({"tasks": "a.tasks, b.tasks"}, ("a.tasks", "b.tasks")),
        ({"app": "shop:app", "tasks": "a"}, ("a",)),
        ({"tasks": " "}, ()),
    ],
)
def test_task_modules(given: dict[str, str], modules: tuple[str, ...]) -> None:
    assert load_settings(**given).task_modules == modules


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_each_setting_has_its_row_in_the_reference(name: str) -> None:
    field = Settings.model_fields[name]

    assert field.description
    assert f"| `CELERIAC_{name.upper()}` | " in REFERENCE.read_text(encoding="utf-8")
    assert f" | {field.description} |" in REFERENCE.read_text(encoding="utf-8")


def test_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", refuse)

    with pytest.raises(ConfigurationError, match=r"stack\.env cannot be read: Permission denied"):
        load_settings()
