"""`make rollout`: a new version reaches the hosts, one after another, without replacing any.

python infra/rollout.py STACK ssh | ssm
"""

import sys
from collections.abc import Callable, Iterable

from celeriac.topology import CELERY, FLASK, FLOWER, RABBITMQ, REDIS
from first_steps import TRY
from plan import role_of
from pulumi_cli import DeployError, outputs, pulumi, require_pulumi, select
from transport import TRANSPORTS, Transport, require

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


def in_order(hosts: Iterable[str]) -> list[str]:
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
            print(f"\n{host}: to the version and settings of the stack", flush=True)
            code = transport(host, "forward")
            if code:
                raise DeployError(_refused(host, code))
            forward.append(host)
        check()
    except KeyboardInterrupt:
        raise DeployError(_broken_off(hosts, forward)) from None
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


def _broken_off(hosts: list[str], forward: list[str]) -> str:
    others = [host for host in hosts if host not in forward]
    return (
        f"\nBroken off. At the new version: {', '.join(forward) or 'none'}; not touched, but the "
        f"first, which may be on its way: {', '.join(others) or 'none'}. `make rollout` goes on"
    )


def _told(forward: list[str], stuck: list[str]) -> str:
    if stuck:
        return f"These hosts did not go back: {', '.join(stuck)}"
    if forward:
        return "The hosts before it run the version before again"
    return "No other host was touched"


def rollout(stack: str, via: str) -> None:
    """Bring this checkout's version, or the configured one, to all hosts of a stack.

    Raises:
        DeployError: it was not published, or the hosts refused it.
    """
    select(stack)
    if "ssh" not in outputs(stack):
        raise DeployError(f"The stack {stack} has no hosts yet: run `make deploy`")
    targets = [word for pattern in RELEASE for word in ("--target", pattern)]
    pulumi("up", "--yes", *targets, stack=stack)
    found = outputs(stack)
    roll_out(in_order(found["ssh"]), TRANSPORTS[via](found), lambda: TRY[via](found))
    print("\nAll hosts run the new version")


def main(arguments: list[str]) -> int:
    """Roll out; give the exit code."""
    stack, via = arguments
    try:
        require(via)
        require_pulumi()
        rollout(stack, via)
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
