"""The cost that is told is the cost of the instances and disks that the program asks for."""

import pytest

from costs import (
    ADDRESS_HOUR_USD,
    BALANCER_HOUR_USD,
    BROKER_HOUR_USD,
    CACHE_HOUR_USD,
    DATABASE_GB_MONTH_USD,
    DATABASE_HOUR_USD,
    DISK_GB_MONTH_USD,
    HOUR_USD,
    HOURS,
    ZONE_MONTH_USD,
)
from infra_stack import CLUSTER, OPTIONS, Stack, deployed

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)


def _cost(stack: Stack) -> float:
    hosts = [host.inputs for host in stack.instances().values()]
    disks_gb = sum(host["rootBlockDevice"]["volumeSize"] for host in hosts)
    disks_gb += sum(each.inputs["size"] for each in stack.of("aws:ebs/volume:Volume"))
    hourly = sum(HOUR_USD[host["instanceType"]] + ADDRESS_HOUR_USD for host in hosts)
    for balancer in stack.of("aws:lb/loadBalancer:LoadBalancer"):
        hourly += BALANCER_HOUR_USD + ADDRESS_HOUR_USD * len(balancer.inputs["subnets"])
    for cache in stack.of("aws:elasticache/replicationGroup:ReplicationGroup"):
        hourly += CACHE_HOUR_USD[cache.inputs["nodeType"]] * cache.inputs["numCacheClusters"]
    for broker in stack.of("aws:mq/broker:Broker"):
        hourly += BROKER_HOUR_USD[broker.inputs["hostInstanceType"]]
    rest = ZONE_MONTH_USD
    for database in stack.of("aws:rds/instance:Instance"):
        hourly += DATABASE_HOUR_USD[database.inputs["instanceClass"]]
        rest += DATABASE_GB_MONTH_USD * database.inputs["allocatedStorage"]
    return hourly * HOURS + disks_gb * DISK_GB_MONTH_USD + rest


@pytest.mark.parametrize("options", [(), OPTIONS, CLUSTER], ids=["default", "options", "cluster"])
def test_cost_of_a_month_is_that_of_what_is_made(options: tuple[tuple[str, str], ...]) -> None:
    stack = deployed(*options)

    assert stack.outputs["monthly_cost"].startswith(f"about {_cost(stack):.0f} USD a month")


def test_type_without_a_price_is_named_and_no_other() -> None:
    cost = deployed(("instanceTypes", '{"celery": "c7i.large"}')).outputs["monthly_cost"]

    assert cost == "unknown: the price of c7i.large"
