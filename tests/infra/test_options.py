"""What the options of a stack change in it."""

import re
from pathlib import Path

import pytest

from infra_stack import INGRESS, OPTIONS, Resource, Stack, deployed, secrets, texts

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
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
    assert database.inputs["allocatedStorage"] == 20, "RDS takes no less"
    assert database.protect
    assert len(rules) == 1
    assert rules[0]["description"] == "history from flask"


def test_database_is_in_two_zones_without_a_way_to_the_internet() -> None:
    stack = deployed(*OPTIONS)
    subnets = stack.of("aws:ec2/subnet:Subnet")
    inner = [each for each in subnets if each.name.startswith("inner")]
    group = stack.one("aws:rds/subnetGroup:SubnetGroup").inputs
    routed = {each.inputs["subnetId"] for each in stack.of(ASSOCIATION)}

    assert {each.inputs["availabilityZone"] for each in inner} == {"us-east-1a", "us-east-1b"}
    assert not any(each.inputs["mapPublicIpOnLaunch"] for each in inner)
    assert group["subnetIds"] == [f"subnet-{each.name}" for each in inner]
    assert not routed & {f"subnet-{each.name}" for each in inner}
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


CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"


def test_results_are_in_a_service_and_on_no_host(stack: Stack) -> None:
    cache = stack.one(CACHE)

    assert "redis-ec2" not in stack.instances()
    assert cache.inputs["securityGroupIds"] != []
    assert cache.inputs["transitEncryptionEnabled"] is True
    assert cache.inputs["atRestEncryptionEnabled"] is True
    assert (cache.inputs["numCacheClusters"], cache.inputs["multiAzEnabled"]) == (2, True)
    assert cache.protect


def test_service_forgets_no_result_for_want_of_room() -> None:
    stack = deployed(*OPTIONS)
    parameters = stack.one("aws:elasticache/parameterGroup:ParameterGroup").inputs

    assert parameters["parameters"] == [{"name": "maxmemory-policy", "value": "noeviction"}]
    assert stack.one(CACHE).inputs["parameterGroupName"] == "redis-parameters"


def test_roles_find_the_service_by_tls_and_alone() -> None:
    stack = deployed(*OPTIONS)

    assert stack.one(CACHE).inputs["securityGroupIds"] == ["securitygroup-results"]
    assert _openings(stack, "results") == {(6379, role) for role in ("flask", "celery", "flower")}
    assert _ways_out(stack, "results") == []
    for role in ("flask", "celery", "flower"):
        assert _told(stack, f"{role}-REDIS_HOST") == "redis.example.internal"
        assert _told(stack, f"{role}-REDIS_SCHEME") == "rediss"
    assert not [each.name for each in stack.of(PARAMETER) if each.name.startswith("redis-")]


def test_users_of_the_service_may_what_those_of_the_host_may() -> None:
    stack = deployed(*OPTIONS)
    text = (ROOT / "deploy" / "redis" / "users.acl").read_text(encoding="utf-8")
    wanted = dict(re.findall(r"^user (flask|celery|flower) on >\S+ (.+)$", text, re.MULTILINE))
    users = stack.of("aws:elasticache/user:User")

    assert {each.inputs["userName"]: each.inputs["accessString"] for each in users} == {
        name: f"on {rights}" for name, rights in wanted.items()
    }
    assert stack.one("aws:elasticache/userGroup:UserGroup").inputs["userIds"] == [
        f"celeriac-dev-{name}" for name in wanted
    ]
    for user in users:
        assert list(secrets(user.inputs)) == [f"SECRETredis-{user.inputs['userName']}"]


def _openings(stack: Stack, group: str) -> set[tuple[int, str]]:
    """Give the ports of a group that are open, each with the group or network it is open to."""
    return {
        (
            int(rule["fromPort"]),
            rule.get("referencedSecurityGroupId", "").removeprefix("securitygroup-")
            or rule["cidrIpv4"],
        )
        for rule in (each.inputs for each in stack.of(INGRESS))
        if rule["securityGroupId"] == f"securitygroup-{group}"
    }


def _ways_out(stack: Stack, group: str) -> list[dict[str, object]]:
    """Give what a group may reach."""
    kept = ("ipProtocol", "fromPort", "toPort", "referencedSecurityGroupId", "cidrIpv4")
    return [
        {key: value for key, value in rule.inputs.items() if key in kept}
        for rule in stack.of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
        if rule.inputs["securityGroupId"] == f"securitygroup-{group}"
    ]


def test_load_balancer_reaches_the_web_alone() -> None:
    web = {"fromPort": 5000, "toPort": 5000, "referencedSecurityGroupId": "securitygroup-flask"}

    assert _ways_out(deployed(*OPTIONS), "flask-front") == [web | {"ipProtocol": "tcp"}]


def test_public_reaches_the_load_balancer_and_no_host() -> None:
    stack = deployed(*OPTIONS, ("publicCidrs", '["0.0.0.0/0"]'))
    world = {each.inputs["securityGroupId"] for each in stack.of(INGRESS) if _is_open(each)}

    assert world == {"securitygroup-flask-front"}
    assert _openings(stack, "flask-front") == {(443, "0.0.0.0/0"), (80, "0.0.0.0/0")}
    assert _openings(stack, "flask") == {(5000, "flask-front"), (22, "198.51.100.7/32")}


def _is_open(rule: Resource) -> bool:
    return rule.inputs.get("cidrIpv4") == "0.0.0.0/0"


def test_load_balancer_speaks_tls_and_sends_others_there() -> None:
    stack = deployed(*OPTIONS)
    https = stack.one("aws:lb/listener:Listener", "front-https").inputs
    http = stack.one("aws:lb/listener:Listener", "front-http").inputs

    assert (https["port"], https["protocol"]) == (443, "HTTPS")
    assert https["certificateArn"] == "certificate"
    assert "TLS13-1-2" in https["sslPolicy"]
    assert https["defaultActions"] == [{"type": "forward", "targetGroupArn": "webs"}]
    assert http["port"] == 80
    assert http["defaultActions"][0]["redirect"]["protocol"] == "HTTPS"


def test_load_balancer_is_in_two_zones_that_reach_the_internet() -> None:
    stack = deployed(*OPTIONS)
    balancer = stack.one("aws:lb/loadBalancer:LoadBalancer").inputs

    assert balancer["subnets"] == ["subnet-public", "subnet-public-2"]
    assert balancer["securityGroups"] == ["securitygroup-flask-front"]
    second = stack.one("aws:ec2/subnet:Subnet", "public-2").inputs
    assert (second["availabilityZone"], second["cidrBlock"]) == ("us-east-1b", "10.0.2.0/24")


def test_load_balancer_waits_longer_than_any_client_may() -> None:
    balancer = deployed(*OPTIONS).one("aws:lb/loadBalancer:LoadBalancer").inputs

    assert balancer["idleTimeout"] > 60
    assert balancer["dropInvalidHeaderFields"] is True


def test_all_webs_are_behind_the_load_balancer() -> None:
    stack = deployed(*OPTIONS)
    targets = stack.of("aws:lb/targetGroupAttachment:TargetGroupAttachment")
    group = stack.one("aws:lb/targetGroup:TargetGroup").inputs

    assert {each.inputs["targetId"] for each in targets} == {
        "instance-flask-ec2",
        "instance-flask2-ec2",
    }
    assert (group["port"], group["healthCheck"]["path"]) == (5000, "/healthz")


def test_certificate_is_proven_by_a_record_of_the_domain() -> None:
    stack = deployed(*OPTIONS)
    proof = stack.one("aws:route53/record:Record", "front-validation").inputs
    way = stack.one("aws:route53/record:Record", "front").inputs
    listener = stack.one("aws:lb/listener:Listener", "front-https")

    assert stack.one("aws:acm/certificate:Certificate").inputs["validationMethod"] == "DNS"
    assert (proof["name"], proof["records"]) == ("_proof.celeriac.example.org", ["proof.aws"])
    assert (way["name"], way["aliases"][0]["name"]) == ("celeriac.example.org", "front.aws")
    assert {proof["zoneId"], way["zoneId"]} == {"public-zone"}
    validation = stack.one("aws:acm/certificateValidation:CertificateValidation")
    assert validation.urn in stack.needs(listener)


def test_web_goes_by_its_domain_alone_and_believes_one_proxy() -> None:
    stack = deployed(*OPTIONS)

    assert stack.outputs["flask_url"] == "https://celeriac.example.org"
    assert _told(stack, "flask-CELERIAC_PUBLIC_URL") == "https://celeriac.example.org"
    assert _told(stack, "flask-CELERIAC_TRUSTED_PROXIES") == "1"
    assert _told(stack, "flask-CELERIAC_TRUSTED_HOSTS") == "celeriac.example.org"


def test_further_webs_have_no_recorder() -> None:
    hosts = deployed(*OPTIONS).instances()
    without = {
        name
        for name, host in hosts.items()
        if "readonly LEFT_OUT=recorder\n" in host.inputs["userData"]
    }

    assert without == {"flask2-ec2"}
    assert hosts["flask2-ec2"].inputs["tags"]["Role"] == "flask"


def test_further_webs_keep_nothing_and_the_first_what_it_may_have() -> None:
    stack = deployed(*OPTIONS)
    volumes = {each.name for each in stack.of("aws:ebs/volume:Volume") if "flask" in each.name}

    assert volumes == {"flask-ec2-data"}, "of a history from before `history` was postgres"
    assert not stack.instances()["flask2-ec2"].delete_before_replace


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
        assert host.replace_on_changes == ["instanceType"], "AWS cannot stop it"
