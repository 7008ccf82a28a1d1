"""`make rollout`: a new version reaches the hosts, one after another, without replacing any.

python infra/rollout.py STACK ssh | ssm
"""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import deploy
from celeriac.topology import CELERY, FLASK, FLOWER, RABBITMQ, REDIS
from deploy import DeployError
from plan import role_of
from run_command import run_command

HOST_SCRIPT = Path(__file__).parent / "host" / "rollout.sh"

ORDER = (RABBITMQ, REDIS, CELERY, FLOWER, FLASK)
"""Workers know a new task before the web offers it."""

RELEASE = (
    "**celeriac:infra:Release**",
    "**aws:ssm/parameter:Parameter::release",
    # Hosts may read the one bundle.
    "**aws:iam/rolePolicy:RolePolicy**",
)
"""Patterns of the URNs that a new version changes; hosts are none of them."""

WENT_BACK = 3
"""The exit code of host/rollout.sh that no command which fails has, nor SSH."""

NEXT = "The stack names the refused version until another: check one out and run `make rollout`"

Transport = Callable[[str, str], int]
"""Has a host go `forward` or `back`, or `keep` what it has, by its name.

Gives the exit code of host/rollout.sh.
"""


def ssh(outputs: Mapping[str, Any]) -> Transport:
    """Run the host's side by SSH, on its input: what the host has may be older."""

    def run(host: str, direction: str) -> int:
        program, *address = shlex.split(outputs["ssh"][host])
        options = deploy.ssh_options(outputs, host)
        command = [program, *options, *address, f"sudo bash -s -- {direction}"]
        with HOST_SCRIPT.open("rb") as script:
            return subprocess.run(command, stdin=script, check=False).returncode

    return run


END = "END-OF-THE-SCRIPT"

TRY_A_TASK = (
    "docker compose --project-directory /opt/celeriac/current exec -T flask "
    "timeout 90 celeriac submit text.reverse --text celeriac --wait"
)


def ssm(outputs: Mapping[str, Any]) -> Transport:
    """Run the same by SSM, where no port of the hosts is open to this machine."""

    def run(host: str, direction: str) -> int:
        script = HOST_SCRIPT.read_text(encoding="utf-8").splitlines()
        lines = [f"bash -s -- {direction} <<'{END}'", *script, END]
        return run_command(deploy.instance(outputs, host), lines)

    return run


def run_a_task(outputs: Mapping[str, Any]) -> None:
    """Have a worker reverse a text, asked on the web's host: no token comes by SSM.

    Raises:
        DeployError: no worker did it.
    """
    code = run_command(deploy.instance(outputs, FLASK.hosts[0]), [TRY_A_TASK])
    if code:
        raise DeployError(f"No worker executed the task that was tried (exit code {code})")
    print("A task was run: text.reverse")


def in_order(hosts: Mapping[str, Any]) -> list[str]:
    """Sort hosts into the order in which they take a version."""
    return sorted(hosts, key=lambda host: (ORDER.index(role_of(host)), host))


def roll_out(hosts: list[str], transport: Transport, check: Callable[[], None]) -> None:
    """Bring one host after another forward, and all back when one of them or the check fails.

    Raises:
        DeployError: the version was refused, or a host does not know that it stays; the message
            says by whom, and what runs where.
    """
    forward: list[str] = []
    try:
        for host in hosts:
            print(f"\n{host}: to the new version", flush=True)
            code = transport(host, "forward")
            if code:
                raise DeployError(_refused(host, code))
            forward.append(host)
        check()
    except DeployError as error:
        stuck = [host for host in reversed(forward) if transport(host, "back")]
        raise DeployError(f"{error}. {_told(forward, stuck)}. {NEXT}") from None
    if deaf := [host for host in hosts if transport(host, "keep")]:
        raise DeployError(
            "All hosts run the new version, but these do not know that it stays: "
            f"{', '.join(deaf)}. Run `make rollout` again"
        )


def _refused(host: str, code: int) -> str:
    if code == WENT_BACK:
        return f"{host} was not healthy with the new version, and runs the one before again"
    return (
        f"{host} did not take the new version (exit code {code}), and what it runs is not known: "
        "see /home/ubuntu/startup.log there"
    )


def _told(forward: list[str], stuck: list[str]) -> str:
    if stuck:
        return f"These hosts did not go back: {', '.join(stuck)}"
    if forward:
        return "The hosts before it run the version before again"
    return "No other host was touched"


TRANSPORTS = {"ssh": ssh, "ssm": ssm}
"""By what `VIA` says."""

NO_AWS = "AWS's command line, aws, is not installed, and SSM needs it; or go by SSH, without VIA"


def rollout(stack: str, via: str) -> None:
    """Bring this checkout's version, or the configured one, to all hosts of a stack.

    Raises:
        DeployError: it was not published, or the hosts refused it.
    """
    deploy.select(stack)
    targets = [word for pattern in RELEASE for word in ("--target", pattern)]
    deploy.pulumi("up", "--yes", *targets, stack=stack)
    outputs = deploy.outputs(stack)
    try_a_task = deploy.run_a_task if via == "ssh" else run_a_task
    roll_out(in_order(outputs["ssh"]), TRANSPORTS[via](outputs), lambda: try_a_task(outputs))
    print("\nAll hosts run the new version")


def main(arguments: list[str]) -> int:
    """Roll out; give the exit code."""
    stack, via = arguments
    try:
        if via not in TRANSPORTS:
            raise DeployError(f"VIA is {via}; it is one of: {', '.join(TRANSPORTS)}")
        if via == "ssm" and shutil.which("aws") is None:
            raise DeployError(NO_AWS)
        if shutil.which("pulumi") is None:
            raise DeployError(deploy.NO_PULUMI)
        rollout(stack, via)
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
