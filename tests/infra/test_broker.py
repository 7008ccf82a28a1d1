"""Where RabbitMQ is, other than on one host: on three that are one broker, or Amazon MQ."""

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from celeriac.settings import load_settings
from celeriac.topology import CLUSTER_PORTS, RABBITMQ
from infra_stack import CLUSTER, INGRESS, OPTIONS, Stack, deployed, secrets, texts

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
RABBITMQ_FILES = ROOT / "deploy" / "rabbitmq"
BROKER = "aws:mq/broker:Broker"
ROLE = "aws:iam/role:Role"
PARAMETER = "aws:ssm/parameter:Parameter"
HOSTS = ("rabbitmq-ec2", "rabbitmq2-ec2", "rabbitmq3-ec2")
CLIENTS = ("flask", "celery", "flower")
SECRET = "Correcthorsebatterystaple"


def _told(stack: Stack, role: str) -> dict[str, str]:
    folder = f"/celeriac/dev/{role}/"
    return {
        each.inputs["name"].removeprefix(folder): each.inputs["value"]["secret"]
        for each in stack.of(PARAMETER)
        if each.inputs["name"].startswith(folder)
    }


def _openings(stack: Stack) -> dict[int, set[str]]:
    """Map each open port of RabbitMQ's group to the groups and networks it is open to."""
    found: dict[int, set[str]] = {}
    for rule in (each.inputs for each in stack.of(INGRESS)):
        if rule["securityGroupId"] == "securitygroup-rabbitmq":
            source = rule.get("referencedSecurityGroupId", "").removeprefix("securitygroup-")
            found.setdefault(int(rule["fromPort"]), set()).add(source or rule["cidrIpv4"])
    return found


@pytest.fixture(params=[False, True], ids=["up", "preview"])
def cluster(request: pytest.FixtureRequest) -> Stack:
    """Give the stack with three hosts as it comes up, and as it is previewed."""
    return deployed(*CLUSTER, preview=request.param)


@pytest.fixture(params=[False, True], ids=["up", "preview"])
def amazon(request: pytest.FixtureRequest) -> Stack:
    """Give the stack with Amazon MQ as it comes up, and as it is previewed."""
    return deployed(*OPTIONS, preview=request.param)


def test_cluster_has_three_hosts_each_with_a_volume_of_its_own(cluster: Stack) -> None:
    hosts = {name: each for name, each in cluster.instances().items() if "rabbitmq" in name}
    volumes = [each for each in cluster.of("aws:ebs/volume:Volume") if "rabbitmq" in each.name]

    assert tuple(sorted(hosts)) == HOSTS
    assert {each.inputs["tags"]["Role"] for each in hosts.values()} == {"rabbitmq"}
    assert sorted(each.name for each in volumes) == [f"{host}-data" for host in HOSTS]
    assert all(each.protect and each.inputs["encrypted"] for each in volumes)


def test_hosts_of_the_cluster_alone_reach_what_makes_them_one() -> None:
    found = _openings(deployed(*CLUSTER))

    assert found.keys() == {22, 5672, 15672, *CLUSTER_PORTS.values()}
    assert [found[port] for port in CLUSTER_PORTS.values()] == [{"rabbitmq"}] * 2
    assert found[5672] == set(CLIENTS)


def test_one_host_opens_nothing_to_others_of_its_kind() -> None:
    assert not _openings(deployed()).keys() & set(CLUSTER_PORTS.values())


def test_clients_know_the_cluster_by_one_name_with_three_addresses() -> None:
    stack = deployed(*CLUSTER)
    record = stack.one("aws:route53/record:Record", "rabbitmq-name")

    assert {_told(stack, role)["RABBITMQ_HOST"] for role in CLIENTS} == {
        "rabbitmq.celeriac.internal"
    }
    assert record.inputs["name"] == "rabbitmq.celeriac.internal"
    assert len(record.inputs["records"]) == 3
    assert {stack.instances()[host].urn for host in HOSTS} <= stack.needs(record)


def test_hosts_of_the_cluster_know_each_other_and_share_a_secret() -> None:
    told = _told(deployed(*CLUSTER), "rabbitmq")

    assert told["RABBITMQ_CLUSTER"].split() == [f"{host}.celeriac.internal" for host in HOSTS]
    assert told["RABBITMQ_COOKIE"] == "SECRETrabbitmq-cookie"
    for name, host in deployed(*CLUSTER).instances().items():
        assert f"readonly FULL_NAME={name}.celeriac.internal\n" in host.inputs["userData"]


def test_cookie_is_told_to_nobody_else(cluster: Stack) -> None:
    holders = [each.name for each in cluster.of(PARAMETER) if "COOKIE" in each.name]

    assert holders == ["rabbitmq-RABBITMQ_COOKIE"]
    for resource in cluster.resources:
        if resource.type != PARAMETER:
            assert not [each for each in texts(resource.inputs) if "SECRETrabbitmq" in each]
    assert "SECRET" not in json.dumps(cluster.outputs)


def test_compose_starts_a_host_of_the_cluster_by_the_files_that_it_is_told() -> None:
    told = _told(deployed(*CLUSTER), "rabbitmq")
    files = [
        ROOT / each.removeprefix("/opt/celeriac/current/")
        for each in told["COMPOSE_FILE"].split(":")
    ]
    text = "".join(file.read_text(encoding="utf-8") for file in files)

    assert files == [ROOT / "docker-compose.yml", RABBITMQ_FILES / "cluster.yml"]
    assert {name for name in told if name not in text} == set()
    assert {name for name in re.findall(r"\$\{(\w+):\?\}", text)} <= told.keys() | {"RABBITMQ_NODE"}


def test_compose_publishes_the_ports_of_the_cluster() -> None:
    service = yaml.safe_load((RABBITMQ_FILES / "cluster.yml").read_text())["services"]["rabbitmq"]

    assert service["ports"] == [
        f"${{LISTEN_ON:-127.0.0.1}}:{port}:{port}" for port in CLUSTER_PORTS.values()
    ]


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """Give a folder in place of the container's /, in which the server writes what it is."""
    for folder in ("etc/celeriac", "etc/rabbitmq", "run/celeriac", "var/lib/rabbitmq", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("definitions.json", "cluster.conf"):
        (tmp_path / "etc/celeriac" / name).write_text((RABBITMQ_FILES / name).read_text())
    for program, does in {"chown": ":", "docker-entrypoint.sh": f"env >{tmp_path}/server"}.items():
        file = tmp_path / "bin" / program
        file.write_text(f"#!/bin/sh\n{does}\n")
        file.chmod(0o755)
    return tmp_path


def _start(container: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    script = (RABBITMQ_FILES / "start").read_text()
    script = re.sub(r"(?<=[ =])/(?=(etc|run|var)/)", f"{container}/", script)
    passwords = {
        f"RABBITMQ_{user}_PASSWORD": "a" for user in ("FLASK", "CELERY", "FLOWER", "ADMIN")
    }
    path = f"{container / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh"],
        input=script,
        env={"PATH": path, **passwords, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_host_of_a_cluster_starts_with_the_names_of_all_and_the_cookie(container: Path) -> None:
    for _ in range(2):
        done = _start(container, RABBITMQ_CLUSTER="a.internal b.internal", RABBITMQ_COOKIE=SECRET)
        assert done.returncode == 0, done.stderr

    conf = container / "etc/rabbitmq/conf.d/90-cluster.conf"
    cookie = container / "var/lib/rabbitmq/.erlang.cookie"
    assert conf.read_text().endswith(
        "cluster_formation.classic_config.nodes.1 = rabbit@a.internal\n"
        "cluster_formation.classic_config.nodes.2 = rabbit@b.internal\n"
    )
    assert "cluster_partition_handling = pause_minority\n" in conf.read_text()
    assert stat.S_IMODE(conf.stat().st_mode) == 0o644, "the server is not root"
    assert cookie.read_text() == SECRET
    assert stat.S_IMODE(cookie.stat().st_mode) == 0o400
    assert SECRET not in (container / "server").read_text()


def test_single_host_starts_without(container: Path) -> None:
    assert _start(container).returncode == 0
    assert not (container / "etc/rabbitmq/conf.d").exists()
    assert not (container / "var/lib/rabbitmq/.erlang.cookie").exists()


def test_host_of_a_cluster_does_not_start_without_a_cookie(container: Path) -> None:
    done = _start(container, RABBITMQ_CLUSTER="a.internal b.internal")

    assert (done.returncode, "RABBITMQ_COOKIE must be set" in done.stderr) == (1, True)
    assert not (container / "server").exists()


def test_service_is_closed_and_in_the_subnet_of_the_hosts(amazon: Stack) -> None:
    broker = amazon.one(BROKER)

    assert "rabbitmq-ec2" not in amazon.instances()
    assert (broker.inputs["engineType"], broker.inputs["engineVersion"]) == ("RabbitMQ", "4.2")
    assert broker.inputs["publiclyAccessible"] is False
    assert broker.inputs["autoMinorVersionUpgrade"] is True
    assert broker.protect
    assert len(broker.inputs["subnetIds"]) == 1, "AWS takes no more for a single instance"
    assert [each["username"] for each in broker.inputs["users"]] == ["celeriac"]
    assert list(broker.inputs["users"][0]["password"]) == ["secret"]


def test_service_is_reached_by_the_roles_that_need_it_alone() -> None:
    stack = deployed(*OPTIONS)

    assert stack.one(BROKER).inputs["subnetIds"] == ["subnet-public"]
    assert stack.one(BROKER).inputs["securityGroups"] == ["securitygroup-rabbitmq"]
    assert _openings(stack) == {5671: set(CLIENTS), 443: {"flask"}}
    assert not [each.name for each in stack.of(ROLE) if "rabbitmq" in each.name]


def _address(service: dict[str, Any], told: dict[str, str]) -> str:
    """Give the broker's address as Compose makes it of what a role is told."""
    address: str = service["environment"]["CELERIAC_BROKER_URL"]
    return re.sub(r"\$\{(\w+):-(\w*)\}", lambda each: told.get(each[1], each[2]), address)


@pytest.mark.parametrize("role", CLIENTS)
def test_role_is_told_what_makes_the_address_of_the_service(role: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    address = _address(services[role], _told(deployed(*OPTIONS), role))

    assert address == (
        "amqps://celeriac:SECRETrabbitmq-everybody@rabbitmq.example.internal:5671/%2F"
    )
    assert load_settings(join_stack=False, broker_url=address).broker_url


@pytest.mark.parametrize("role", CLIENTS)
def test_role_of_a_host_has_its_own_user_in_the_address(role: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    assert _address(services[role], _told(deployed(), role)) == (
        f"amqp://{role}:SECRETrabbitmq-{role}@rabbitmq-ec2.celeriac.internal:5672/celeriac"
    )


def test_nobody_but_clients_is_told_anything_of_the_service() -> None:
    stack = deployed(*OPTIONS)

    assert _told(stack, RABBITMQ.name) == {}
    assert "rabbitmq_url" not in stack.outputs
    assert list(secrets(stack.one(BROKER).inputs)) == ["SECRETrabbitmq-everybody"]
    for host in stack.instances().values():
        assert "SECRETrabbitmq" not in host.inputs["userData"]
