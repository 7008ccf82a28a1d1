"""What still has a stack's tags once it was destroyed."""

import time

from pulumi_cli import DeployError, answer

WORLD = "us-east-1"
"""Where AWS tells of what is in no region, such as the zones of Route 53."""

FORGOTTEN_WITHIN_S = 3 * 60
PAUSE_S = 15.0


def remains(stack: str, region: str) -> list[str]:
    """Give what still has the stack's tags, once AWS has had some minutes to forget what is gone.

    Raises:
        DeployError: AWS does not answer.
    """
    end = time.monotonic() + FORGOTTEN_WITHIN_S
    while (left := _found(stack, region)) and time.monotonic() < end:
        time.sleep(PAUSE_S)
    return left


def _found(stack: str, region: str) -> list[str]:
    """Look in the stack's region, or where AWS's command line looks when it is not told."""
    tags = ("--tag-filters", "Key=Project,Values=celeriac", f"Key=Stack,Values={stack}")
    query = ("--query", "ResourceTagMappingList[].[ResourceARN]")
    tagged = _aws(region, "resourcegroupstaggingapi", "get-resources", *tags, *query)
    everywhere = ("--resource-type-filters", "route53", "iam")
    tagged += _aws(WORLD, "resourcegroupstaggingapi", "get-resources", *tags, *everywhere, *query)
    running = _aws(
        region, "ec2", "describe-instances",
        "--filters", "Name=tag:Project,Values=celeriac", f"Name=tag:Stack,Values={stack}",
        "Name=instance-state-name,Values=pending,running,stopping,stopped",
        "--query", "Reservations[].Instances[].[InstanceId]",
    )  # fmt: skip
    # Instances that have ended have their tags for an hour.
    return sorted({each for each in tagged if ":instance/" not in each}) + running


def _aws(region: str, *command: str) -> list[str]:
    where = ("--region", region) if region else ()
    found = answer("aws", *where, *command, "--output", "text")
    if found is None:
        raise DeployError("AWS does not tell what remains: see `aws sts get-caller-identity`")
    return found.split()
