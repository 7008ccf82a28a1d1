"""The repository's own files agree with each other, and name no machine but everybody's."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PLAIN_PROJECT = ROOT / "tests" / "plainproject"
STATIC = ROOT / "src" / "celeriac" / "web" / "static"


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _pinned(path: Path) -> dict[str, str]:
    """Map each pinned name to its pin with its hashes."""
    joined = path.read_text().replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]
    return {_name(line): line for line in lines}


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_with_hashes(path: Path) -> None:
    for line in _pinned(path).values():
        assert re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_name_no_index_and_no_path(path: Path) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted|(^|\s)/", path.read_text())


def test_requirements_pin_what_pyproject_asks_for() -> None:
    groups = PYPROJECT["dependency-groups"]
    dev = [entry for entry in groups["dev"] if isinstance(entry, str)]
    wanted = {
        "base.txt": [*PYPROJECT["project"]["dependencies"], *groups["build"]],
        "dev.txt": [*PYPROJECT["project"]["dependencies"], *groups["build"], *dev],
        "infra.txt": groups["infra"],
        "node.txt": groups["node"],
        "audit.txt": groups["audit"],
        "scan.txt": groups["scan"],
    }

    for file, requirements in wanted.items():
        missing = {_name(entry) for entry in requirements} - _pinned(
            ROOT / "requirements" / file
        ).keys()
        assert not missing, f"{file} lacks {missing}: run `make lock`"


def test_tests_run_with_the_versions_of_production() -> None:
    dev = _pinned(ROOT / "requirements" / "dev.txt")

    for name, pin in _pinned(ROOT / "requirements" / "base.txt").items():
        assert dev[name] == pin, "run `make lock`"


def test_pulumi_is_content_with_the_versions_of_celeriac() -> None:
    dev = _pinned(ROOT / "requirements" / "dev.txt")
    infra = _pinned(ROOT / "requirements" / "infra.txt")

    for name in dev.keys() & infra.keys():
        assert _content(dev[name]) == _content(infra[name]), "run `make lock`"


def _content(pin: str) -> tuple[str, set[str]]:
    """Give version and hashes: on which machines it is needed depends on who needs it."""
    return pin.split()[0], set(re.findall(r"--hash=\S+", pin))


def test_make_help_tells_of_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile.replace("\\\n", ""), re.MULTILINE)
    help_text = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert phony
    assert set(phony[1].split()) <= set(re.findall(r"[a-z0-9-]+", help_text.stdout))


def test_make_tells_when_python_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    done = subprocess.run(
        ["make", "install", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "Celeriac needs Python 3.11 or later" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_plain_project_knows_nothing_of_celeriac() -> None:
    for source in PLAIN_PROJECT.rglob("*.py"):
        assert not re.search(r"^\s*(import|from) celeriac", source.read_text(), re.MULTILINE)


@pytest.mark.parametrize("module", sorted((STATIC / "js").glob("*.js")), ids=lambda path: path.name)
def test_module_of_a_page_imports_no_other(module: Path) -> None:
    """An import would name the other without its digest, and browsers would keep it for a year."""
    assert not re.search(r"^\s*(import\b|export\b)|\bimport\(", module.read_text("utf-8"), re.M)
