"""The first things that are done with a stack: someone signs in, and a worker executes a task."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any, cast

from celeriac.topology import FLASK
from pulumi_cli import DeployError, answer
from run_command import run_command
from transport import instance, ssh_command

ADMINISTRATOR = "admin"
WEB = FLASK.hosts[0]

IN_THE_WEB = "docker compose --project-directory /opt/celeriac/current exec -T flask"
TRY_A_TASK = f"{IN_THE_WEB} timeout 90 celeriac submit text.reverse --text celeriac --wait"
"""Asked on the web's host: without a token, and not through the public address."""


def on_the_web(outputs: Mapping[str, Any], command: str) -> str | None:
    """Run a command as root on the web's host, by SSH; give what it prints unless it fails."""
    return answer(*ssh_command(outputs, WEB), f"sudo {command}")


def celeriac(outputs: Mapping[str, Any], *command: str) -> str | None:
    """Run Celeriac's command line on the web's host, by SSH."""
    return on_the_web(outputs, " ".join([IN_THE_WEB, "celeriac", *command]))


def first_sign_in(outputs: Mapping[str, Any]) -> str | None:
    """Make the first administrator; give the link by which they choose a password.

    There is one as long as nobody has followed it.
    """
    made = celeriac(outputs, "users", "add", ADMINISTRATOR, "--role", "admin", "--json")
    if made is None and _has_not_signed_in(outputs):
        made = celeriac(outputs, "users", "link", ADMINISTRATOR, "--json")
    return cast(str, json.loads(made)["link"]) if made else None


def _has_not_signed_in(outputs: Mapping[str, Any]) -> bool:
    users = json.loads(celeriac(outputs, "users", "list", "--json") or "[]")
    never = {"has_password": False, "provider": None, "disabled": False}
    return any(user.items() >= {"name": ADMINISTRATOR, **never}.items() for user in users)


def run_a_task(outputs: Mapping[str, Any]) -> None:
    """Have a worker reverse a text, asked through the public address.

    Raises:
        DeployError: no worker did it, or nobody could ask for it.
    """
    made = celeriac(
        outputs, "tokens", "create", ADMINISTRATOR, "--label", "deployment", "--days", "1",
        "--role", "operator", "--json",
    )  # fmt: skip
    if made is None:
        return _run_a_task_without_token(outputs)
    token = json.loads(made)
    request = urllib.request.Request(  # noqa: S310 # The stack's own.
        f"{outputs['flask_url']}/api/v1/tasks/text.reverse/runs",
        json.dumps({"args": {"text": "celeriac"}}).encode(),
        {
            "Authorization": f"Bearer {token['token']}",
            "Content-Type": "application/json",
            "Prefer": "wait=60",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=90) as response:  # noqa: S310
            run = json.load(response)
    except (OSError, ValueError) as error:
        raise DeployError(f"The web took no task: {error}") from None
    finally:
        celeriac(outputs, "tokens", "revoke", token["id"])
    if run.get("state") != "SUCCESS":
        raise DeployError(f"No worker executed the task that was tried: {run}")
    print(f"A task was run: text.reverse, {run['result']!r}, by {run.get('worker')}")


def _run_a_task_without_token(outputs: Mapping[str, Any]) -> None:
    if on_the_web(outputs, TRY_A_TASK) is None:
        raise DeployError(
            f"No worker executed a task that was tried on {WEB}, or this machine does not reach "
            "that by SSH"
        )
    print(f"A task was run: text.reverse, asked on {WEB}, since {ADMINISTRATOR} gets no token")


def run_a_task_by_ssm(outputs: Mapping[str, Any]) -> None:
    """Have a worker reverse a text, asked on the web's host: no token comes by SSM.

    Raises:
        DeployError: no worker did it.
    """
    code = run_command(instance(outputs, WEB), [TRY_A_TASK], outputs.get("region"))
    if code:
        raise DeployError(f"No worker executed the task that was tried (exit code {code})")
    print("A task was run: text.reverse")


TRY = {"ssh": run_a_task, "ssm": run_a_task_by_ssm}
"""By what `VIA` says."""
