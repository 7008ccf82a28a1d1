"""The network, and who may reach what in it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac.topology import DOORS, ROLES
from infra_stack import INGRESS, OPTIONS, VALID, Resource, Stack, deployed, execute

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
ADMIN = "198.51.100.7/32"
WORLD = "0.0.0.0/0"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"


def _rules(stack: Stack) -> Iterator[tuple[str, int, str]]:
    """Give each opening as role, port, and the role or network that it is open to."""
    for rule in stack.of(INGRESS):
        inputs = rule.inputs
        assert inputs["fromPort"] == inputs["toPort"], rule.name
        assert inputs["ipProtocol"] == "tcp"
        source = inputs.get("referencedSecurityGroupId", "").removeprefix("securitygroup-")
        target = inputs["securityGroupId"].removeprefix("securitygroup-")
        yield target, int(inputs["fromPort"]), source or inputs["cidrIpv4"]


def test_network_has_the_addresses_of_the_design() -> None:
    stack = deployed()
    vpc = stack.one("aws:ec2/vpc:Vpc").inputs
    subnet = stack.one("aws:ec2/subnet:Subnet").inputs

    assert vpc["cidrBlock"] == "10.0.0.0/16"
    assert vpc["enableDnsSupport"] is vpc["enableDnsHostnames"] is True
    assert (subnet["cidrBlock"], subnet["vpcId"]) == ("10.0.1.0/24", "vpc-vpc")
    assert subnet["mapPublicIpOnLaunch"] is True


def test_subnets_are_in_zones_that_have_the_types_of_the_hosts_and_stay_there() -> None:
    subnets = deployed(*OPTIONS).of("aws:ec2/subnet:Subnet")

    assert {each.name: each.inputs["availabilityZone"] for each in subnets} == {
        "public": "us-east-1a",
        "public-2": "us-east-1b",
        "inner-0": "us-east-1a",
        "inner-1": "us-east-1b",
    }
    assert all(each.ignore_changes == ["availabilityZone"] for each in subnets)


@pytest.mark.parametrize(
    ("changes", "types"),
    [
        ({"instanceTypes": '{"celery": "c7i.nowhere"}'}, "c7i.nowhere, t3.small"),
        ({"broker": "amazonmq", "brokerType": "mq.m7g.nowhere"}, "m7g.nowhere, t3.small"),
    ],
)
def test_types_that_no_zone_has_together_stop_it(changes: dict[str, str], types: str) -> None:
    error = execute(VALID | changes)["error"]

    assert error.startswith(f"No zone of this region has all of {types}: choose other types")


def test_subnet_reaches_the_internet() -> None:
    stack = deployed()
    table = stack.one("aws:ec2/routeTable:RouteTable")
    association = stack.one("aws:ec2/routeTableAssociation:RouteTableAssociation")

    assert table.inputs["routes"] == [{"cidrBlock": WORLD, "gatewayId": "internetgateway-gateway"}]
    assert association.inputs == {"subnetId": "subnet-public", "routeTableId": "routetable-routes"}


def test_every_host_waits_for_the_way_to_the_internet() -> None:
    stack = deployed()
    association = stack.one("aws:ec2/routeTableAssociation:RouteTableAssociation").urn

    assert all(association in stack.needs(host) for host in stack.instances().values())


def test_default_security_group_lets_nothing_through() -> None:
    group = deployed().one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup").inputs

    assert group["ingress"] == group["egress"] == []


def test_openings_are_exactly_those_of_the_topology() -> None:
    wanted = {(role.name, 22, ADMIN) for role in ROLES}
    for door in DOORS:
        port = door.role.ports[door.port]
        wanted |= {(door.role.name, port, role.name) for role in door.roles}
        if door.people != "nobody":
            wanted.add((door.role.name, port, ADMIN))

    found = list(_rules(deployed()))

    assert set(found) == wanted
    assert len(found) == len(wanted)


def test_broker_and_result_backend_are_open_to_roles_alone() -> None:
    open_to = {(port, who) for _, port, who in _rules(deployed()) if port in (5672, 6379)}

    assert open_to == {
        (port, who) for port in (5672, 6379) for who in ("flask", "celery", "flower")
    }


def test_nothing_but_the_web_is_open_to_the_public(world: Stack) -> None:
    assert [(role, port) for role, port, who in _rules(world) if who == WORLD] == [("flask", 5000)]


def test_every_rule_says_what_it_is_for() -> None:
    stack = deployed()

    for rule in [*stack.of(INGRESS), *stack.of(EGRESS)]:
        assert rule.inputs["description"], rule.name


def test_every_role_may_reach_out() -> None:
    assert {rule.inputs["securityGroupId"] for rule in deployed().of(EGRESS)} == {
        f"securitygroup-{role.name}" for role in ROLES
    }


def test_hosts_have_names_in_a_zone_of_the_vpc_alone() -> None:
    stack = deployed()
    zone = stack.one("aws:route53/zone:Zone").inputs
    records = {
        each.inputs["name"]: (each.inputs["type"], each.inputs["records"])
        for each in stack.of("aws:route53/record:Record")
    }

    assert (zone["name"], zone["vpcs"]) == ("celeriac.internal", [{"vpcId": "vpc-vpc"}])
    assert records == {
        f"{host}.celeriac.internal": ("A", ["10.0.1.10"]) for host in stack.instances()
    }


def test_picture_in_the_documentation_is_the_topology() -> None:
    text = (ROOT / "docs" / "deploy-aws.md").read_text(encoding="utf-8")
    picture = text.partition("```mermaid")[2].partition("```")[0]
    arrows = set(re.findall(r"(\w+)(?:[\[(].*?)? -- (\d+) --> (\w+)", picture))

    for door in DOORS:
        port = str(door.role.ports[door.port])
        target = door.role.hosts[0].removesuffix("-ec2")
        for role in door.roles:
            for host in role.hosts:
                assert (host.removesuffix("-ec2"), port, target) in arrows
        assert door.people == "nobody" or port in picture


@pytest.fixture
def world() -> Stack:
    """Give a stack whose web is open to everybody, with the other options set, too."""
    return deployed(
        ("publicCidrs", json.dumps([WORLD])),
        ("workerCount", "4"),
        ("architecture", "arm"),
        ("protectData", "false"),
        ("image", "registry.example.org/celeriac@sha256:" + "0" * 64),
        ("gitUrl", "https://git.example.org/celeriac.git"),
        ("gitCommit", "a" * 40),
    )


def test_options_reach_the_hosts(world: Stack) -> None:
    hosts = world.instances()
    release: Resource = world.one("aws:ssm/parameter:Parameter", "release")

    assert sorted(hosts) == [
        "flask-ec2",
        "flower-ec2",
        "rabbitmq-ec2",
        "redis-ec2",
        *(f"worker{number}-ec2" for number in (1, 2, 3, 4)),
    ]
    assert {host.inputs["instanceType"] for host in hosts.values()} == {"t4g.small"}
    assert not any(each.protect for each in world.resources)
    assert json.loads(release.inputs["value"]["secret"]) == {
        "repository": "https://git.example.org/celeriac.git",
        "commit": "a" * 40,
        "image": "registry.example.org/celeriac@sha256:" + "0" * 64,
    }
    assert world.of("aws:s3/bucket:Bucket") == []
