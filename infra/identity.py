"""What a host may ask of AWS: its role's own parameters and the bundle, and a session by SSM."""

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

from tags import tags

ASSUME_ROLE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": "ec2.amazonaws.com"},
            }
        ],
    }
)

SESSION_ACTIONS = [
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
]
"""A session, and commands by SSM (from version 3.3.40 of its agent on, which Ubuntu keeps new).

They are of no single resource. AWS's own policy for it would open every parameter as well.

Source: AWS Systems Manager user guide, "Create a custom IAM role for Session Manager",
and "Reference: ec2messages, ssmmessages, and other API operations".
"""


@dataclass(frozen=True)
class IdentityArgs:
    """The paths of SSM that a role may read; `bundle_arn` is the object in S3, if there is one."""

    role: str
    region: pulumi.Input[str]
    account: pulumi.Input[str]
    folder: str
    release_name: str
    bundle_arn: pulumi.Input[str] | None


class Identity(pulumi.ComponentResource):
    """An IAM role of the hosts of one role; `profile` is what instances are given."""

    profile: pulumi.Output[str]

    def __init__(self, name: str, args: IdentityArgs) -> None:
        super().__init__("celeriac:infra:Identity", name)
        child = pulumi.ResourceOptions(parent=self)
        role = iam.Role(name, assume_role_policy=ASSUME_ROLE, tags=tags(name), opts=child)
        self.policy = iam.RolePolicy(
            name,
            role=role.name,
            policy=pulumi.Output.json_dumps(
                {"Version": "2012-10-17", "Statement": _statements(args)}
            ),
            opts=child,
        )
        self.profile = iam.InstanceProfile(name, role=role.name, tags=tags(name), opts=child).name
        self.register_outputs({"profile": self.profile})


def _statements(args: IdentityArgs) -> list[dict[str, object]]:
    parameters = pulumi.Output.concat("arn:aws:ssm:", args.region, ":", args.account, ":parameter")
    names = (args.folder, f"{args.folder}/*", args.release_name)
    found: list[dict[str, object]] = [
        {
            "Effect": "Allow",
            "Action": ["ssm:GetParameter", "ssm:GetParametersByPath"],
            "Resource": [pulumi.Output.concat(parameters, name) for name in names],
        },
        {"Effect": "Allow", "Action": SESSION_ACTIONS, "Resource": "*"},
    ]
    if args.bundle_arn is not None:
        found.append({"Effect": "Allow", "Action": "s3:GetObject", "Resource": args.bundle_arn})
    return found
