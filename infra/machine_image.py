"""The system that hosts start from: an image of Ubuntu LTS, looked up once."""

import pulumi
from pulumi_aws import ec2

from stack_config import StackConfig

CANONICAL = "099720109477"
"""The account that publishes Ubuntu. Source: Ubuntu on AWS, "Find Ubuntu images on AWS"."""

UBUNTU = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{}-server-*"
NAMED = {"x86": "amd64", "arm": "arm64"}


def machine_image(config: StackConfig) -> pulumi.Input[str]:
    """Give the image for new hosts; `Host` keeps a host on the one that it was made of."""
    if config.ami:
        return config.ami
    found = ec2.get_ami_output(
        most_recent=True,
        owners=[CANONICAL],
        filters=[
            {"name": "name", "values": [UBUNTU.format(NAMED[config.architecture])]},
            {"name": "virtualization-type", "values": ["hvm"]},
        ],
    )
    return pulumi.Output.from_input(found.id)
