"""The policy pack: what holds for every stack, whatever its configuration.

`pulumi -C infra up --policy-pack policies` stops before a resource that breaks a rule is made. The
tests run the same rules on what the program asks for.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

EVERYWHERE = {"0.0.0.0/0", "::/0"}  # Written to be looked for, never bound.
PUBLIC_PORTS = {80, 443, 5000}

SAFE: dict[str, dict[str, object]] = {
    "aws:ec2/instance:Instance": {
        # Neither a forged request nor a container of the host gets at the host's rights.
        "metadataOptions.httpTokens": "required",
        "metadataOptions.httpPutResponseHopLimit": 1,
        "rootBlockDevice.encrypted": True,
    },
    "aws:ebs/volume:Volume": {"encrypted": True},
    "aws:rds/instance:Instance": {"storageEncrypted": True, "publiclyAccessible": False},
    "aws:elasticache/replicationGroup:ReplicationGroup": {
        "atRestEncryptionEnabled": True,
        "transitEncryptionEnabled": True,
    },
    "aws:mq/broker:Broker": {"publiclyAccessible": False},
    "aws:ssm/parameter:Parameter": {"type": "SecureString"},
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": {
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    },
}
"""What each type must be told: what is stored is encrypted, and nothing is open by itself."""

TAGGED = (
    "aws:ebs/volume:Volume",
    "aws:ec2/eip:Eip",
    "aws:ec2/instance:Instance",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/vpc:Vpc",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:iam/role:Role",
    "aws:lb/loadBalancer:LoadBalancer",
    "aws:mq/broker:Broker",
    "aws:rds/instance:Instance",
    "aws:s3/bucket:Bucket",
    "aws:ssm/parameter:Parameter",
)

OF_NO_RESOURCE = ("ssm:UpdateInstanceInformation", "ssmmessages:")
"""Actions that AWS lets nobody narrow down to a resource."""

Rule = Callable[[ResourceValidationArgs, ReportViolation], None]
RULES: list[ResourceValidationPolicy] = []


def rule(check: Rule) -> Rule:
    """Add a rule: its name is the function's, and its description the docstring."""
    RULES.append(
        ResourceValidationPolicy(
            name=check.__name__.replace("_", "-"),
            description=str(check.__doc__),
            validate=check,
            enforcement_level=EnforcementLevel.MANDATORY,
        )
    )
    return check


@rule
def world_reaches_the_web_alone(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Only ports of the web are open to everybody."""
    if args.resource_type.endswith(":SecurityGroupIngressRule"):
        source = {args.props.get("cidrIpv4"), args.props.get("cidrIpv6")}
        port = int(args.props.get("fromPort", -1))
        one_port = port == int(args.props.get("toPort", -1))
        if source & EVERYWHERE and not (one_port and port in PUBLIC_PORTS):
            report(f"ports from {port} are open to the world", None)


@rule
def openings_stand_alone(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Each opening is a resource of its own, with a description."""
    if args.resource_type == "aws:ec2/securityGroup:SecurityGroup":
        if args.props.get("ingress") or args.props.get("egress"):
            report("it has openings in it", None)
    elif args.resource_type.endswith("gressRule") and not args.props.get("description"):
        report("it does not say what it is for", None)


@rule
def settings_are_safe(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """What is stored is encrypted, and metadata, databases, brokers and buckets are closed."""
    for path, wanted in SAFE.get(args.resource_type, {}).items():
        value: Any = args.props
        for key in path.split("."):
            value = (value or {}).get(key)
        if value != wanted:
            report(f"{path} is {value}, not {wanted}", None)


@rule
def rights_are_narrow(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """No right is for all actions, and none for all resources where AWS can tell them apart."""
    policy = args.props.get("policy")
    # Known only once what it names has been made.
    if args.resource_type == "aws:iam/rolePolicy:RolePolicy" and isinstance(policy, str):
        for statement in _statements(policy):
            actions = _listed(statement["Action"])
            if any("*" in action for action in actions):
                report(f"{actions} are too many actions", None)
            narrow = all(action.startswith(OF_NO_RESOURCE) for action in actions)
            if "*" in _listed(statement["Resource"]) and not narrow:
                report(f"{actions} are for all resources", None)


def _statements(policy: str) -> list[Mapping[str, Any]]:
    try:
        found: list[Mapping[str, Any]] = json.loads(policy)["Statement"]
    except ValueError:
        return []
    return found


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@rule
def everything_is_tagged(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """What costs money or opens something is found by its stack's tags."""
    if args.resource_type in TAGGED:
        missing = {"Project", "Stack"} - (args.props.get("tags") or {}).keys()
        if missing:
            report(f"it lacks the tags {sorted(missing)}", None)


if __name__ == "__main__":
    PolicyPack("celeriac", list(RULES), enforcement_level=EnforcementLevel.MANDATORY)
