"""A stand-in for Pulumi's command line: it runs the real program, and makes what that asks for.

Resources are made by a moto server, hosts are containers of hosts_machines.py. As with Pulumi, what
has not changed stays as it is, what has is updated, and `--replace URN` makes a host anew.
HOSTS_FOLDER names where the state is; the source is the Git checkout `checkout` in it.
"""

import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pulumi.runtime import mocks

import hosts_machines
import infra_program
from hosts_state import INSTANCE, Kept, State
from infra_cloud import plain_inputs
from infra_making import MAKERS, Made
from infra_moto import Aws

WEB_ADDRESS = "203.0.113.200"
"""moto's addresses that stay are among those of loopback, which no packet leaves a machine for."""


class Engine(Aws):
    """Makes what is new, changes what is changed, and keeps all in the state."""

    def __init__(self, state: State) -> None:
        self._old = state
        self.state = State()
        super().__init__(is_new=not state.kept)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, object]]:
        """Make a resource, unless it is there and has not changed."""
        inputs = json.loads(json.dumps(plain_inputs(args.inputs), default=lambda file: file.path))
        kept = self._old.find(args.typ, args.name)
        if kept is None or kept.inputs != inputs:
            made = self._make(args, kept)
            kept = Kept(args.typ, args.name, made.id, inputs, dict(made.added))
        self.state.kept.append(kept)
        return kept.id, {**args.inputs, **kept.added}

    def _make(self, args: mocks.MockResourceArgs, old: Kept | None) -> Made:
        inputs = plain_inputs(args.inputs)
        if args.typ == "random:index/randomPassword:RandomPassword":
            password = secrets.token_hex(int(inputs["length"]) // 2)
            return Made(args.name, {"result": password}, _nothing)
        if not args.typ.startswith("aws:"):
            return Made(args.name, {}, _nothing)
        if old is not None:
            print(f"~ {args.typ} {args.name}", flush=True)
            UPDATES[args.typ](self, old)
        made = MAKERS[args.typ](self, args.name, inputs)
        if args.typ == "aws:ec2/eip:Eip":
            made.added["publicIp"] = WEB_ADDRESS
        return made


def _nothing(*_: object) -> None:
    """Do nothing: the maker overwrites what is there."""


def _remove_association(aws: Any, old: Kept) -> None:
    aws.ec2.disassociate_address(AssociationId=old.id)


def _remove_parameter(aws: Any, old: Kept) -> None:
    aws.ssm.delete_parameter(Name=old.inputs["name"])


def _remove_record(aws: Any, old: Kept) -> None:
    values = [{"Value": each} for each in old.inputs["records"]]
    record = {"Name": old.inputs["name"], "Type": "A", "TTL": int(old.inputs["ttl"])}
    change = {"Action": "DELETE", "ResourceRecordSet": record | {"ResourceRecords": values}}
    batch = {"Changes": [change]}
    aws.route53.change_resource_record_sets(HostedZoneId=old.inputs["zoneId"], ChangeBatch=batch)


UPDATES: dict[str, Callable[[Any, Kept], None]] = {
    "aws:ec2/eipAssociation:EipAssociation": _remove_association,
    "aws:ec2/volumeAttachment:VolumeAttachment": _nothing,
    "aws:iam/rolePolicy:RolePolicy": _nothing,
    "aws:route53/record:Record": _remove_record,
    "aws:s3/bucketObjectv2:BucketObjectv2": _nothing,
    "aws:ssm/parameter:Parameter": _remove_parameter,
}
"""What comes before a changed resource is made again. Nothing else ever changes in these tests."""


def up(folder: Path, words: list[str]) -> None:
    """Make the stack, or bring it up to date."""
    state = State.read(folder)
    machines = hosts_machines.Machines(folder)
    engine = Engine(state)
    if "--replace" in words:
        host = words[words.index("--replace") + 1].rpartition(":")[2]
        old = next(each for each in state.of(INSTANCE) if each.name == host)
        state.kept.remove(old)
        engine.ec2.terminate_instances(InstanceIds=[old.id])
        machines.remove(host)
    infra_program.PROGRAM = folder / "checkout" / "infra"
    found = infra_program.run(configuration(folder), engine, preview=False, stack="dev")
    engine.state.outputs = found["outputs"]
    engine.state.write(folder)
    machines.bring_about()


def configuration(folder: Path) -> dict[str, str]:
    """Give what was set by `pulumi config set`."""
    found = json.loads((folder / "config.json").read_text())
    return {f"celeriac:{key}": value for key, value in found.items()}


def main(words: list[str]) -> None:
    """Do what the command line says."""
    folder = Path(os.environ["HOSTS_FOLDER"])
    match words[2:]:
        case ["up", *options]:
            up(folder, options)
        case ["stack", "output", *_]:
            print(json.dumps(State.read(folder).outputs))
        case ["stack", "export", *_]:
            found = [{"type": each.type, "id": each.id} for each in State.read(folder).kept]
            print(json.dumps({"deployment": {"resources": found}}))
        case ["config", "get", key, *_]:
            print(configuration(folder)[f"celeriac:{key}"])
        case ["stack", "select", *_]:
            pass
        case _:
            sys.exit(f"The stand-in for pulumi does not know: {words}")


if __name__ == "__main__":
    main(sys.argv[1:])
