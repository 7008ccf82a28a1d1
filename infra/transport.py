"""How host/rollout.sh is run on a host: by SSH, or by SSM where no port is open to this machine."""

import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pulumi_cli import DeployError
from run_command import UNREACHED, run_command

HOST_SCRIPT = Path(__file__).parent / "host" / "rollout.sh"
END = "END-OF-THE-SCRIPT"

REACHED_WITHIN_S = 5 * 60
"""A new machine answers sooner, and SSM knows it."""
PAUSE_S = 10.0

Transport = Callable[[str, str], int]
"""Has a host, by its name, wait until it is `ready`, go `forward` or `back`, or `keep` what it has.

Gives the exit code of host/rollout.sh.
"""

NO_AWS = "AWS's command line, aws, is not installed, and SSM needs it; or go by SSH, without VIA"


def instance(outputs: Mapping[str, Any], host: str) -> str:
    """Give the identifier of a host's instance."""
    return shlex.split(outputs["ssm"][host])[-1]


def ssh_command(outputs: Mapping[str, Any], host: str) -> list[str]:
    """Give what opens a host by SSH.

    It is known by its instance: one that replaces it may have the same address.
    """
    program, *address = shlex.split(outputs["ssh"][host])
    known_as = f"HostKeyAlias={instance(outputs, host)}"
    options = ("StrictHostKeyChecking=accept-new", "ConnectTimeout=20", known_as)
    # Long silence ends connections on their way through the networks of others.
    patient = ("ServerAliveInterval=30",)
    return [program, *(word for each in options + patient for word in ("-o", each)), *address]


def ssh(outputs: Mapping[str, Any]) -> Transport:
    """Run the host's side by SSH, on its input: what the host has may be older."""

    def run(host: str, direction: str) -> int:
        command = [*ssh_command(outputs, host), f"sudo bash -s -- {direction}"]
        with HOST_SCRIPT.open("rb") as script:
            return subprocess.run(command, stdin=script, check=False).returncode

    return run


def ssm(outputs: Mapping[str, Any]) -> Transport:
    """Run the same by SSM, where no port of the hosts is open to this machine."""

    def run(host: str, direction: str) -> int:
        script = HOST_SCRIPT.read_text(encoding="utf-8").splitlines()
        lines = [f"bash -s -- {direction} <<'{END}'", *script, END]
        return run_command(instance(outputs, host), lines, outputs.get("region"))

    return run


TRANSPORTS = {"ssh": ssh, "ssm": ssm}
"""By what `VIA` says."""


def require(via: str) -> None:
    """Look whether there is such a way.

    Raises:
        DeployError: there is none, or what it needs is not installed.
    """
    if via not in TRANSPORTS:
        raise DeployError(f"VIA is {via}; it is one of: {', '.join(TRANSPORTS)}")
    if via == "ssm" and shutil.which("aws") is None:
        raise DeployError(NO_AWS)


def wait_until_ready(hosts: Iterable[str], transport: Transport) -> None:
    """Wait until each host has brought up its role: it installs Docker and builds the image first.

    Raises:
        DeployError: one of them is not reached, or was not in time.
    """
    for host in hosts:
        print(f"Waiting until {host} is ready", flush=True)
        end = time.monotonic() + REACHED_WITHIN_S
        while (code := transport(host, "ready")) == UNREACHED and time.monotonic() < end:
            time.sleep(PAUSE_S)
        if code == UNREACHED:
            raise DeployError(
                f"{host} is not reached. By SSH, this machine's address must be in adminCidr, and "
                "its key the one of publicKeyPath; VIA=ssm needs neither"
            )
        if code:
            raise DeployError(
                f"{host} is not ready, for the reason above (exit code {code}): see "
                "/home/ubuntu/startup.log there. It goes on trying, with each new version as well"
            )
