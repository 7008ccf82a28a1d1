"""`make deploy` and `make destroy`: Pulumi's program, and what comes before and after it.

python infra/deploy.py up STACK | down STACK
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from celeriac.topology import FLASK

INFRA = Path(__file__).parent
OWN_ADDRESS = "https://checkip.amazonaws.com"
HEALTH_DEADLINE_S = 45 * 60
PAUSE_S = 10
ADMINISTRATOR = "admin"

NO_PULUMI = (
    "Pulumi is not installed, and deploying needs its command line: "
    "https://www.pulumi.com/docs/install. Then run `pulumi login --local`, or log in to where your "
    "team keeps its state, and try again. See docs/deploy-aws.md."
)


class DeployError(Exception):
    """Something that a person has to mend; the message says what."""


def pulumi(*command: str, stack: str) -> None:
    """Run Pulumi's command line on a stack, with its output for people to see.

    Raises:
        DeployError: it failed.
    """
    if subprocess.run(["pulumi", "-C", INFRA, *command, "--stack", stack], check=False).returncode:
        raise DeployError(f"`pulumi {' '.join(command)}` failed; its reason stands above")


def answer(*command: str | Path) -> str | None:
    """Give what a command prints, or nothing when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def up(stack: str) -> None:
    """Make the stack, wait until it is healthy, run one task on it, and tell where it is."""
    select(stack)
    allow_own_address(stack)
    # What AWS has taken away, such as a spot machine, is made again.
    pulumi("up", "--yes", "--refresh", stack=stack)
    found = outputs(stack)
    for url in (f"{found['flask_url']}/readyz", found["flower_url"], found.get("rabbitmq_url")):
        # Amazon MQ shows its pages within the VPC alone.
        if url:
            wait_for(url)
    link = first_sign_in(found)
    run_a_task(found)
    tell(found, link)


def outputs(stack: str) -> dict[str, Any]:
    """Give what the program exports."""
    found = answer("pulumi", "-C", INFRA, "stack", "output", "--json", "--stack", stack)
    return cast(dict[str, Any], json.loads(found or "{}"))


def select(stack: str) -> None:
    """Select the stack, or begin it.

    Raises:
        DeployError: Pulumi cannot, such as without a login.
    """
    command = ("pulumi", "-C", str(INFRA), "stack", "select", "--create", stack)
    if subprocess.run(command, check=False).returncode:
        raise DeployError(f"Pulumi cannot open the stack {stack}; its reason stands above")


def allow_own_address(stack: str) -> None:
    """Where nobody has said who administers the stack, let it be this machine alone.

    Raises:
        DeployError: its address is not to be had.
    """
    if answer("pulumi", "-C", INFRA, "config", "get", "adminCidr", "--stack", stack):
        return
    try:
        with urllib.request.urlopen(OWN_ADDRESS, timeout=20) as response:
            cidr = f"{response.read().decode().strip()}/32"
    except OSError as error:
        raise DeployError(f"{OWN_ADDRESS} does not tell this machine's address: {error}") from None
    print(f"SSH, Flower and RabbitMQ's pages will be open to you alone: adminCidr is {cidr}")
    pulumi("config", "set", "adminCidr", cidr, stack=stack)


def answers(url: str) -> bool:
    """Tell whether a page is served; one that asks for a password is."""
    try:
        with urllib.request.urlopen(url, timeout=10):  # noqa: S310 # One of the stack's own.
            return True
    except urllib.error.HTTPError as error:
        return error.code == 401
    except OSError:
        return False


def wait_for(url: str, deadline_s: float = HEALTH_DEADLINE_S) -> None:
    """Wait until a page is served: hosts install Docker and build the image first.

    Raises:
        DeployError: it was not in time.
    """
    print(f"Waiting for {url}", flush=True)
    end = time.monotonic() + deadline_s
    while not answers(url):
        if time.monotonic() > end:
            raise DeployError(
                f"{url} does not answer. Look into /home/ubuntu/startup.log of its host: "
                "`pulumi -C infra stack output ssh` has the way there."
            )
        time.sleep(PAUSE_S)


def instance(outputs: Mapping[str, Any], host: str) -> str:
    """Give the identifier of a host's instance."""
    return shlex.split(outputs["ssm"][host])[-1]


def ssh_options(outputs: Mapping[str, Any], host: str) -> list[str]:
    """Have SSH know a host by its instance: one that replaces it may have the same address."""
    known_as = f"HostKeyAlias={instance(outputs, host)}"
    return ["-o", "StrictHostKeyChecking=accept-new", "-o", "ConnectTimeout=20", "-o", known_as]


def celeriac(outputs: Mapping[str, Any], *command: str) -> str | None:
    """Run Celeriac's command line on the web's host, by SSH."""
    remote = "sudo docker compose --project-directory /opt/celeriac/current exec -T flask celeriac"
    host = FLASK.hosts[0]
    address = f"ubuntu@{outputs[f'{host}_public_ip']}"
    return answer("ssh", *ssh_options(outputs, host), address, " ".join([remote, *command]))


def first_sign_in(outputs: Mapping[str, Any]) -> str | None:
    """Make the first administrator; give the link by which they choose a password, once."""
    made = celeriac(outputs, "users", "add", ADMINISTRATOR, "--role", "admin", "--json")
    return cast(str, json.loads(made)["link"]) if made else None


def run_a_task(outputs: Mapping[str, Any]) -> None:
    """Have a worker reverse a text, asked through the public address.

    Raises:
        DeployError: no worker did it.
    """
    made = celeriac(
        outputs, "tokens", "create", ADMINISTRATOR, "--label", "deployment", "--days", "1",
        "--role", "operator", "--json",
    )  # fmt: skip
    if made is None:
        print("No task was tried: this machine cannot reach flask-ec2 by SSH, or admin is no more")
        return
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


def tell(outputs: Mapping[str, Any], link: str | None) -> None:
    """Print where everything is."""
    print()
    for key, value in sorted(outputs.items()):
        if isinstance(value, str):
            print(f"{key:24} {value}")
    if link:
        print(f"\nBecome the first administrator, once and within a day: {link}")


def down(stack: str, typed: Callable[[str], str] = input) -> None:
    """Remove the stack with all of its data, and look for what is left.

    Raises:
        DeployError: nobody has confirmed it, or something remains.
    """
    question = f"All hosts and all data of {stack} will be gone for good. Type its name: "
    if (os.environ.get("CONFIRM") or typed(question)) != stack:
        raise DeployError("Nothing was removed")
    # Volumes are protected from every command but this one.
    pulumi("state", "unprotect", "--all", "--yes", stack=stack)
    pulumi("destroy", "--yes", stack=stack)
    if shutil.which("aws") is None:
        print("Whether something remains was not checked: that needs AWS's command line, aws")
    elif left := remains(stack):
        raise DeployError("These remain, and cost money:\n" + "\n".join(left))
    else:
        print(f"Nothing with the tags of {stack} remains")


def remains(stack: str) -> list[str]:
    """Give what still has the stack's tags; instances that have ended have them for a while.

    Raises:
        DeployError: AWS does not answer.
    """
    tagged = answer(
        "aws", "resourcegroupstaggingapi", "get-resources", "--output", "text",
        "--tag-filters", "Key=Project,Values=celeriac", f"Key=Stack,Values={stack}",
        "--query", "ResourceTagMappingList[].[ResourceARN]",
    )  # fmt: skip
    running = answer(
        "aws", "ec2", "describe-instances", "--output", "text",
        "--filters", "Name=tag:Project,Values=celeriac", f"Name=tag:Stack,Values={stack}",
        "Name=instance-state-name,Values=pending,running,stopping,stopped",
        "--query", "Reservations[].Instances[].[InstanceId]",
    )  # fmt: skip
    if tagged is None or running is None:
        raise DeployError("AWS does not tell what remains: see `aws sts get-caller-identity`")
    return [each for each in tagged.split() if ":instance/" not in each] + running.split()


def main(arguments: list[str]) -> int:
    """Do what the command line says; give the exit code."""
    what, stack = arguments
    try:
        if shutil.which("pulumi") is None:
            raise DeployError(NO_PULUMI)
        {"up": up, "down": down}[what](stack)
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
