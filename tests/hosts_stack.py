"""A stack of six simulated hosts, made and changed by the same scripts as on AWS, from outside."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from compose_hosts import ROOT
from hosts_machines import Machines
from hosts_state import INSTANCE, State
from web_client import WebClient

ADMIN = "198.51.100.7"
USER = "203.0.113.9"
STRANGER = "203.0.113.66"
"""Addresses from which this machine calls; hosts/world routes them."""

SCRIPT_WITHIN_S = 720
ENVIRONMENT = {
    "AWS_ENDPOINT_URL": "http://192.0.2.1:4566",
    "HOSTS_PYTHON": sys.executable,
    "PATH": f"{ROOT / 'tests' / 'hosts' / 'bin'}:{os.environ['PATH']}",
}


@dataclass
class SimulatedStack:
    """The stack in a folder, and how to reach it."""

    folder: Path
    web: WebClient = field(default_factory=lambda: WebClient(""))

    def __post_init__(self) -> None:
        """Prepare what an operator has: a key, a checkout, and a configuration."""
        self.machines = Machines(self.folder)
        self.checkout = self.folder / "checkout"
        _run("rm", "-rf", *map(str, (self.checkout, *self.folder.glob("key*"))))
        _run("git", "clone", "--quiet", "--shared", str(ROOT), str(self.checkout))
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key"))
        self.configure("one")

    def configure(self, version: str) -> None:
        """Name the image of a version, as by `pulumi config set`."""
        config = {
            "adminCidr": f"{ADMIN}/32",
            "publicCidrs": json.dumps([f"{ADMIN}/32", f"{USER}/32"]),
            "publicKeyPath": str(self.folder / "key.pub"),
            "image": f"celeriac:{version}",
        }
        (self.folder / "config.json").write_text(json.dumps(config))

    @property
    def state(self) -> State:
        """What is there now."""
        return State.read(self.folder)

    @property
    def hosts(self) -> list[str]:
        """The names of all hosts."""
        return [each.name for each in self.state.of(INSTANCE)]

    @property
    def secrets(self) -> dict[str, str]:
        """All generated secrets, by the names of their resources."""
        kind = "random:index/randomPassword:RandomPassword"
        return {each.name: each.added["result"] for each in self.state.of(kind)}

    def deploy(self) -> str:
        """Do what `make deploy` does, and give what it tells; then have an operator's token."""
        told = self._script("deploy.py", "up", "dev")
        self.web.url = self.state.outputs["flask_url"]
        made = self.celeriac(
            "tokens", "create", "admin", "--label", "test", "--role", "operator", "--json"
        )
        self.web.token = json.loads(made)["token"]
        return told

    def roll_out(self, version: str) -> str:
        """Do what `make rollout` does with another version, and give what it tells."""
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        _run("git", "-C", str(self.checkout), *who, "commit", "--allow-empty", "-qm", version)
        self.configure(version)
        return self._script("rollout.py", "dev", "ssh")

    def containers(self, host: str) -> dict[str, str]:
        """Map the services that run on a host to their images."""
        format_ = '{{.Label "com.docker.compose.service"}} {{.Image}}'
        lines = self.machines.run(host, f"docker ps --format '{format_}'").splitlines()
        return dict(line.split() for line in lines)

    def replace(self, host: str) -> None:
        """Do what `pulumi up --replace` does with an instance."""
        urn = f"urn:pulumi:dev::celeriac::aws:ec2/instance:Instance::{host}"
        _run("pulumi", "-C", "infra", "up", "--yes", "--replace", urn)

    def celeriac(self, *words: str) -> str:
        """Run Celeriac's command line on the web's host."""
        command = "docker compose --project-directory /opt/celeriac/current exec -T flask celeriac"
        return self.machines.run("flask-ec2", " ".join([command, *words]))

    def logs(self) -> str:
        """Give the end of each host's log."""
        found = [f"--- {host}\n{self.machines.log(host, 25)}" for host in self.hosts]
        return "\n".join(found)

    def _script(self, script: str, *words: str) -> str:
        try:
            return _run(sys.executable, str(ROOT / "infra" / script), *words)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None


def _run(*command: str) -> str:
    """Run a command, and give what it says.

    Raises:
        AssertionError: it failed or took too long; the message has what it said.
    """
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SCRIPT_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode()
        raise AssertionError(f"{' '.join(command)}: not within {error.timeout} s\n{said}") from None
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout
