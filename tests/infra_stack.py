"""A stack as the Pulumi program in infra/ asks for it, without Pulumi's engine and without AWS."""

import atexit
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

UNKNOWN = "<unknown>"
"""What stands where a preview does not know the value yet."""

INSTANCE = "aws:ec2/instance:Instance"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"

KEY = Path(__file__).parent / "infra" / "id_example.pub"


OPTIONS = (
    ("broker", "amazonmq"),
    ("history", "postgres"),
    ("results", "elasticache"),
    ("spotWorkers", "true"),
    ("domain", "celeriac.example.org"),
    ("webCount", "2"),
    ("dataVolumeGb", "8"),
)
"""All options at once: what is not the default."""

CLUSTER = (("broker", "cluster3"),)
"""What cannot be one of them beside Amazon MQ: three hosts of RabbitMQ."""


@dataclass(frozen=True)
class Resource:
    """One resource as it was registered. `inputs` bear AWS's names; secrets are `{"secret": …}`."""

    type: str
    name: str
    urn: str
    parent: str
    custom: bool
    inputs: dict[str, Any]
    dependencies: list[str]
    protect: bool
    ignore_changes: list[str]
    replace_on_changes: list[str]
    delete_before_replace: bool


@dataclass(frozen=True)
class Stack:
    """All resources and outputs of one run of the program."""

    resources: list[Resource]
    outputs: dict[str, Any]

    def of(self, kind: str) -> list[Resource]:
        """Give the resources of a type, such as `aws:ec2/vpc:Vpc`."""
        return [each for each in self.resources if each.type == kind]

    def one(self, kind: str, name: str | None = None) -> Resource:
        """Give the single resource of a type, or the one of a name."""
        found = [each for each in self.of(kind) if name in (None, each.name)]
        assert len(found) == 1, [each.urn for each in found]
        return found[0]

    def instances(self) -> dict[str, Resource]:
        """Map the name of each host to its instance."""
        return {each.name: each for each in self.of(INSTANCE)}

    def needs(self, resource: Resource) -> set[str]:
        """Give the URNs of all that must exist before a resource, however many steps away."""
        by_urn = {each.urn: each for each in self.resources}
        found: set[str] = set()
        open_urns = [resource.urn]
        while open_urns:
            new = set(by_urn[open_urns.pop()].dependencies) & by_urn.keys() - found
            found |= new
            open_urns += new
        return found


VALID = {"adminCidr": "198.51.100.7/32", "publicKeyPath": str(KEY)}
"""A configuration that suffices."""


@cache
def _program(name: str) -> subprocess.Popen[str]:
    """Start a process that runs the program, once; it ends with this one."""
    script = Path(__file__).with_name(name)
    program = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(program.communicate)
    return program


def execute(
    config: Mapping[str, str], *, preview: bool = False, runner: str = "infra_program.py"
) -> dict[str, Any]:
    """Run the program with exactly this configuration; an `error` is what stopped it."""
    program = _program(runner)
    assert program.stdin is not None
    assert program.stdout is not None
    full = {f"celeriac:{key}": value for key, value in config.items()}
    program.stdin.write(json.dumps({"config": full, "preview": preview, "stack": "dev"}) + "\n")
    program.stdin.flush()
    found: dict[str, Any] = json.loads(program.stdout.readline())
    return found


@cache
def deployed(*changes: tuple[str, str], preview: bool = False) -> Stack:
    """Give the stack of a configuration: a valid one, and what is changed in it."""
    found = execute(VALID | dict(changes), preview=preview)
    assert "error" not in found, found
    return _stack(found)


@dataclass(frozen=True)
class Life:
    """A stack that was made in a fake AWS and removed again: what was there, and what was left."""

    stack: Stack
    made: dict[str, list[Any]]
    destroyed: list[str]
    left: dict[str, list[Any]]


@cache
def lived(*changes: tuple[str, str]) -> Life:
    """Make the stack of a configuration in a fake AWS, and remove it."""
    found = execute(VALID | dict(changes), runner="infra_moto.py")
    assert "error" not in found, found
    return Life(_stack(found["stack"]), found["made"], found["destroyed"], found["left"])


def _stack(found: dict[str, Any]) -> Stack:
    return Stack([Resource(**each) for each in found["resources"]], found["outputs"])


def texts(value: object) -> Iterator[str]:
    """Give every text in a value, secret or not."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def secrets(value: object) -> Iterator[str]:
    """Give every secret text in a value."""
    if isinstance(value, dict):
        if value.keys() == {"secret"}:
            yield from texts(value)
        else:
            for each in value.values():
                yield from secrets(each)
    elif isinstance(value, list):
        for each in value:
            yield from secrets(each)
