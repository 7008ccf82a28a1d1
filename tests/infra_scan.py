"""Have checkov look at what the Pulumi program asks for: as Terraform's plan, which it reads.

`make infra-scan`; checkov's own packages are in a virtual environment of their own.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra_stack import Resource, deployed

WAIVED = {
    "CKV_AWS_18": "the bucket has nothing but a bundle of the source, which hosts alone read",
    "CKV_AWS_21": "a bundle's key is its commit: it never changes",
    "CKV_AWS_46": "what looks like a secret is the fingerprint of Docker's public key",
    "CKV_AWS_126": "detailed monitoring costs money; health checks restart what hangs",
    "CKV_AWS_130": "hosts of the design have public addresses, and security groups before them",
    "CKV_AWS_135": "EBS optimization cannot be switched off on the types of today",
    "CKV_AWS_144": "the bundle can be made again from its commit",
    "CKV_AWS_145": "encrypted by AWS's own key, which costs nothing",
    "CKV_AWS_189": "encrypted by AWS's own key, which costs nothing",
    "CKV_AWS_290": "the actions of an SSM session, which AWS lets nobody narrow down",
    "CKV_AWS_337": "encrypted by AWS's own key, which costs nothing",
    "CKV_AWS_355": "the actions of an SSM session, which AWS lets nobody narrow down",
    "CKV2_AWS_5": "they are attached: the plan has no references, by which checkov would see it",
    "CKV2_AWS_6": "it has one: the plan has no references, by which checkov would see it",
    "CKV2_AWS_11": "flow logs cost money and are nobody's to read in a stack of this size",
    "CKV2_AWS_12": "it lets nothing through: the plan has no references for checkov to see it",
    "CKV2_AWS_19": "it is attached: the plan has no references, by which checkov would see it",
    "CKV2_AWS_61": "the bucket goes with the stack, and bundles are small",
    "CKV2_AWS_62": "nothing waits for a new bundle",
}
"""Checks that are not met or not understood, each with the reason."""

BLOCKS = ("metadataOptions", "rootBlockDevice", "routes", "vpcs")
"""Terraform has lists of blocks where Pulumi has one value."""

RENAMED = {"routes": "route", "vpcs": "vpc"}

KINDS = {
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": "aws_default_security_group",
    "aws:ec2/eip:Eip": "aws_eip",
    "aws:ec2/instance:Instance": "aws_instance",
    "aws:ec2/securityGroup:SecurityGroup": "aws_security_group",
    "aws:ec2/subnet:Subnet": "aws_subnet",
    "aws:ec2/vpc:Vpc": "aws_vpc",
    "aws:ebs/volume:Volume": "aws_ebs_volume",
    "aws:iam/role:Role": "aws_iam_role",
    "aws:iam/rolePolicy:RolePolicy": "aws_iam_role_policy",
    "aws:route53/zone:Zone": "aws_route53_zone",
    "aws:s3/bucket:Bucket": "aws_s3_bucket",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "aws_s3_bucket_public_access_block",
    "aws:ssm/parameter:Parameter": "aws_ssm_parameter",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "aws_vpc_security_group_egress_rule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": (
        "aws_vpc_security_group_ingress_rule"
    ),
}


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _values(inputs: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in inputs.items():
        plain: Any = "***" if isinstance(value, dict) and value.keys() == {"secret"} else value
        if key in BLOCKS:
            blocks = plain if isinstance(plain, list) else [plain]
            plain = [{_snake(each): inner for each, inner in block.items()} for block in blocks]
        found[_snake(RENAMED.get(key, key))] = plain
    return found


def _planned(resource: Resource) -> dict[str, Any]:
    kind, name = KINDS[resource.type], re.sub(r"\W", "_", resource.name)
    return {
        "address": f"{kind}.{name}",
        "mode": "managed",
        "type": kind,
        "name": name,
        "provider_name": "registry.terraform.io/hashicorp/aws",
        "values": _values(resource.inputs),
    }


def plan() -> dict[str, Any]:
    """Give the default stack as a plan of Terraform."""
    found = [_planned(each) for each in deployed().resources if each.type in KINDS]
    changes = [
        each | {"change": {"actions": ["create"], "before": None, "after": each["values"]}}
        for each in found
    ]
    return {
        "format_version": "1.2",
        "terraform_version": "1.7.0",
        "planned_values": {"root_module": {"resources": found}},
        "resource_changes": changes,
        "configuration": {"root_module": {"resources": []}},
    }


def main(checkov: str) -> int:
    """Scan; give checkov's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan.json"
        file.write_text(json.dumps(plan()), encoding="utf-8")
        command = [
            checkov,
            "--file",
            str(file),
            "--framework",
            "terraform_plan",
            "--compact",
            "--quiet",
        ]
        command += ["--skip-download", "--skip-check", ",".join(WAIVED)]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
