"""Pulumi's command line, as `make deploy`, `make rollout` and `make destroy` call it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

INFRA = Path(__file__).parent

NO_PULUMI = (
    "Pulumi is not installed, and deploying needs its command line: "
    "https://www.pulumi.com/docs/install. Then run `pulumi login --local`, or log in to where your "
    "team keeps its state, and try again. See docs/deploy-aws.md."
)


class DeployError(Exception):
    """Something that a person has to mend; the message says what."""


def require_pulumi() -> None:
    """Look for Pulumi.

    Raises:
        DeployError: it is not installed.
    """
    if shutil.which("pulumi") is None:
        raise DeployError(NO_PULUMI)


def pulumi(*command: str, stack: str) -> None:
    """Run Pulumi's command line on a stack, with its output for people to see.

    Raises:
        DeployError: it failed.
    """
    if subprocess.run(["pulumi", "-C", INFRA, *command, "--stack", stack], check=False).returncode:
        raise DeployError(f"`pulumi {' '.join(command)}` failed; its reason stands above")


def select(stack: str) -> None:
    """Select the stack, or begin it.

    Raises:
        DeployError: Pulumi cannot, such as without a login.
    """
    command = ("pulumi", "-C", str(INFRA), "stack", "select", "--create", stack)
    if subprocess.run(command, check=False).returncode:
        raise DeployError(f"Pulumi cannot open the stack {stack}; its reason stands above")


def answer(*command: str | Path) -> str | None:
    """Give what a command prints, or nothing when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def configured(key: str, stack: str) -> str:
    """Give a value of the stack's configuration; it is empty where it is not set."""
    return answer("pulumi", "-C", INFRA, "config", "get", key, "--stack", stack) or ""


def outputs(stack: str) -> dict[str, Any]:
    """Give what the program exports; nothing before the first `up` has ended well."""
    found = answer("pulumi", "-C", INFRA, "stack", "output", "--json", "--stack", stack)
    return cast(dict[str, Any], json.loads(found or "{}"))


def resources(stack: str) -> list[dict[str, Any]]:
    """Give what there is as the stack's state has it; nothing where there is no state yet."""
    found = json.loads(answer("pulumi", "-C", INFRA, "stack", "export", "--stack", stack) or "{}")
    return cast(list[dict[str, Any]], (found.get("deployment") or {}).get("resources") or [])
