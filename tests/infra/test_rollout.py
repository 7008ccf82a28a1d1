"""A new version reaches the hosts: the order, the way back, and the host's side run by bash."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

import first_steps
import rollout
import run_command
import transport
from celeriac.topology import ROLES
from host_machine import HostMachine
from infra_stack import deployed
from pulumi_cli import DeployError

# A machine's starts are many processes, and Pulumi takes long to import, on a busy machine.
pytestmark = pytest.mark.timeout(300)

OLD, NEW = "0" * 40, "1" * 40
HOSTS = [host for role in ROLES for host in role.hosts]
IN_ORDER = [
    "rabbitmq-ec2",
    "redis-ec2",
    "worker1-ec2",
    "worker2-ec2",
    "flower-ec2",
    "flask-ec2",
]

SSM = """#!/bin/bash
cd @folder@
if [ "$2" = send-command ]; then
    number=$(find . -name 'sent-*' | wc -l)
    printf '%s\\0' "$@" >sent-$number
    echo "aws $6" >>calls
    echo command-$number
else
    head -n 1 answers
    [ "$(wc -l <answers)" = 1 ] || sed -i 1d answers
fi
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="the script is for Ubuntu")


class Hosts:
    """Hosts that write down what they are asked, and refuse what they are told to."""

    def __init__(self, **refuse: int) -> None:
        self.asked: list[tuple[str, str]] = []
        self._refuse = refuse

    def __call__(self, host: str, direction: str) -> int:
        """Give the exit code of a direction of a host."""
        self.asked.append((host, direction))
        return self._refuse.get(f"{host.partition('-')[0]}_{direction}", 0)


def _fails() -> None:
    raise DeployError("No worker executed the task that was tried")


def test_workers_take_a_version_before_the_web_and_one_at_a_time() -> None:
    hosts = Hosts()

    rollout.roll_out(rollout.in_order(dict.fromkeys(HOSTS)), hosts, lambda: None)

    told = ("forward", "keep")
    assert hosts.asked == [(host, direction) for direction in told for host in IN_ORDER]


def test_further_hosts_come_with_their_role() -> None:
    order = rollout.in_order(dict.fromkeys([*HOSTS, "worker3-ec2", "flask2-ec2"]))

    assert order.index("worker3-ec2") == 4
    assert order[-2:] == ["flask-ec2", "flask2-ec2"]


def test_version_that_a_host_refuses_reaches_no_other_and_leaves_those_before() -> None:
    hosts = Hosts(worker1_forward=3)

    with pytest.raises(DeployError, match=r"worker1-ec2 was not healthy.*run the version"):
        rollout.roll_out(IN_ORDER, hosts, lambda: None)

    assert hosts.asked[3:] == [("redis-ec2", "back"), ("rabbitmq-ec2", "back")]


@pytest.mark.parametrize("code", [1, 2, 255], ids=["a command", "both versions", "SSH"])
def test_host_of_which_nobody_knows_what_it_runs_is_told_as_such(code: int) -> None:
    hosts = Hosts(rabbitmq_forward=code)

    with pytest.raises(DeployError, match=rf"code {code}\).*startup\.log.*No other host"):
        rollout.roll_out(IN_ORDER, hosts, lambda: None)

    assert hosts.asked == [("rabbitmq-ec2", "forward")]


def test_version_with_which_no_task_runs_goes_back_everywhere() -> None:
    hosts = Hosts()

    with pytest.raises(DeployError, match="No worker executed"):
        rollout.roll_out(IN_ORDER, hosts, _fails)

    assert hosts.asked[6:] == [(host, "back") for host in reversed(IN_ORDER)]


def test_host_that_does_not_go_back_is_named_and_the_others_go() -> None:
    hosts = Hosts(flower_back=1)

    with pytest.raises(DeployError, match="did not go back: flower-ec2"):
        rollout.roll_out(IN_ORDER, hosts, _fails)

    assert len(hosts.asked) == 12


def test_rollout_that_is_broken_off_says_which_hosts_have_the_version() -> None:
    def stop_at(host: str, direction: str) -> int:
        if host == "worker1-ec2":
            raise KeyboardInterrupt
        return 0

    with pytest.raises(DeployError, match=r"new version: rabbitmq-ec2, redis-ec2; not .*worker1"):
        rollout.roll_out(IN_ORDER, stop_at, lambda: None)


def test_host_that_does_not_know_that_the_version_stays_is_named() -> None:
    hosts = Hosts(redis_keep=255)

    with pytest.raises(DeployError, match="do not know that it stays: redis-ec2"):
        rollout.roll_out(IN_ORDER, hosts, lambda: None)

    assert len(hosts.asked) == 12


def test_rollout_changes_all_that_names_the_version_and_no_host() -> None:
    stack = deployed()
    changed = [
        each
        for each in stack.resources
        if any(fnmatchcase(each.urn, pattern) for pattern in rollout.RELEASE)
    ]
    named = [each for each in stack.resources if stack.outputs["version"] in str(each.inputs)]

    assert {each.urn for each in named} <= {each.urn for each in changed}
    assert {each.type.rpartition(":")[2] for each in changed} == {
        "Release",
        "Bucket",
        "BucketPublicAccessBlock",
        "BucketObjectv2",
        "Parameter",
        "RolePolicy",
    }
    assert [each.name for each in changed if each.type.endswith("Parameter")] == ["release"]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put stand-ins for pulumi and ssh on the PATH; give the file with how they were called."""
    outputs = {
        "ssh": {host: f"ssh ubuntu@{host}" for host in IN_ORDER},
        "ssm": {host: f"aws ssm start-session --target i-{host}" for host in IN_ORDER},
    }
    (tmp_path / "outputs").write_text(json.dumps(outputs))
    for program in ("pulumi", "ssh"):
        file = tmp_path / program
        file.write_text(
            f'#!/bin/bash\necho "{program} $*" >>{tmp_path}/calls\n'
            f'case "$*" in *"stack output"*) cat {tmp_path}/outputs ;;\n'
            f'*"bash -s"*) cmp - {transport.HOST_SCRIPT} ;; esac\n'
        )
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setitem(first_steps.TRY, "ssh", lambda _: None)
    monkeypatch.setattr(run_command, "PAUSE_S", 0)
    _answer_by_ssm(tmp_path, "Success 0")
    yield tmp_path / "calls"


def _answer_by_ssm(folder: Path, *answers: str) -> None:
    """Put a stand-in for aws there that keeps what is sent, and gives these answers in turn."""
    (folder / "answers").write_text("".join(f"{each}\n" for each in answers))
    file = folder / "aws"
    file.write_text(SSM.replace("@folder@", str(folder)))
    file.chmod(0o755)


def _sent(folder: Path) -> list[dict[str, str]]:
    """Give the options of each command that was sent, by their names."""
    files = sorted((folder).glob("sent-*"), key=lambda file: file.stat().st_mtime_ns)
    found = []
    for file in files:
        words = file.read_text().split("\0")[2:-1]
        found.append(dict(zip(words[::2], words[1::2], strict=True)))
    return found


def test_rollout_publishes_the_version_and_sends_each_host_its_script(
    commands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rollout.main(["dev", "ssh"]) == 0

    calls = commands.read_text().splitlines()
    assert calls[2].endswith(
        "up --yes --target **celeriac:infra:Release** "
        "--target **aws:ssm/parameter:Parameter::release "
        "--target **aws:iam/rolePolicy:RolePolicy** --stack dev"
    )
    sent = [call for call in calls if call.startswith("ssh ")]
    assert [call.split("ubuntu@")[1] for call in sent] == [
        f"{host} sudo bash -s -- {told}" for told in ("forward", "keep") for host in IN_ORDER
    ]
    assert "All hosts run the new version" in capsys.readouterr().out


def test_rollout_by_ssm_sends_each_host_the_same_script_and_needs_no_ssh(
    commands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rollout.main(["dev", "ssm"]) == 0

    calls = [call for call in commands.read_text().splitlines() if call.startswith(("aws", "ssh"))]
    lines = [json.loads(each["--parameters"])["commands"] for each in _sent(commands.parent)]
    scripts = lines[: len(IN_ORDER)] + lines[-len(IN_ORDER) :]
    directions = [each[0].split(" <<")[0].split()[-1] for each in scripts]
    assert calls == [f"aws i-{host}" for host in [*IN_ORDER, "flask-ec2", *IN_ORDER]]
    assert all(each[1:-1] == transport.HOST_SCRIPT.read_text().splitlines() for each in scripts)
    assert directions == ["forward"] * len(IN_ORDER) + ["keep"] * len(IN_ORDER)
    assert lines[len(IN_ORDER)] == [first_steps.TRY_A_TASK]
    assert "All hosts run the new version" in capsys.readouterr().out


def test_what_is_sent_is_what_ssm_takes(commands: Path) -> None:
    rollout.main(["dev", "ssm"])
    sent = _sent(commands.parent)[0]

    with mock_aws():
        made = boto3.client("ssm", "us-east-1").send_command(
            DocumentName=sent["--document-name"],
            InstanceIds=[sent["--instance-ids"]],
            Parameters=json.loads(sent["--parameters"]),
        )

    assert made["Command"]["CommandId"]
    # SSM would take it for the name of a parameter of its own.
    assert "{{" not in sent["--parameters"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (("Pending -1", "InProgress -1", "Success 0"), 0),
        (("InProgress -1", "Failed 1"), 1),
        (("Failed 2",), 2),
        (("Pending -1", "Undeliverable -1"), 255),
        (("TimedOut -1",), 255),
    ],
)
def test_command_by_ssm_is_waited_for_and_gives_its_exit_code(
    answers: tuple[str, ...], code: int, commands: Path
) -> None:
    _answer_by_ssm(commands.parent, *answers)

    assert run_command.run_command("i-1", ["true"]) == code


def test_command_by_ssm_goes_to_the_region_of_the_stack(commands: Path) -> None:
    outputs = {"ssm": {"a": "aws ssm start-session --target i-a"}, "region": "eu-west-1"}

    transport.ssm(outputs)("a", "keep")

    assert _sent(commands.parent)[0]["--region"] == "eu-west-1"


def test_stack_without_hosts_is_told(commands: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (commands.parent / "outputs").write_text("{}")

    assert rollout.main(["dev", "ssh"]) == 1
    assert "has no hosts yet" in capsys.readouterr().err


def test_host_that_ssm_does_not_know_is_told_as_one_that_nobody_reaches(commands: Path) -> None:
    (commands.parent / "aws").write_text("#!/bin/bash\nexit 254\n")

    assert transport.ssm({"ssm": {"a": "aws ssm start-session --target i-a"}})("a", "back") == 255


def test_task_that_nobody_executes_by_ssm_brings_all_back(
    commands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _answer_by_ssm(commands.parent, *["Success 0"] * 6, "Failed 124", "Success 0")

    assert rollout.main(["dev", "ssm"]) == 1

    asked = [json.loads(each["--parameters"])["commands"][0] for each in _sent(commands.parent)]
    assert [each for each in asked[7:] if "-- back " not in each] == []
    assert len(asked) == 13
    assert "No worker executed" in capsys.readouterr().err


def test_way_that_there_is_not_is_told(commands: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rollout.main(["dev", "telnet"]) == 1
    assert "one of: ssh, ssm" in capsys.readouterr().err
    assert not commands.exists()


@linux
def test_host_obeys_what_comes_by_ssm(machine: HostMachine, commands: Path) -> None:
    outputs = {"ssm": {"worker1-ec2": "aws ssm start-session --target i-1"}}
    _release(machine, NEW)
    for direction, commit in (("forward", NEW), ("back", OLD)):
        transport.ssm(outputs)("worker1-ec2", direction)
        lines = json.loads(_sent(commands.parent)[-1]["--parameters"])["commands"]

        done = machine.obey(lines)

        assert done.returncode == 0, done.stdout + done.stderr
        assert _runs(machine) == commit


@pytest.fixture
def machine(tmp_path: Path) -> HostMachine:
    """Give a worker's machine that runs the old version."""
    found = HostMachine(tmp_path / "machine")
    found.settings |= {
        "ROLE": "celery",
        "HOST": "worker1-ec2",
        "PARAMETERS": "/celeriac/dev/celery",
        "VOLUME": "",
    }
    _release(found, OLD)
    done = found.boot()
    assert done.returncode == 0, done.stdout + done.stderr
    return found


def _release(machine: HostMachine, commit: str) -> None:
    """Name a version to the hosts; it is there already, as if fetched."""
    (machine.root / "opt/celeriac" / commit).mkdir(parents=True)
    machine.tell({"commit": commit, "bucket": "b"}, {"RABBITMQ_CELERY_PASSWORD": "a"})


def _runs(machine: HostMachine) -> str:
    folder = (machine.root / "opt/celeriac/current").resolve().name
    assert f"CELERIAC_IMAGE=celeriac:{folder}\n" in machine.read("etc/celeriac/celeriac.env")
    return folder


@linux
def test_host_goes_forward(machine: HostMachine) -> None:
    _release(machine, NEW)

    done = machine.roll("forward")

    assert done.returncode == 0, done.stdout + done.stderr
    assert _runs(machine) == NEW
    assert "down" not in " ".join(machine.calls("docker"))
    (up,) = [call for call in machine.calls("docker") if " up " in call]
    assert up.endswith("--wait-timeout 1"), "it would outlast the patience of a rollout"


@linux
def test_host_builds_the_new_image_before_it_stops_anything(machine: HostMachine) -> None:
    _release(machine, NEW)

    machine.roll("forward")

    steps = [call.split("--profile celery ")[-1].split()[0] for call in machine.calls("docker")]
    assert steps.index("build") < steps.index("up")


@linux
def test_host_goes_back_from_a_version_that_is_not_healthy(machine: HostMachine) -> None:
    _release(machine, NEW)
    (machine.fake / "sick").write_text(f"{NEW}\n")

    done = machine.roll("forward")

    assert done.returncode == 3, done.stdout + done.stderr
    assert _runs(machine) == OLD
    assert (machine.root / "var/lib/celeriac/ready").exists()


@linux
def test_refused_version_is_not_tried_at_a_boot_but_by_another_rollout(
    machine: HostMachine,
) -> None:
    _release(machine, NEW)
    (machine.fake / "sick").write_text(f"{NEW}\n")
    machine.roll("forward")
    (machine.fake / "sick").write_text("")

    machine.boot(machine.root / "usr/local/sbin/celeriac-start")
    assert _runs(machine) == OLD

    assert machine.roll("forward").returncode == 0
    assert _runs(machine) == NEW


@linux
def test_host_goes_back_when_it_is_told_to_and_stays_there(machine: HostMachine) -> None:
    _release(machine, NEW)
    machine.roll("forward")

    assert machine.roll("back").returncode == 0
    assert _runs(machine) == OLD
    machine.boot(machine.root / "usr/local/sbin/celeriac-start")
    assert _runs(machine) == OLD


@linux
def test_rollout_that_was_broken_off_goes_back_to_where_it_began(machine: HostMachine) -> None:
    _release(machine, NEW)
    machine.roll("forward")
    machine.roll("forward")

    assert machine.roll("back").returncode == 0
    assert _runs(machine) == OLD


@linux
def test_version_that_stays_is_the_one_to_go_back_to(machine: HostMachine) -> None:
    _release(machine, NEW)
    machine.roll("forward")
    assert machine.roll("keep").returncode == 0
    machine.roll("forward")

    assert machine.roll("back").returncode == 0
    assert _runs(machine) == NEW


@linux
def test_host_that_went_back_does_not_go_further_back(machine: HostMachine) -> None:
    _release(machine, NEW)
    machine.roll("forward")
    machine.roll("back")

    assert machine.roll("back").returncode != 0
    assert machine.read("var/lib/celeriac/refused").startswith(f"COMMIT={NEW}\n")
    assert _runs(machine) == OLD


@linux
def test_host_on_which_nothing_is_healthy_says_so(machine: HostMachine) -> None:
    _release(machine, NEW)
    (machine.fake / "sick").write_text(f"{NEW}\n{OLD}\n")

    assert machine.roll("forward").returncode == 2
    assert "start the role celery" in machine.read("var/lib/celeriac/failed")


@linux
def test_host_that_never_learnt_which_version_refuses_none(machine: HostMachine) -> None:
    _release(machine, NEW)
    (machine.fake / "docker").unlink()
    (machine.fake / "key").write_text("0" * 40)

    done = machine.roll("forward")

    assert done.returncode == 2
    assert done.stdout.count("failed with exit code") == 1, "it was not started again"
    assert "install Docker" in machine.read("var/lib/celeriac/failed")
    assert not (machine.root / "var/lib/celeriac/refused").exists()
    assert _runs(machine) == OLD


@linux
@pytest.mark.parametrize(("sick", "code"), [("", 0), (f"{NEW}\n", 2)], ids=["healthy", "not"])
def test_host_that_was_never_healthy_takes_a_version_and_has_no_way_back(
    machine: HostMachine, sick: str, code: int
) -> None:
    (machine.root / "var/lib/celeriac/release.good").unlink()
    _release(machine, NEW)
    (machine.fake / "sick").write_text(sick)

    assert machine.roll("forward").returncode == code
    assert _runs(machine) == NEW


@linux
def test_host_is_ready_once_its_start_has_ended_well(machine: HostMachine) -> None:
    assert machine.roll("ready").returncode == 0

    state = machine.root / "var/lib/celeriac"
    (state / "ready").unlink()
    (state / "failed").write_text("failed with exit code 1: install Docker\n")
    done = machine.roll("ready")

    assert done.returncode == 1
    assert "install Docker" in done.stderr


@linux
def test_version_that_stays_leaves_nothing_of_others_on_the_disk(machine: HostMachine) -> None:
    _release(machine, NEW)
    machine.roll("forward")

    assert machine.roll("keep").returncode == 0
    assert _runs(machine) == NEW
    assert sorted(each.name for each in (machine.root / "opt/celeriac").iterdir()) == [
        NEW,
        "current",
    ]
    assert machine.calls("docker")[0] == "image prune --all --force"


@linux
def test_good_image_of_a_commit_whose_image_was_refused_is_taken_at_a_boot(
    machine: HostMachine,
) -> None:
    def name(image: str) -> None:
        machine.tell({"commit": OLD, "image": image}, {"RABBITMQ_CELERY_PASSWORD": "a"})

    name("bad")
    (machine.fake / "sick").write_text("IMAGE=bad\n")
    assert machine.roll("forward").returncode == 3
    name("good")

    machine.boot(machine.root / "usr/local/sbin/celeriac-start")

    assert "CELERIAC_IMAGE=good\n" in machine.read("etc/celeriac/celeriac.env")


def test_without_pulumi_it_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert rollout.main(["dev", "ssh"]) == 1
    assert "Pulumi is not installed" in capsys.readouterr().err


def test_script_of_the_host_refuses_what_it_does_not_know() -> None:
    done = subprocess.run([transport.HOST_SCRIPT, "sideways"], check=False)

    assert done.returncode == 64
