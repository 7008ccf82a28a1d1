"""What the options of a stack change in it."""

import pytest

from infra_stack import INGRESS, OPTIONS, Resource, Stack, deployed, secrets, texts

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)

DATABASE = "aws:rds/instance:Instance"
PARAMETER = "aws:ssm/parameter:Parameter"


@pytest.fixture(params=[False, True], ids=["up", "preview"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Give the stack with all options as it comes up, and as it is previewed."""
    return deployed(*OPTIONS, preview=request.param)


def _told(stack: Stack, name: str) -> str:
    found: str = stack.one(PARAMETER, name).inputs["value"]["secret"]
    return found


def test_no_input_of_an_option_has_an_output_in_it_that_nobody_waited_for(stack: Stack) -> None:
    for resource in stack.resources:
        assert not [each for each in texts(resource.inputs) if "Calling __str__" in each]


def test_no_option_is_there_by_default() -> None:
    assert deployed().of(DATABASE) == []
    assert not [host for host in deployed().instances().values() if _is_spot(host)]


def _is_spot(host: Resource) -> bool:
    return "instanceMarketOptions" in host.inputs


def test_history_is_in_a_database_that_the_web_alone_reaches(stack: Stack) -> None:
    database = stack.one(DATABASE)
    rules = [each.inputs for each in stack.of(INGRESS) if each.inputs.get("fromPort") == 5432]

    assert database.inputs["engine"] == "postgres"
    assert database.inputs["publiclyAccessible"] is False
    assert database.inputs["storageEncrypted"] is True
    assert database.inputs["backupRetentionPeriod"] == 7
    assert database.protect
    assert len(rules) == 1
    assert rules[0]["description"] == "history from flask"


def test_database_is_in_two_zones_without_a_way_to_the_internet() -> None:
    stack = deployed(*OPTIONS)
    inner = [each for each in stack.of("aws:ec2/subnet:Subnet") if each.name != "public"]
    group = stack.one("aws:rds/subnetGroup:SubnetGroup").inputs
    routed = {each.inputs["subnetId"] for each in stack.of(ASSOCIATION)}

    assert {each.inputs["availabilityZone"] for each in inner} == {"us-east-1a", "us-east-1b"}
    assert not any(each.inputs["mapPublicIpOnLaunch"] for each in inner)
    assert group["subnetIds"] == [f"subnet-{each.name}" for each in inner]
    assert routed == {"subnet-public"}
    assert stack.one(DATABASE).inputs["dbSubnetGroupName"] == "history-subnets"


ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"


def test_web_is_told_of_the_database_and_nobody_else_is() -> None:
    stack = deployed(*OPTIONS)

    assert _told(stack, "flask-CELERIAC_HISTORY_URL") == (
        "postgresql://celeriac:SECREThistory@history.example.internal:5432/celeriac?sslmode=require"
    )
    assert [each.name for each in stack.of(PARAMETER) if "HISTORY" in each.name] == [
        "flask-CELERIAC_HISTORY_URL"
    ]


def test_password_of_the_database_is_secret(stack: Stack) -> None:
    assert list(secrets(stack.one(DATABASE).inputs)) != []
    assert stack.one(DATABASE).inputs["password"].keys() == {"secret"}
    for host in stack.instances().values():
        assert "SECREThistory" not in str(host.inputs["userData"])


def test_workers_alone_are_on_spot(stack: Stack) -> None:
    spot = {name: host for name, host in stack.instances().items() if _is_spot(host)}

    assert {host.inputs["tags"]["Role"] for host in spot.values()} == {"celery"}
    for host in spot.values():
        options = host.inputs["instanceMarketOptions"]
        assert options["marketType"] == "spot"
        assert options["spotOptions"]["instanceInterruptionBehavior"] == "terminate"
