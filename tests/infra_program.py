"""Run Pulumi's program in infra/ against mocks, and print what it asked the engine for, as JSON.

A process for each configuration, since the mocks are global: this one takes a configuration a line.
"""

import json
import os
import runpy
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws
from google.protobuf.json_format import (  # type: ignore[import-untyped] # For one call.
    MessageToDict,
)
from pulumi.runtime import mocks, rpc
from pulumi.runtime.stack import Stack, run_pulumi_func
from pulumi.runtime.sync_await import _sync_await

from infra_cloud import Cloud
from infra_stack import UNKNOWN, Resource

PROGRAM = Path(__file__).parents[1] / "infra"


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
                replace_on_changes=list(request.replaceOnChanges),
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


def run(config: dict[str, str], cloud: Cloud, preview: bool, stack: str) -> dict[str, Any]:
    """Run the program with a configuration; `preview` as before anything exists."""
    recorder = Recorder(cloud)
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


def simulate(wanted: dict[str, Any]) -> dict[str, Any]:
    """Run the program with a configuration that came in a line."""
    return run(wanted["config"], Cloud(wanted["preview"]), wanted["preview"], wanted["stack"])


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer each line of the input in a process of its own, which has imported everything."""
    import_all()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                found = answer(json.loads(line))
            except pulumi.RunError as error:
                found = {"error": str(error)}
            print(json.dumps(found, default=str), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit("The program failed; see above")


def import_all() -> None:
    """Import what takes seconds: Pulumi's package for AWS does so when a service is first used."""
    for service, kind in (
        ("acm", "Certificate"),
        ("ebs", "Volume"),
        ("ec2", "Instance"),
        ("elasticache", "User"),
        ("iam", "Role"),
        ("lb", "LoadBalancer"),
        ("mq", "Broker"),
        ("rds", "Instance"),
        ("route53", "Record"),
        ("s3", "Bucket"),
        ("ssm", "Parameter"),
        ("vpc", "SecurityGroupIngressRule"),
    ):
        getattr(getattr(pulumi_aws, service), kind)


if __name__ == "__main__":
    serve(simulate)
