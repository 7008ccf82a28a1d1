"""What a changed configuration would destroy, or AWS refuse, told before anything is changed."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from plan import holders_of_data
from pulumi_cli import DeployError, configured
from stack_config import is_arm

INSTANCE = "aws:ec2/instance:Instance"
HOLDERS = (
    "aws:ebs/volume:Volume",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:mq/broker:Broker",
    "aws:rds/instance:Instance",
)


def refuse(stack: str, resources: Iterable[Mapping[str, Any]]) -> None:
    """Look at what there is and at what is configured.

    Raises:
        DeployError: data that is protected would go, or hosts would get another architecture.
    """
    there = list(resources)
    _refuse_architecture(stack, there)
    protected = {
        each["urn"].rpartition("::")[2]: each["urn"]
        for each in there
        if each.get("protect") and each.get("type") in HOLDERS
    }
    if not protected:
        return
    options = (configured(key, stack) for key in ("broker", "results", "history"))
    going = protected.keys() - holders_of_data(*options)
    if going:
        commands = [
            f"pulumi -C infra state unprotect --yes --stack {stack} {shlex.quote(protected[name])}"
            for name in sorted(going)
        ]
        raise DeployError(
            f"This configuration removes {', '.join(sorted(going))} with all that is kept there; "
            "nothing of it is moved. Set the options back, or, where it is needed no more, run "
            f"this and try again:\n{' && '.join(commands)}"
        )


def _refuse_architecture(stack: str, resources: Iterable[Mapping[str, Any]]) -> None:
    wanted = configured("architecture", stack) or "x86"
    for each in resources:
        if each.get("type") == INSTANCE:
            there = "arm" if is_arm(each["inputs"]["instanceType"]) else "x86"
            if there != wanted:
                raise DeployError(
                    f"architecture is {wanted}, but the hosts are {there}, and AWS gives no "
                    "machine another. Set it back, or make another stack"
                )
