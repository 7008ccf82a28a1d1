"""The whole system in containers, each role as on a host of its own, driven from outside.

`make compose-test` runs it; it needs a Docker daemon on this machine.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose_hosts import ROOT, STARTS_WITHIN_S, Hosts, docker, has_daemon
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
    (run,) = hosts.web.submit(1, "first")

    assert set(hosts.web.ends_of([run])) == {"SUCCESS"}

    password = hosts.secrets["FLOWER_PASSWORD"]
    assert run in eventually(lambda: hosts.flower("/api/tasks", password).json, deadline_s=30)


def test_nobody_gets_in_without_a_password(hosts: Hosts) -> None:
    assert hosts.flower("/").status == 401
    assert hosts.web.call("/api/v1/runs", Authorization="Bearer no").status == 401
    users = docker("exec", hosts.container("rabbitmq"), "rabbitmqctl", "-q", "list_users")
    assert "guest" not in users
    asked = docker("exec", hosts.container("redis"), "redis-cli", "set", "a", "b")
    assert "NOAUTH" in asked


def test_servers_keep_what_they_are_given_within_bounds(hosts: Hosts) -> None:
    cli = 'REDISCLI_AUTH="$REDIS_ADMIN_PASSWORD" redis-cli --user admin CONFIG GET'
    asked = f'{cli} "append*"; {cli} maxmemory-policy; {cli} maxmemory'
    words = docker("exec", hosts.container("redis"), "sh", "-c", asked).split()
    redis = dict(zip(words[::2], words[1::2], strict=True))
    assert redis["appendonly"] == "yes" and redis["appendfsync"] == "everysec"
    assert redis["maxmemory-policy"] == "noeviction" and redis["maxmemory"] == str(512 * 1024**2)

    def rabbitmq(*words: str) -> str:
        return docker("exec", hosts.container("rabbitmq"), *words)

    enabled = rabbitmq("rabbitmq-plugins", "list", "--enabled", "--minimal", "--quiet").split()
    assert {"rabbitmq_management", "rabbitmq_prometheus"} <= set(enabled)
    environment = rabbitmq("rabbitmqctl", "-q", "environment")
    for setting in (
        "{consumer_timeout,86400000}",
        "{default_queue_type,rabbit_quorum_queue}",
        '{disk_free_limit,"1GB"}',
        '{vm_memory_high_watermark,{absolute,"600MB"}}',
    ):
        assert setting in environment
    queues = rabbitmq("rabbitmqctl", "-q", "list_queues", "-p", "celeriac", "name", "type")
    assert "celery_see\tquorum" in queues


def test_image_is_small(hosts: Hosts) -> None:
    size_bytes = int(docker("image", "inspect", "--format", "{{.Size}}", "celeriac"))

    assert size_bytes < LARGEST_BYTES, f"{size_bytes / 1e6:.0f} MB"


@pytest.mark.parametrize(
    ("role", "service"),
    [("flask", "flask"), ("flask", "recorder"), ("celery", "celery"), ("flower", "flower")],
)
def test_role_is_nobody_special_and_writes_nothing(hosts: Hosts, role: str, service: str) -> None:
    ask = "id -u; grep CapEff /proc/1/status; touch /opt/celeriac/a 2>&1; :"
    said = docker("exec", hosts.container(role, service), "sh", "-c", ask)

    assert said.startswith("10001\n")
    assert "CapEff:\t0000000000000000" in said
    assert "Read-only file system" in said


def test_health_check_asks_whether_a_role_does_its_work(hosts: Hosts) -> None:
    ours = [("flask", "flask"), ("flask", "recorder"), ("celery", "celery"), ("flower", "flower")]

    with hosts.frozen("redis"):
        for role, service in ours[:3]:
            eventually(lambda at=(role, service): hosts.problem(*at), deadline_s=60)
    for role, service in ours:
        eventually(lambda at=(role, service): not hosts.problem(*at), deadline_s=120)

    docker("exec", hosts.container("rabbitmq"), "rabbitmqctl", "-q", "stop_app")
    try:
        assert hosts.problem("rabbitmq")
        assert '"broker":"unreachable"' in hosts.problem("flask")
        eventually(lambda: "hears no events" in hosts.problem("flower"), deadline_s=60)
        eventually(lambda: hosts.problem("celery"), deadline_s=60)
    finally:
        docker("exec", hosts.container("rabbitmq"), "rabbitmqctl", "-q", "start_app")
    for role, service in (*ours, ("rabbitmq", "rabbitmq"), ("redis", "redis")):
        eventually(lambda at=(role, service): not hosts.problem(*at), deadline_s=120)


def test_image_by_itself_hears_signals_and_knows_its_role() -> None:
    away = ("--env", "CELERIAC_BROKER_URL=amqp://broker", "--env", "CELERIAC_REDIS_URL=redis://r")
    container = docker("run", "--detach", "--network=none", *away, "celeriac", "recorder").strip()
    try:
        said = eventually(lambda: docker("logs", container), deadline_s=60)
        assert "Redis did not answer" in said
        asked = json.loads(docker("inspect", "--format", "{{json .Config.Healthcheck}}", container))
        assert asked["Test"] == ["CMD", "celeriac", "health"]
        health = docker("exec", container, "sh", "-c", "celeriac health; echo $?")
        assert "(Redis)" in health and health.endswith("1\n"), health

        docker("stop", "-t", "60", container)

        assert docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "143"
    finally:
        docker("rm", "--force", container)


@pytest.mark.parametrize("service", ["flask", "recorder"])
def test_what_was_accepted_survives_a_crash_of_the_web(hosts: Hosts, service: str) -> None:
    accepted = hosts.web.submit(20, service)

    hosts.kill("flask", service)

    assert set(hosts.web.ends_of([*accepted, *hosts.web.submit(5, service)])) == {"SUCCESS"}


def test_what_is_executed_survives_a_crash_of_the_worker(hosts: Hosts) -> None:
    run = hosts.web.submit_long()
    accepted = hosts.web.submit(20, "celery")

    hosts.kill("celery")

    assert set(hosts.web.ends_of([run, *accepted])) == {"SUCCESS"}


@pytest.mark.parametrize("role", ["redis", "rabbitmq"])
def test_what_waits_survives_a_crash_of_a_server(hosts: Hosts, role: str) -> None:
    hosts.compose("celery", "stop")
    accepted = hosts.web.submit(20, role)

    hosts.kill(role)

    accepted += eventually(lambda: hosts.web.try_to_submit(5, role), deadline_s=STARTS_WITHIN_S)
    hosts.start("celery")
    assert set(hosts.web.ends_of(accepted)) == {"SUCCESS"}


def test_flower_is_back_after_a_crash(hosts: Hosts) -> None:
    hosts.kill("flower")

    (run,) = hosts.web.submit(1, "flower")
    password = hosts.secrets["FLOWER_PASSWORD"]
    assert run in eventually(lambda: hosts.flower("/api/tasks", password).json, deadline_s=30)


def test_prometheus_reads_the_web_and_knows_its_alerts(hosts: Hosts) -> None:
    web = f"{hosts.address}:5000"
    hosts.start("monitoring", "prometheus", WEB_ADDRESS=web)
    prometheus = hosts.container("monitoring", "prometheus")

    def asked(query: str) -> str:
        words = ("promtool", "query", "instant", "http://127.0.0.1:9090", query)
        return docker("exec", prometheus, *words).strip()

    assert "=> 1 @" in eventually(lambda: asked('up{job="celeriac"} == 1'), deadline_s=90)
    assert "celery_see" in eventually(lambda: asked("celeriac_queue_consumers > 0"), deadline_s=90)
    hosts.kill("monitoring", "prometheus")


def test_alerts_tell_what_they_should(hosts: Hosts) -> None:
    image = docker("inspect", "--format", "{{.Image}}", hosts.container("monitoring", "prometheus"))
    folders = [f"{ROOT}/deploy/prometheus:/rules:ro", f"{ROOT}/tests/compose:/tests:ro"]
    volumes = [word for folder in folders for word in ("--volume", folder)]
    run = ("run", "--rm", "--network", "none", *volumes, "--entrypoint", "promtool", image.strip())

    assert "SUCCESS" in docker(*run, "check", "rules", "/rules/alerts.yml")
    assert "SUCCESS" in docker(*run, "test", "rules", "/tests/alerts.test.yml")


def test_redis_keeps_transactions_over_a_crash(hosts: Hosts) -> None:
    ask = ("exec", "-i", hosts.container("redis"), "sh", "-c")
    cli = 'REDISCLI_AUTH="$REDIS_ADMIN_PASSWORD" redis-cli --user admin'
    docker(*ask, f"printf 'MULTI\nSET kept 1\nEXEC\n' | {cli}")

    hosts.kill("redis")

    assert docker(*ask, f"{cli} GET kept").strip() == "1"


@pytest.mark.parametrize("role", ["celery", "flask"])
def test_nothing_is_lost_while_a_new_version_takes_over(hosts: Hosts, role: str) -> None:
    with hosts.web.submitting(f"update-{role}") as accepted:
        hosts.start(role, "--force-recreate")

    assert accepted
    assert set(hosts.web.ends_of(accepted)) == {"SUCCESS"}


def test_history_has_each_run_once(hosts: Hosts) -> None:
    accepted = hosts.web.submit(30, "history")

    def recorded() -> list[str]:
        found = hosts.web.call("/api/v1/runs?tag=history&state=SUCCESS&limit=100").json["runs"]
        return sorted(run["id"] for run in found)

    eventually(lambda: len(recorded()) >= len(accepted), deadline_s=60)
    assert recorded() == sorted(accepted)


def test_valkey_works_in_the_place_of_redis(hosts: Hosts) -> None:
    image = os.environ.get("VALKEY_IMAGE", "valkey/valkey:8.1")
    hosts.compose("redis", "down", "--volumes")
    hosts.start("redis", REDIS_IMAGE=image)
    accepted = eventually(lambda: hosts.web.try_to_submit(5, "valkey"), deadline_s=60)
    assert "NOAUTH" in docker("exec", hosts.container("redis"), "valkey-cli", "get", "a")

    hosts.kill("redis")

    assert not hosts.problem("redis")
    assert set(hosts.web.ends_of([*accepted, *hosts.web.submit(5, "valkey")])) == {"SUCCESS"}
    hosts.compose("redis", "down", "--volumes")
    hosts.start("redis")


def test_each_process_hears_that_it_is_to_stop(hosts: Hosts) -> None:
    codes = [hosts.exit_codes(role) for role in ("celery", "flower", "flask", "redis", "rabbitmq")]

    assert codes == [
        {"celery": 0},
        {"flower": 0},
        {"flask": 0, "recorder": 0},
        {"redis": 0},
        {"rabbitmq": 0},
    ]
    hosts.start_all()


def test_what_was_saved_while_all_ran_is_restored(hosts: Hosts, tmp_path: Path) -> None:
    (run,) = hosts.web.submit(1, "saved")
    assert set(hosts.web.ends_of([run])) == {"SUCCESS"}
    eventually(lambda: hosts.web.call("/api/v1/runs?tag=saved&state=SUCCESS").json["runs"])
    file = tmp_path / "backup.tar.gz"

    hosts.deploy("backup", "flask", "save", file)
    assert "not overwritten" in hosts.try_to_deploy("backup", "flask", "save", file)[1]
    assert "Stop these first" in hosts.try_to_deploy("backup", "flask", "restore", file)[1]
    hosts.remove()
    hosts.start_servers()
    said = hosts.deploy("backup", "flask", "restore", file)

    assert "rabbitmq.json: " in said
    hosts.start_all()
    assert hosts.web.call(f"/api/v1/runs/{run}").json["result"] == "olleh"
    assert set(hosts.web.ends_of(hosts.web.submit(5, "afterwards"))) == {"SUCCESS"}


def test_all_is_restored_where_there_was_nothing_left(hosts: Hosts, tmp_path: Path) -> None:
    (old,) = hosts.web.submit(1, "old")
    assert set(hosts.web.ends_of([old])) == {"SUCCESS"}
    hosts.compose("celery", "stop")
    waiting = hosts.web.submit(10, "waiting")
    for role in KEEPERS:
        hosts.deploy("data", role, "save", tmp_path / f"{role}.tar.gz")

    hosts.remove()
    half = tmp_path / "half.tar.gz"
    half.write_bytes((tmp_path / "redis.tar.gz").read_bytes()[:-100])
    assert "no whole archive" in hosts.try_to_deploy("data", "redis", "restore", half)[1]
    other = hosts.try_to_deploy("data", "redis", "restore", tmp_path / "rabbitmq.tar.gz")
    assert "a volume rabbitmq" in other[1]
    assert not hosts.volumes("redis")
    for role in KEEPERS:
        hosts.deploy("data", role, "restore", tmp_path / f"{role}.tar.gz")
    hosts.start_all()

    # The token is a restored one, too.
    assert set(hosts.web.ends_of([old, *waiting])) == {"SUCCESS"}
    assert hosts.web.call(f"/api/v1/runs/{old}").json["result"] == "olleh"
