"""What of a checkout reaches the hosts, and what is said of the rest."""

import subprocess
from pathlib import Path

import pulumi
import pytest

from release import make_bundle


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a repository with one commit."""
    folder = tmp_path / "checkout"
    (folder / "infra").mkdir(parents=True)
    for name in ("README.md", "infra/Pulumi.dev.yaml"):
        (folder / name).write_text("old\n")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Begin"]):
        subprocess.run([*git, *command], check=True)
    return folder


@pytest.mark.parametrize(
    ("changed", "told"), [("README.md", True), ("infra/Pulumi.dev.yaml", False)]
)
def test_what_is_not_committed_is_told_unless_it_is_for_pulumi_alone(
    checkout: Path, changed: str, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    (checkout / changed).write_text("new\n")

    make_bundle(checkout, tmp_path / "bundles")

    assert bool(warnings) is told
