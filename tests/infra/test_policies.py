"""The policy pack: what the program asks for breaks no rule, and each rule finds what breaks it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi_policy import ResourceValidationArgs

from infra_stack import CLUSTER, INGRESS, INSTANCE, OPTIONS, Resource, Stack, deployed
from policies import __main__ as pack

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)

TAGS = {"Project": "celeriac", "Stack": "dev"}
METADATA = {"httpTokens": "required", "httpPutResponseHopLimit": 1}
HOST = {"tags": TAGS, "metadataOptions": METADATA, "rootBlockDevice": {"encrypted": True}}
DOOR = {"description": "web", "cidrIpv4": "0.0.0.0/0", "fromPort": 5000, "toPort": 5000}
POLICY = "aws:iam/rolePolicy:RolePolicy"
DATABASE = {"tags": TAGS, "storageEncrypted": True, "publiclyAccessible": False}


def _violations(kind: str, inputs: dict[str, Any]) -> list[str]:
    """Give the names of the rules that an input breaks."""
    found: list[str] = []
    args = ResourceValidationArgs(kind, inputs, f"urn::{kind}", "it", None, None)
    for policy in pack.RULES:
        policy.validate(args, lambda *_, name=policy.name: found.append(name))  # type: ignore[misc]
    return found


def _real(resource: Resource) -> dict[str, Any]:
    """Give inputs as the engine hands them to a policy: secrets without marks."""
    return {
        key: value["secret"] if isinstance(value, dict) and value.keys() == {"secret"} else value
        for key, value in resource.inputs.items()
    }


@pytest.fixture(params=[(), OPTIONS, CLUSTER], ids=["default", "options", "cluster"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Give the stack as it is by default, with all options, and with a cluster."""
    return deployed(*request.param)


def test_stack_breaks_no_rule(stack: Stack) -> None:
    for resource in stack.resources:
        assert _violations(resource.type, _real(resource)) == [], resource.name


@pytest.mark.parametrize(
    ("kind", "inputs", "rule"),
    [
        (INGRESS, DOOR | {"fromPort": 22, "toPort": 22}, "world-reaches-the-web-alone"),
        (INGRESS, DOOR | {"toPort": 6000}, "world-reaches-the-web-alone"),
        (INGRESS, DOOR | {"cidrIpv4": None, "cidrIpv6": "::/0", "fromPort": 1}, "world-reaches-"),
        (INGRESS, DOOR | {"description": ""}, "openings-stand-alone"),
        ("aws:ec2/securityGroup:SecurityGroup", {"tags": TAGS, "ingress": [DOOR]}, "openings-"),
        (INSTANCE, HOST | {"metadataOptions": None}, "settings-are-safe"),
        (
            INSTANCE,
            HOST | {"metadataOptions": METADATA | {"httpPutResponseHopLimit": 2}},
            "settings-are-safe",
        ),
        (INSTANCE, HOST | {"rootBlockDevice": {}}, "settings-are-safe"),
        ("aws:ebs/volume:Volume", {"tags": TAGS}, "settings-are-safe"),
        ("aws:ssm/parameter:Parameter", {"tags": TAGS, "type": "String"}, "settings-are-safe"),
        (
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
            {"blockPublicAcls": True, "blockPublicPolicy": True, "ignorePublicAcls": True},
            "settings-are-safe",
        ),
        ("aws:rds/instance:Instance", DATABASE | {"publiclyAccessible": True}, "settings-are-safe"),
        ("aws:mq/broker:Broker", {"tags": TAGS, "publiclyAccessible": True}, "settings-are-safe"),
        (INSTANCE, HOST | {"tags": {"Project": "celeriac"}}, "everything-is-tagged"),
    ],
)
def test_rule_finds_what_breaks_it(kind: str, inputs: dict[str, Any], rule: str) -> None:
    found = _violations(kind, inputs)

    assert found
    assert all(name.startswith(rule) for name in found)


@pytest.mark.parametrize(
    ("action", "resource"),
    [("s3:*", "arn:aws:s3:::bundles/*"), ("s3:GetObject", "*"), (["ssm:GetParameter"], ["*"])],
)
def test_wide_rights_are_found(action: object, resource: object) -> None:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}

    assert _violations(POLICY, {"policy": json.dumps({"Statement": [statement]})}) == [
        "rights-are-narrow"
    ]


def test_what_is_right_breaks_no_rule() -> None:
    assert _violations(INGRESS, DOOR) == []
    assert _violations(INSTANCE, HOST) == []
    assert _violations("aws:rds/instance:Instance", DATABASE) == []


def test_every_rule_stops_a_deployment_and_says_why() -> None:
    names = [policy.name for policy in pack.RULES]

    assert len(set(names)) == len(names) == 5
    for policy in pack.RULES:
        assert policy.enforcement_level is pack.EnforcementLevel.MANDATORY
        assert policy.description.endswith(".")


def test_pack_is_one_that_pulumi_can_start() -> None:
    folder = Path(pack.__file__).parent
    told = yaml.safe_load((folder / "PulumiPolicy.yaml").read_text(encoding="utf-8"))

    assert told["runtime"]["name"] == "python"
    found = (folder / told["runtime"]["options"]["virtualenv"]).resolve()
    assert found == (folder.parents[1] / ".venv").resolve()
