"""The whole system on six simulated hosts, made by `make deploy`, driven and broken from outside.

`make hosts-test` runs it, in networks of its own. Tests go from what is there to what breaks it.
"""

import os
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from celeriac.topology import DOORS, FLASK, RABBITMQ, REDIS
from eventually import eventually
from hosts_knock import FILTERED, OPEN, knock
from hosts_stack import ADMIN, STRANGER, USER, SimulatedStack
from names import full_name
from plan import role_of
from web_client import basic, request

pytestmark = pytest.mark.timeout(900)

CONTAINERS = {
    "flask-ec2": {"flask", "recorder"},
    "flower-ec2": {"flower"},
    "rabbitmq-ec2": {"rabbitmq"},
    "redis-ec2": {"redis"},
    "worker1-ec2": {"celery"},
    "worker2-ec2": {"celery"},
}
SSH = 22
PORTS = sorted({SSH, *(door.role.ports[door.port] for door in DOORS)})
KEEPERS = (RABBITMQ, REDIS, FLASK)
AT_LEAST = 20
"""As many runs are on their way, or come, while something is lost."""


@pytest.fixture(scope="module")
def stack() -> Iterator[SimulatedStack]:
    if "HOSTS_FOLDER" not in os.environ:
        pytest.skip("the hosts' networks are missing; `make hosts-test` makes them")
    stack = SimulatedStack(Path(os.environ["HOSTS_FOLDER"]))
    told = stack.deploy()
    print(told)
    stack.machines.wait_until_ready(stack.hosts)
    assert "A task was run: text.reverse, 'cairelec'" in told
    assert "Become the first administrator" in told
    yield stack
    print(stack.logs())


def test_each_host_runs_its_own_role_and_nothing_else(stack: SimulatedStack) -> None:
    assert {host: set(stack.containers(host)) for host in stack.hosts} == CONTAINERS


def test_no_secret_is_in_what_hosts_write_down(stack: SimulatedStack) -> None:
    for host in stack.hosts:
        written = stack.machines.run(
            host,
            "cat /home/ubuntu/startup.log /var/log/cloud-init*.log /var/lib/cloud/instance/*.txt; "
            "journalctl --no-pager",
        )
        assert "ready: " in written
        assert [name for name, secret in stack.secrets.items() if secret in written] == []
        assert stack.machines.run(host, "stat -c %a:%U /etc/celeriac/celeriac.env") == "600:root\n"


def test_data_is_on_a_disk_of_its_own(stack: SimulatedStack) -> None:
    for host in stack.hosts:
        mounted = stack.machines.run(host, "findmnt -no SOURCE /var/lib/docker/volumes || true")
        assert ("nvme1n1" in mounted) == (role_of(host) in KEEPERS), f"{host}: {mounted}"


def test_host_reads_the_parameters_of_its_role_alone(stack: SimulatedStack) -> None:
    known = stack.machines.run("worker1-ec2", "cat /etc/celeriac/celeriac.env")

    found = {name for name, secret in stack.secrets.items() if secret in known}

    assert found == {"rabbitmq-celery", "redis-celery", "message-key"}


def test_no_container_gets_at_the_rights_of_its_host(stack: SimulatedStack) -> None:
    ask = (
        "import urllib.request as r; r.urlopen(r.Request("
        "'http://169.254.169.254/latest/api/token', method='PUT'), timeout=3)"
    )
    stack.machines.run("worker1-ec2", f'python3 -c "{ask}"')

    inside = f'docker exec celeriac-celery-1 python3 -c "{ask}" 2>&1 || true'
    assert "timed out" in stack.machines.run("worker1-ec2", inside)


def test_hosts_reach_each_other_where_a_door_is_and_nowhere_else(stack: SimulatedStack) -> None:
    hosts = stack.hosts
    doors = {(door.role.name, door.role.ports[door.port]): door.roles for door in DOORS}

    def expected(source: str, target: str, port: int) -> str:
        allowed = doors.get((role_of(target).name, port), ())
        return OPEN if role_of(source) in allowed else FILTERED

    for source in hosts:
        places = {
            f"{full_name(target)}:{port}": expected(source, target, port)
            for target, port in product(hosts, PORTS)
            if target != source
        }
        assert stack.machines.knock(source, *places) == places, source


def test_people_reach_what_is_theirs_and_nothing_else(stack: SimulatedStack) -> None:
    people = {ADMIN: {"public", "admins"}, USER: {"public"}, STRANGER: set()}
    doors = {(door.role.name, door.role.ports[door.port]): door.people for door in DOORS}
    addresses = {host: stack.state.outputs[f"{host}_public_ip"] for host in stack.hosts}

    def expected(person: str, host: str, port: int) -> str:
        allowed = "admins" if port == SSH else doors.get((role_of(host).name, port), "nobody")
        return OPEN if allowed in people[person] else FILTERED

    for person in people:
        places = {
            f"{address}:{port}": expected(person, host, port)
            for (host, address), port in product(addresses.items(), PORTS)
        }
        assert knock(list(places), person) == places, person


def test_both_workers_work(stack: SimulatedStack) -> None:
    def workers() -> set[str]:
        runs = stack.web.submit(10, "both")
        assert set(stack.web.ends_of(runs)) == {"SUCCESS"}
        return {stack.web.call(f"/api/v1/runs/{run}").json["worker"] for run in runs}

    assert eventually(lambda: len(workers()) == 2, deadline_s=60)


def test_flower_and_the_pages_of_rabbitmq_open(stack: SimulatedStack) -> None:
    outputs, secrets = stack.state.outputs, stack.secrets
    (run,) = stack.web.submit(1, "seen")

    signed_in = basic("celeriac", secrets["flower"])
    tasks = f"{outputs['flower_url']}/flower/api/tasks"
    assert run in eventually(lambda: request(tasks, signed_in).json, deadline_s=30)
    assert request(outputs["flower_url"], {}).status in (401, 404)

    admin = basic("admin", secrets["rabbitmq-admin"])
    assert b"RabbitMQ" in request(outputs["rabbitmq_url"], {}).body
    queues = request(f"{outputs['rabbitmq_url']}/api/queues", admin).json
    assert "celery_see" in {queue["name"] for queue in queues}


@pytest.mark.parametrize("host", CONTAINERS)
def test_nothing_is_lost_when_a_host_loses_power_for_good(stack: SimulatedStack, host: str) -> None:
    before = stack.machines.address(host)
    with stack.web.submitting(f"lost-{host}") as accepted:
        eventually(lambda: len(accepted) >= AT_LEAST, deadline_s=60)
        stack.machines.cut_power(host)
        stack.replace(host)
        stack.machines.wait_until_ready([host])
        afterwards = len(accepted) + AT_LEAST
        eventually(lambda: len(accepted) >= afterwards, deadline_s=120)

    assert set(stack.web.ends_of(accepted)) == {"SUCCESS"}
    assert stack.machines.address(host) != before
    assert set(stack.containers(host)) == CONTAINERS[host]


def test_nothing_is_lost_while_all_hosts_take_a_new_version(stack: SimulatedStack) -> None:
    started = time.monotonic()
    with stack.web.submitting("rollout") as accepted:
        told = stack.roll_out("two")
    print(f"{told}\n{len(accepted)} runs in {time.monotonic() - started:.0f} s")

    assert set(stack.web.ends_of(accepted)) == {"SUCCESS"}
    assert len(accepted) >= AT_LEAST
    for host in stack.hosts:
        images = set(stack.containers(host).values())
        assert role_of(host) in (RABBITMQ, REDIS) or images == {"celeriac:two"}, host
        assert stack.machines.run(host, "cat /var/lib/celeriac/release").splitlines()[0] == (
            f"COMMIT={stack.state.outputs['version']}"
        )
