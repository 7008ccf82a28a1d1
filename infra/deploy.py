"""`make deploy` and `make destroy`: Pulumi's program, and what comes before and after it.

python infra/deploy.py up STACK [ssh | ssm] | down STACK
"""

import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import loss
from first_steps import TRY, first_sign_in
from pulumi_cli import (
    DeployError,
    configured,
    outputs,
    pulumi,
    require_pulumi,
    resources,
    select,
)
from remains import remains
from rollout import in_order, roll_out
from transport import TRANSPORTS, instance, require, wait_until_ready

OWN_ADDRESS = "https://checkip.amazonaws.com"
PAGE_DEADLINE_S = 10 * 60
"""The hosts are ready then; a new name of a load balancer takes some minutes to be known."""
PAUSE_S = 10

SIGN_IN = (
    "Whoever becomes the first administrator opens a session on flask-ec2, and there: "
    "cd /opt/celeriac/current && "
    "sudo docker compose --profile flask exec flask celeriac users add admin --role admin"
)


def up(stack: str, via: str = "ssh") -> None:
    """Make or change the stack, wait until it is healthy, run one task on it, tell where it is."""
    require(via)
    select(stack)
    allow_own_address(stack)
    before = resources(stack)
    loss.refuse(stack, before)
    # What AWS has taken away, such as a spot machine, is made again.
    pulumi("up", "--yes", "--refresh", stack=stack)
    found = outputs(stack)
    transport = TRANSPORTS[via](found)
    hosts = in_order(found["ssh"])
    wait_until_ready(hosts, transport)
    if via == "ssh":
        look_at_pages(found)
    tell_sign_in(found, via)
    # New hosts have read everything; those that were there may have been told something else.
    known = {each.get("id") for each in before}
    stayed = [host for host in hosts if instance(found, host) in known]
    if stayed:
        roll_out(stayed, transport, lambda: TRY[via](found))
    else:
        TRY[via](found)
    tell(found)


def allow_own_address(stack: str) -> None:
    """Where nobody has said who administers the stack, let it be this machine alone.

    Raises:
        DeployError: its address is not to be had.
    """
    if configured("adminCidr", stack):
        return
    try:
        with urllib.request.urlopen(OWN_ADDRESS, timeout=20) as response:
            cidr = f"{response.read().decode().strip()}/32"
    except OSError as error:
        raise DeployError(f"{OWN_ADDRESS} does not tell this machine's address: {error}") from None
    print(f"SSH, Flower and RabbitMQ's pages will be open to you alone: adminCidr is {cidr}")
    pulumi("config", "set", "adminCidr", cidr, stack=stack)


def look_at_pages(outputs: Mapping[str, Any]) -> None:
    """Wait until web, Flower and RabbitMQ's pages are served.

    Raises:
        DeployError: one of them was not in time.
    """
    wait_for(f"{outputs['flask_url']}/readyz", "publicCidrs")
    wait_for(outputs["flower_url"], "adminCidr")
    # Amazon MQ shows its pages within the VPC alone.
    if "rabbitmq_url" in outputs:
        wait_for(outputs["rabbitmq_url"], "adminCidr")


def answers(url: str) -> bool:
    """Tell whether a page is served; one that asks for a password is."""
    try:
        with urllib.request.urlopen(url, timeout=10):  # noqa: S310 # One of the stack's own.
            return True
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False


def wait_for(url: str, open_to: str, deadline_s: float = PAGE_DEADLINE_S) -> None:
    """Wait until a page is served, which is open to the networks of a key of the configuration.

    Raises:
        DeployError: it was not in time.
    """
    print(f"Waiting for {url}", flush=True)
    end = time.monotonic() + deadline_s
    while not answers(url):
        if time.monotonic() > end:
            raise DeployError(
                f"{url} does not answer this machine, though its host is ready. This machine's "
                f"address must be in {open_to}; VIA=ssm asks no page"
            )
        time.sleep(PAUSE_S)


def tell_sign_in(outputs: Mapping[str, Any], via: str) -> None:
    """Print at once how somebody signs in first: the link is made once."""
    if via == "ssm":
        # A link would be in what AWS keeps of commands.
        print(SIGN_IN)
    elif link := first_sign_in(outputs):
        print(f"Become the first administrator, once and within a day: {link}", flush=True)


def tell(outputs: Mapping[str, Any]) -> None:
    """Print where everything is."""
    print()
    for key, value in sorted(outputs.items()):
        if isinstance(value, str):
            print(f"{key:24} {value}")


def down(stack: str, typed: Callable[[str], str] = input) -> None:
    """Remove the stack with all of its data, and look for what is left.

    Raises:
        DeployError: nobody has confirmed it, or something remains.
    """
    question = f"All hosts and all data of {stack} will be gone for good. Type its name: "
    if (os.environ.get("CONFIRM") or _asked(typed, question)) != stack:
        raise DeployError("Nothing was removed")
    # Volumes are protected from every command but this one.
    pulumi("state", "unprotect", "--all", "--yes", stack=stack)
    pulumi("destroy", "--yes", stack=stack)
    if shutil.which("aws") is None:
        print("Whether something remains was not checked: that needs AWS's command line, aws")
    elif left := remains(stack, configured("aws:region", stack)):
        raise DeployError(
            "These have the stack's tags, and may cost money (AWS tells for some minutes of what "
            "is gone already: run `make destroy` again later):\n" + "\n".join(left)
        )
    else:
        print(f"Nothing with the tags of {stack} remains")


def _asked(typed: Callable[[str], str], question: str) -> str:
    try:
        return typed(question)
    except EOFError:
        raise DeployError("Nothing was removed: nobody is there to type; set CONFIRM") from None


def main(arguments: list[str]) -> int:
    """Do what the command line says; give the exit code."""
    what, stack, *via = arguments
    try:
        require_pulumi()
        if what == "up":
            up(stack, *via)
        else:
            down(stack)
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
