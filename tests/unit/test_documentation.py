"""What exists is documented: every command, every endpoint, every environment variable."""

from pathlib import Path

import pytest
import typer

from celeriac.cli import app as cli
from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def _commands() -> list[str]:
    found = [
        f"celeriac {each.callback.__name__}" for each in cli.registered_commands if each.callback
    ]
    for group in cli.registered_groups:
        assert isinstance(group.typer_instance, typer.Typer)
        names = [each.name for each in group.typer_instance.registered_commands]
        found += [f"celeriac {group.name} {name}" for name in names]
    return found


@pytest.mark.parametrize("command", _commands())
def test_command_is_in_the_reference(command: str) -> None:
    assert f"`{command}" in (REFERENCE / "cli.md").read_text(encoding="utf-8")


def _endpoints() -> list[str]:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    rules = create_app(settings, Runs.of(settings)).url_map.iter_rules()
    return sorted(
        f"{method} {rule.rule}".replace("<run_id>", "{id}").replace("<path:name>", "{name}")
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/") or rule.rule in ("/healthz", "/readyz")
    )


@pytest.mark.parametrize("endpoint", _endpoints())
def test_endpoint_is_in_the_reference(endpoint: str) -> None:
    assert f"`{endpoint}`" in (REFERENCE / "http-api.md").read_text(encoding="utf-8")


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [part.split(")")[0] for part in text.split("](")[1:]]

    assert text.count("\n") < 150
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
