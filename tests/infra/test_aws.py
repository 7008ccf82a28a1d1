"""The stack made in a fake AWS, and removed from it again."""

import json
from collections import Counter
from ipaddress import ip_address, ip_network

import pytest

from infra_stack import CLUSTER, INSTANCE, OPTIONS, Life, Resource, lived

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)

SUBNET = ip_network("10.0.1.0/24")
PARAMETER = "aws:ssm/parameter:Parameter"


@pytest.fixture
def life() -> Life:
    """Give the default stack's."""
    return lived()


def test_nothing_is_made_that_is_not_listed_here(life: Life) -> None:
    """One line a kind: what is new has to be put here, and a property of it into a test."""
    kinds = Counter(each.type for each in life.stack.resources if each.custom)

    assert {kind.rpartition(":")[2]: count for kind, count in kinds.items()} == {
        "Vpc": 1,
        "DefaultSecurityGroup": 1,
        "Subnet": 1,
        "InternetGateway": 1,
        "RouteTable": 1,
        "RouteTableAssociation": 1,
        "SecurityGroup": 5,
        "SecurityGroupIngressRule": 15,
        "SecurityGroupEgressRule": 5,
        "Zone": 1,
        "Record": 6,
        "KeyPair": 1,
        "Bucket": 1,
        "BucketPublicAccessBlock": 1,
        "BucketObjectv2": 1,
        "Eip": 1,
        "EipAssociation": 1,
        "RandomPassword": 11,
        "Parameter": len(life.made["parameters"]),
        "Role": 5,
        "RolePolicy": 5,
        "InstanceProfile": 5,
        "Instance": 6,
        "Volume": 3,
        "VolumeAttachment": 3,
    }


def test_hosts_are_in_the_subnet_and_have_addresses_outside(life: Life) -> None:
    for host in life.made["instances"]:
        assert ip_address(host["PrivateIpAddress"]) in SUBNET
        assert host["PublicIpAddress"]
        assert host["SubnetId"] == life.made["subnets"][0]["SubnetId"]


def test_names_lead_to_the_hosts(life: Life) -> None:
    addresses = {
        next(tag["Value"] for tag in host["Tags"] if tag["Key"] == "Name"): host["PrivateIpAddress"]
        for host in life.made["instances"]
    }
    records = {
        each.inputs["name"]: each.inputs["records"]
        for each in life.stack.of("aws:route53/record:Record")
    }

    assert records == {f"{host}.celeriac.internal": [ip] for host, ip in addresses.items()}


def test_every_host_has_the_group_and_the_rights_of_its_role_alone(life: Life) -> None:
    for host in life.made["instances"]:
        role = next(tag["Value"] for tag in host["Tags"] if tag["Key"] == "Role")
        assert [group["GroupName"] for group in host["SecurityGroups"]] == [role]
        assert host["IamInstanceProfile"]["Arn"].endswith(f"/celeriac-{role}")


def test_rights_are_lent_to_instances_alone(life: Life) -> None:
    for role in life.made["roles"]:
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")


def test_every_disk_that_exists_is_encrypted(life: Life) -> None:
    disks = life.made["volumes"]

    assert len(disks) == 6 + 3
    assert all(disk["Encrypted"] and disk["VolumeType"] == "gp3" for disk in disks)
    assert all(disk["Attachments"] for disk in disks)


def test_bundle_is_encrypted_and_goes_with_the_stack(life: Life) -> None:
    assert life.stack.one("aws:s3/bucket:Bucket").inputs["forceDestroy"] is True
    item = life.stack.one("aws:s3/bucketObjectv2:BucketObjectv2").inputs

    assert item["serverSideEncryption"] == "AES256"
    assert item["sourceHash"] == json.loads(_release(life).inputs["value"]["secret"])["sha256"]


def _release(life: Life) -> Resource:
    return life.stack.one(PARAMETER, "release")


def test_secrets_are_long_and_no_two_are_one(life: Life) -> None:
    made = life.stack.of("random:index/randomPassword:RandomPassword")

    assert all(each.inputs == {"length": 40, "special": False} for each in made)
    told: dict[str, set[str]] = {}
    for each in life.stack.of(PARAMETER):
        if "SECRET" in (value := each.inputs["value"]["secret"]):
            told.setdefault(each.inputs["name"].rpartition("/")[2], set()).add(value)
    assert {len(values) for values in told.values()} == {1}, "roles are told the same"
    assert len(set.union(*told.values())) == len(told) == len(made)


@pytest.fixture(params=[(), OPTIONS, CLUSTER], ids=["default", "options", "cluster"])
def any_life(request: pytest.FixtureRequest) -> Life:
    """Give the default stack's, that of one with all options, and that of one with a cluster."""
    return lived(*request.param)


def test_what_people_reach_is_made_after_the_way_to_the_internet(any_life: Life) -> None:
    """AWS refuses it before, and nothing of it names the gateway; moto takes it all the same."""
    stack = any_life.stack
    gateway = stack.one("aws:ec2/internetGateway:InternetGateway")
    kinds = (INSTANCE, "aws:ec2/eipAssociation:EipAssociation", "aws:lb/loadBalancer:LoadBalancer")

    for each in (found for kind in kinds for found in stack.of(kind)):
        assert gateway.urn in stack.needs(each), each.name


def test_data_outlives_its_host_until_the_end(life: Life) -> None:
    for volume in life.stack.of("aws:ebs/volume:Volume"):
        host = life.stack.one(INSTANCE, volume.name.removesuffix("-data"))
        assert life.destroyed.index(host.urn) < life.destroyed.index(volume.urn)


def test_destroy_leaves_nothing(any_life: Life) -> None:
    assert {kind: each for kind, each in any_life.left.items() if each} == {}


def test_everything_that_is_looked_for_was_made_with_all_options() -> None:
    assert {kind for kind, each in lived(*OPTIONS).made.items() if not each} == set()
