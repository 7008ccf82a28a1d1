"""What exists is documented: every command, every endpoint, every environment variable."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.core import TyperGroup

from celeriac.cli.inventory import COMMANDS, load
from celeriac.errors import TransientError
from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.problems import STATUS
from examples import examples

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def _commands() -> list[str]:
    found: list[str] = []
    for name in COMMANDS:
        command = load(name)
        below = command.commands if isinstance(command, TyperGroup) else ()
        found += [f"celeriac {name} {each}" for each in below] or [f"celeriac {name}"]
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


def _codes() -> set[str]:
    """Give the codes of the errors that a client can get."""
    kinds, found = [*STATUS], {"stale_form", "untrusted_host", "cross_site", "bad_request"}
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        # What a command tells of a web elsewhere, no web answers.
        if not kind.__module__.startswith("celeriac.cli"):
            found |= {kind.code} - {TransientError.code}
    return found


@pytest.mark.parametrize("code", sorted(_codes()))
def test_code_of_an_error_is_in_the_reference(code: str) -> None:
    _, errors = (REFERENCE / "http-api.md").read_text(encoding="utf-8").split("\n## Errors\n")

    assert f"`{code}`" in errors.partition("\n## ")[0]


@pytest.mark.parametrize("endpoint", _endpoints())
def test_endpoint_has_an_example(endpoint: str) -> None:
    calls = [example.call for example in examples(REFERENCE / "http-api.md")]
    pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(endpoint))

    assert any(re.fullmatch(pattern, call) for call in calls), calls


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [part.split(")")[0] for part in text.split("](")[1:]]

    assert text.count("\n") < 150
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_conventions_tell_the_layers_that_hold() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    text = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    told = text.split("```")[1].strip().splitlines()

    assert [line.strip().removeprefix("> ") for line in told] == layers
