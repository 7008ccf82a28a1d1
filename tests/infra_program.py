"""Run Pulumi's program in infra/ against mocks, and print what it asked the engine for, as JSON.

A process of its own, since the mocks are global: `python infra_program.py '{"config": {...}}'`.
"""

import json
import runpy
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf.json_format import (  # type: ignore[import-untyped] # For one call.
    MessageToDict,
)
from pulumi.runtime import mocks, rpc
from pulumi.runtime.stack import Stack, run_pulumi_func
from pulumi.runtime.sync_await import _sync_await

from infra_stack import UNKNOWN, Resource

PROGRAM = Path(__file__).parents[1] / "infra"

INVOKES: dict[str, dict[str, object]] = {
    "aws:index/getRegion:getRegion": {"region": "us-east-1", "id": "us-east-1"},
    "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": "123456789012"},
    "aws:ec2/getAmi:getAmi": {"id": "ami-0123456789abcdef0"},
}

COMPUTED = {
    "aws:ec2/subnet:Subnet": {"availabilityZone": "us-east-1a"},
    "aws:ec2/instance:Instance": {"privateIp": "10.0.1.10", "publicIp": "203.0.113.{number}"},
    "aws:ec2/eip:Eip": {"publicIp": "203.0.113.200"},
    "aws:ec2/keyPair:KeyPair": {"keyName": "{name}-key"},
    "aws:iam/role:Role": {"name": "{name}-role"},
    "aws:iam/instanceProfile:InstanceProfile": {"name": "{name}-profile"},
    "aws:route53/zone:Zone": {"zoneId": "zone"},
    "random:index/randomPassword:RandomPassword": {"result": "SECRET{name}"},
}
"""What AWS adds to what it is given. In a preview nobody knows."""


class Cloud(mocks.Mocks):
    """Answers as AWS would, with identifiers made of names."""

    def __init__(self, preview: bool) -> None:
        self._preview = preview
        self._number = 0

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, object], list[tuple[str, str]]]:
        """Answer a look-up without complaints; one that is not in the table is an error."""
        return INVOKES[args.token], []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, object]]:
        """Make a resource, with all that AWS adds to it."""
        if self._preview:
            return "", dict(args.inputs)
        self._number += 1
        computed = COMPUTED.get(args.typ, {})
        added = {
            key: value.format(name=args.name, number=self._number)
            for key, value in computed.items()
        }
        kind = args.typ.rpartition(":")[2].lower()
        return f"{kind}-{args.name}", {**args.inputs, **added}


class Recorder(mocks.MockMonitor):
    """Keeps what mocks never see: options, dependencies, and what is secret."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.found: list[Resource] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 # Pulumi's own name.
        """Record one resource."""
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        inputs = _plain(MessageToDict(request.object))
        self.found.append(
            Resource(
                type=request.type,
                name=request.name,
                urn=answer.urn,
                parent=request.parent,
                custom=request.custom,
                inputs=inputs,
                dependencies=sorted(request.dependencies),
                protect=request.protect,
                ignore_changes=list(request.ignoreChanges),
                delete_before_replace=request.deleteBeforeReplace,
            )
        )
        return answer


def _plain(value: Any) -> Any:
    """Give a value as people write it, with marks for what is secret or not known yet."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        if value.get(rpc._special_sig_key) == rpc._special_secret_sig:
            return {"secret": _plain(value["value"])}
        return {key: _plain(each) for key, each in value.items()}
    return UNKNOWN if value == rpc.UNKNOWN else value


def run(config: dict[str, str], *, preview: bool, stack: str) -> dict[str, object]:
    """Run the program with a configuration; `preview` as before anything exists."""
    recorder = Recorder(Cloud(preview))
    pulumi.runtime.set_mocks(
        recorder.mocks, project="celeriac", stack=stack, preview=preview, monitor=recorder
    )
    pulumi.runtime.set_all_config(config)
    sys.path.insert(0, str(PROGRAM))
    _sync_await(run_pulumi_func(lambda: void(runpy.run_path(str(PROGRAM / "__main__.py")))))
    root = pulumi.runtime.get_root_resource()
    assert isinstance(root, Stack)
    outputs = _sync_await(rpc.serialize_properties(root.outputs, {}))
    return {
        "resources": [asdict(each) for each in recorder.found],
        "outputs": _plain(MessageToDict(outputs)),
    }


def void(_: object) -> None:
    """Take what nobody needs."""


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    try:
        print(json.dumps(run(wanted["config"], preview=wanted["preview"], stack=wanted["stack"])))
    except pulumi.RunError as error:
        sys.exit(str(error))
