"""The whole system in containers, each role as on a host of its own, driven from outside.

`make compose-test` runs it; it needs a Docker daemon on this machine.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose_hosts import STARTS_WITHIN_S, Hosts, docker, has_daemon
from eventually import eventually

LARGEST_BYTES = 250_000_000
KEEPERS = ("flask", "rabbitmq", "redis")
"""The roles that keep anything; the web first, since it writes to the others."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    if not has_daemon():
        pytest.skip("no Docker daemon answers; `make compose-test` starts one")
    hosts = Hosts(tmp_path_factory.mktemp("compose") / ".env")
    try:
        hosts.start_all()
        hosts.sign_in()
        yield hosts
        print(hosts.logs())
    finally:
        hosts.remove()


def test_run_is_executed_and_flower_has_seen_it(hosts: Hosts) -> None:
    (run,) = hosts.submit(1, "first")

    hosts.wait_for([run])

    password = hosts.secrets["FLOWER_PASSWORD"]
    assert run in eventually(lambda: hosts.flower("/api/tasks", password).json, deadline_s=30)


def test_nobody_gets_in_without_a_password(hosts: Hosts) -> None:
    assert hosts.flower("/").status == 401
    assert hosts.call("/api/v1/runs", Authorization="Bearer no").status == 401
    users = docker("exec", hosts.container("rabbitmq"), "rabbitmqctl", "-q", "list_users")
    assert "guest" not in users
    asked = docker("exec", hosts.container("redis"), "redis-cli", "set", "a", "b")
    assert "NOAUTH" in asked


def test_image_is_small(hosts: Hosts) -> None:
    size_bytes = int(docker("image", "inspect", "--format", "{{.Size}}", "celeriac"))

    assert size_bytes < LARGEST_BYTES, f"{size_bytes / 1e6:.0f} MB"


@pytest.mark.parametrize("role", ["flask", "celery", "flower"])
def test_role_is_nobody_special_and_writes_nothing(hosts: Hosts, role: str) -> None:
    said = docker("exec", hosts.container(role), "sh", "-c", "id -u; touch /opt/celeriac/a 2>&1; :")

    assert said.startswith("10001\n")
    assert "Read-only file system" in said


@pytest.mark.parametrize(
    ("role", "service"),
    [
        ("celery", "celery"),
        ("flask", "recorder"),
        ("flask", "flask"),
        ("redis", "redis"),
        ("rabbitmq", "rabbitmq"),
        ("flower", "flower"),
    ],
)
def test_what_was_accepted_survives_a_crash(hosts: Hosts, role: str, service: str) -> None:
    accepted = hosts.submit(20, service)

    hosts.kill(role, service)

    accepted += eventually(lambda: hosts.submit(5, service), deadline_s=STARTS_WITHIN_S)
    hosts.wait_for(accepted)


def test_prometheus_reads_the_web_and_knows_its_alerts(hosts: Hosts) -> None:
    web = f"{hosts.address}:5000"
    hosts.start("monitoring", "prometheus", WEB_ADDRESS=web)
    prometheus = hosts.container("monitoring", "prometheus")

    def asked(query: str) -> str:
        words = ("promtool", "query", "instant", "http://127.0.0.1:9090", query)
        return docker("exec", prometheus, *words).strip()

    assert "=> 1 @" in eventually(lambda: asked('up{job="celeriac"} == 1'), deadline_s=90)
    assert "celery_see" in eventually(lambda: asked("celeriac_queue_consumers > 0"), deadline_s=90)
    checked = docker("exec", prometheus, "promtool", "check", "rules", "/etc/celeriac/alerts.yml")
    assert "SUCCESS" in checked


def test_redis_keeps_transactions_over_a_crash(hosts: Hosts) -> None:
    ask = ("exec", "-i", hosts.container("redis"), "sh", "-c")
    cli = 'REDISCLI_AUTH="$REDIS_ADMIN_PASSWORD" redis-cli --user admin'
    docker(*ask, f"printf 'MULTI\nSET kept 1\nEXEC\n' | {cli}")

    hosts.kill("redis")

    assert docker(*ask, f"{cli} GET kept").strip() == "1"


@pytest.mark.parametrize("role", ["celery", "flask"])
def test_nothing_is_lost_while_a_new_version_takes_over(hosts: Hosts, role: str) -> None:
    accepted: list[str] = []
    done = threading.Event()

    def submit() -> None:
        while not done.is_set():
            accepted.extend(hosts.submit(1, f"update-{role}"))

    load = threading.Thread(target=submit)
    load.start()
    try:
        hosts.start(role, "--force-recreate")
    finally:
        done.set()
        load.join()

    assert accepted
    hosts.wait_for(accepted)


def test_history_has_each_run_once(hosts: Hosts) -> None:
    accepted = hosts.submit(30, "history")

    def recorded() -> list[str]:
        found = hosts.call("/api/v1/runs?tag=history&state=SUCCESS&limit=100").json["runs"]
        return sorted(run["id"] for run in found)

    eventually(lambda: len(recorded()) >= len(accepted), deadline_s=60)
    assert recorded() == sorted(accepted)


def test_all_is_restored_where_there_was_nothing_left(hosts: Hosts, tmp_path: Path) -> None:
    (old,) = hosts.submit(1, "old")
    hosts.wait_for([old])
    hosts.compose("celery", "stop")
    waiting = hosts.submit(10, "waiting")
    assert len(waiting) == 10
    for role in KEEPERS:
        hosts.data(role, "save", tmp_path / f"{role}.tar.gz")

    hosts.remove()
    for role in KEEPERS:
        hosts.data(role, "restore", tmp_path / f"{role}.tar.gz")
    hosts.start_all()

    # The token is a restored one, too.
    hosts.wait_for([old, *waiting])
    assert hosts.call(f"/api/v1/runs/{old}").json["result"] == "olleh"
