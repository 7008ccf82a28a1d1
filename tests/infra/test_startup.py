"""The start-up script: as text, and run on a machine of stand-ins."""

import fcntl
import gzip
import hashlib
import io
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

import startup
from celeriac.topology import ROLES
from eventually import eventually
from host_machine import DISK, HostMachine
from infra_stack import deployed
from servers import missing

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("golden_settings.sh")
COMMIT = "c0ffee" + "0" * 34
SECRET = "Correcthorsebatterystaple"

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the script is for Ubuntu"),
    pytest.mark.timeout(300),
]


def _settings(script: str) -> str:
    """Give what a script has in the place of the template's mark, and see that the rest is it."""
    before, after = startup.TEMPLATE.read_text().split(startup.MARK)
    assert script.startswith(before)
    assert script.endswith(after)
    return script[len(before) : -len(after)]


def test_scripts_are_the_template_with_the_golden_settings() -> None:
    """`UPDATE_GOLDEN=1 make infra` writes them anew; read the difference before it is committed."""
    rendered = "".join(
        f"# {name}\n{_settings(host.inputs['userData'])}"
        for name, host in sorted(deployed().instances().items())
    )
    if "UPDATE_GOLDEN" in os.environ:
        GOLDEN.write_text(rendered)

    assert rendered == GOLDEN.read_text()


def test_rendered_script_fits_and_begins_as_bash() -> None:
    for host in deployed().instances().values():
        script = host.inputs["userData"]
        assert script.startswith("#!/bin/bash\n")
        assert "\nset -euo pipefail\n" in script
        assert len(script.encode()) < 16 * 1024


def test_script_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="16384"):
        startup.render({"ROLE": "x" * 16384})


def test_shellcheck_finds_nothing(machine: HostMachine) -> None:
    if not (shellcheck := shutil.which("shellcheck")):
        missing("shellcheck", "shellcheck")
    (machine.root / "script").write_text(startup.render(machine.settings))
    own = (startup.TEMPLATE.parent / "host").glob("*.sh")
    for file in (startup.TEMPLATE, machine.root / "script", *own):
        done = subprocess.run([shellcheck, file], capture_output=True, text=True, check=False)
        assert done.stdout == ""


@pytest.fixture
def machine(tmp_path: Path) -> HostMachine:
    """Give a new machine for Redis, whose release is a bundle in S3."""
    found = HostMachine(tmp_path / "machine")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("docker-compose.yml"))
    packed = gzip.compress(archive.getvalue())
    bucket = found.fake / "bundles"
    bucket.mkdir()
    (bucket / "bundle.tar.gz").write_bytes(packed)
    found.tell(
        {
            "commit": COMMIT,
            "bucket": "bundles",
            "key": "bundle.tar.gz",
            "sha256": hashlib.sha256(packed).hexdigest(),
        },
        {"REDIS_ADMIN_PASSWORD": SECRET, "REDIS_FLASK_PASSWORD": "other", "LISTEN_ON": "::"},
    )
    return found


def _worker(machine: HostMachine) -> None:
    machine.settings |= {"ROLE": "celery", "HOST": "worker1-ec2", "VOLUME": ""}


def test_new_host_becomes_ready(machine: HostMachine) -> None:
    done = machine.boot()

    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.read("var/lib/celeriac/ready") == "ready: redis on redis-ec2\n"
    assert not (machine.root / "var/lib/celeriac/failed").exists()
    assert "ready: redis on redis-ec2" in machine.read("home/ubuntu/startup.log")
    assert "enable celeriac.service" in machine.calls("systemctl")


def test_only_the_profile_of_the_role_is_started(machine: HostMachine) -> None:
    machine.boot()
    folder = machine.root / "opt/celeriac/current"
    ups = [call for call in machine.calls("docker") if " up " in call]

    assert ups == [
        f"compose --project-directory {folder} --profile redis up --detach --no-build "
        "--quiet-pull --wait --wait-timeout 1200"
    ]
    for role in ROLES:
        profiles = [each for each in machine.calls("docker") if f"--profile {role.name} " in each]
        assert bool(profiles) is (role.name == "redis")


def test_secrets_are_for_root_alone_and_in_no_log(machine: HostMachine) -> None:
    done = machine.boot()
    file = machine.root / "etc/celeriac/celeriac.env"

    assert f"REDIS_ADMIN_PASSWORD='{SECRET}'\n" in file.read_text()
    assert "WORKER_HOSTNAME=redis-ec2\n" in file.read_text()
    assert "RABBITMQ_NODE=redis-ec2.celeriac.internal\n" in file.read_text()
    assert "Y='no'" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (machine.root / "opt/celeriac/current/.env").resolve() == file.resolve()
    assert SECRET not in done.stdout + done.stderr + machine.read("home/ubuntu/startup.log")
    assert SECRET not in machine.read("fake/calls")


def test_changed_file_of_the_role_makes_another_container(machine: HostMachine) -> None:
    machine.boot()
    folder = machine.root / "opt/celeriac/current/deploy/redis"
    start = machine.root / "usr/local/sbin/celeriac-start"
    folder.mkdir(parents=True)
    found = []
    for text in ("one", "one", "two"):
        (folder / "redis.conf").write_text(text)
        machine.boot(start)
        told = machine.read("etc/celeriac/celeriac.env")
        found.append(re.findall(r"^REDIS_FILES=(\w+)$", told, re.MULTILINE))

    assert found[0] == found[1] != found[2]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services["redis"]["labels"] == {"celeriac.files": "${REDIS_FILES:-}"}


def test_data_is_mounted_before_docker_is_installed(machine: HostMachine) -> None:
    machine.boot()
    programs = [line.partition(" ")[0] for line in machine.read("fake/calls").splitlines()]
    fstab = machine.read("etc/fstab").splitlines()

    assert [programs.count(each) for each in ("mkfs.ext4", "mount")] == [1, 2]
    assert max(n for n, each in enumerate(programs) if each == "mount") < programs.index("apt-get")
    assert fstab[0].startswith(f"{machine.root / DISK} {machine.root}/srv/celeriac ext4 ")
    assert fstab[1].startswith(
        f"{machine.root}/srv/celeriac/volumes {machine.root}/var/lib/docker/volumes none bind,"
    )
    assert all("x-systemd.required-by=docker.service" in line for line in fstab)


def test_second_run_does_nothing_twice(machine: HostMachine) -> None:
    machine.boot()
    before = machine.read("etc/fstab")

    done = machine.boot(machine.root / "usr/local/sbin/celeriac-start")

    assert done.returncode == 0, done.stdout
    assert machine.read("etc/fstab") == before
    for program in ("mkfs.ext4", "mount", "apt-get", "curl"):
        assert machine.calls(program) == [], program
    assert "s3 us-east-1" not in machine.calls("boto3")
    assert (machine.root / "var/lib/celeriac/ready").exists()


def test_start_waits_until_another_has_ended(machine: HostMachine) -> None:
    machine.boot()
    start = machine.root / "usr/local/sbin/celeriac-start"
    file = machine.root / "var/lib/celeriac/lock"
    waiter = re.compile(rf"-> FLOCK .*:{file.stat().st_ino} ")

    with ThreadPoolExecutor() as starts, file.open("w") as another:
        fcntl.flock(another, fcntl.LOCK_EX)
        done = starts.submit(machine.boot, start)
        eventually(lambda: waiter.search(Path("/proc/locks").read_text()))
        assert machine.read("fake/calls") == ""
        fcntl.flock(another, fcntl.LOCK_UN)

        assert done.result().returncode == 0


def test_replaced_host_finds_the_data_of_the_one_before(machine: HostMachine) -> None:
    (machine.fake / "disk").write_text("0")

    machine.boot()

    assert machine.calls("mkfs.ext4") == []
    assert len(machine.calls("mount")) == 2


def test_disk_of_which_nothing_is_known_is_not_formatted(machine: HostMachine) -> None:
    (machine.fake / "disk").write_text("8")

    done = machine.boot()

    assert done.returncode != 0
    assert machine.calls("mkfs.ext4") == []
    assert "mount the data volume vol-0abc" in machine.read("var/lib/celeriac/failed")


def test_changed_bundle_is_not_unpacked(machine: HostMachine) -> None:
    (machine.fake / "bundles" / "bundle.tar.gz").write_bytes(b"something else")

    done = machine.boot()

    assert done.returncode != 0
    assert f"fetch version {COMMIT}" in machine.read("var/lib/celeriac/failed")
    assert not (machine.root / "opt/celeriac" / COMMIT).exists()


def test_docker_signed_by_somebody_else_is_not_installed(machine: HostMachine) -> None:
    (machine.fake / "key").write_text("0" * 40)

    done = machine.boot()

    assert done.returncode != 0
    assert "install Docker" in machine.read("var/lib/celeriac/failed")
    assert not [call for call in machine.calls("apt-get") if "docker-ce" in call]


def test_host_that_failed_is_ready_after_it_was_mended(machine: HostMachine) -> None:
    (machine.fake / "key").write_text("0" * 40)
    machine.boot()
    (machine.fake / "key").write_text("9DC858229FC7DD38854AE2D88D81803C0EBFCD88")

    done = machine.boot(machine.root / "usr/local/sbin/celeriac-start")

    assert done.returncode == 0, done.stdout
    assert (machine.root / "var/lib/celeriac/ready").exists()
    assert not (machine.root / "var/lib/celeriac/failed").exists()


def test_start_goes_on_where_nobody_hears_it_any_more(machine: HostMachine) -> None:
    script = machine.root / "usr/local/sbin/celeriac-start"
    machine.boot()
    (machine.root / "var/lib/celeriac/ready").unlink()

    machine.boot_unheard(script)

    assert (machine.root / "var/lib/celeriac/ready").exists()


def test_worker_builds_its_image_once_a_version(machine: HostMachine) -> None:
    _worker(machine)
    machine.boot()
    assert len([call for call in machine.calls("docker") if call.endswith(" build")]) == 1

    machine.boot(machine.root / "usr/local/sbin/celeriac-start")

    assert [call for call in machine.calls("docker") if call.endswith((" build", " --quiet"))] == []
    assert machine.calls("mount") == []


def test_image_of_the_configuration_is_pulled(machine: HostMachine) -> None:
    _worker(machine)
    parameters = {"RABBITMQ_CELERY_PASSWORD": SECRET}
    repository = _repository(machine.root / "repository")
    machine.settings["PARAMETERS"] = "/celeriac/dev/celery"
    machine.tell({**repository, "image": "registry.example.org/celeriac:1"}, parameters)

    done = machine.boot()

    assert done.returncode == 0, done.stdout
    pulls = [call for call in machine.calls("docker") if " pull" in call]
    assert [call.split()[-2:] for call in pulls] == [["pull", "--quiet"]]
    assert "CELERIAC_IMAGE=registry.example.org/celeriac:1\n" in machine.read(
        "etc/celeriac/celeriac.env"
    )
    assert (machine.root / "opt/celeriac/current/docker-compose.yml").exists()


def _repository(folder: Path) -> dict[str, str]:
    folder.mkdir()
    (folder / "docker-compose.yml").touch()
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Begin"]):
        subprocess.run([*git, *command], check=True)
    found = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return {"repository": str(folder), "commit": found.stdout.strip()}


def test_worker_alone_watches_for_notices(machine: HostMachine) -> None:
    machine.boot()
    assert not (machine.root / "etc/systemd/system/celeriac-drain.service").exists()

    _worker(machine)
    machine.boot()

    unit = machine.read("etc/systemd/system/celeriac-drain.service")
    assert f"ExecStart={machine.root}/opt/celeriac/current/infra/host/drain.sh" in unit
    assert (startup.TEMPLATE.parent / "host" / "drain.sh").stat().st_mode & stat.S_IXUSR
    assert "restart --no-block celeriac-drain.service" in machine.calls("systemctl")


def test_worker_stops_once_its_machine_is_to_be_taken_away(machine: HostMachine) -> None:
    (machine.fake / "docker").touch()

    done = machine.boot(startup.TEMPLATE.parent / "host" / "drain.sh")

    assert done.returncode == 0, done.stderr
    assert machine.calls("sleep") == ["5"]
    assert machine.calls("docker") == [
        "compose --project-directory /opt/celeriac/current --profile celery stop"
    ]


def test_further_web_starts_without_what_is_left_out(machine: HostMachine) -> None:
    machine.settings["LEFT_OUT"] = "recorder"

    machine.boot()

    (up,) = [call for call in machine.calls("docker") if " up " in call]
    assert up.endswith("--wait --wait-timeout 1200 --scale recorder=0")
