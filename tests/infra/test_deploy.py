"""`make deploy` and `make destroy`, with stand-ins for the command lines that they call."""

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import deploy
import first_steps
import pulumi_cli
import remains
import run_command
import transport
from infra_stack import CLUSTER, OPTIONS, deployed
from loss import HOLDERS
from plan import holders_of_data
from pulumi_cli import DeployError

# Pulumi and its AWS package take long to import on a busy machine.
pytestmark = pytest.mark.timeout(300)

OUTPUTS = {
    "ssh": {"flask-ec2": "ssh -i key ubuntu@203.0.113.200"},
    "ssm": {"flask-ec2": "aws ssm start-session --target i-0f1"},
    "monthly_cost": "about 1 USD",
}

STAND_IN = """#!/bin/bash
echo "${0##*/} $*" >>"$FAKE/calls"
case "$*" in
*send-command*) echo command ;;
*get-command-invocation*) echo Success 0 ;;
*"config get "*) cat "$FAKE/$5" ;;
*"stack output"*) cat "$FAKE/outputs" ;;
*"stack export"*) cat "$FAKE/state" ;;
*"bash -s -- "*) cat >/dev/null; exit "$(cat "$FAKE/${@: -1}")" ;;
*"users add"*) cat "$FAKE/added" ;;
*"users link"*) echo '{"link": "http://web/welcome/second"}' ;;
*"users list"*) cat "$FAKE/users" ;;
*"tokens create"*) cat "$FAKE/token" ;;
*"submit text.reverse"*) exit "$(cat "$FAKE/submitted")" ;;
*route53*) ;;
*get-resources*) cat "$FAKE/tagged" ;;
esac
"""


class _Web(BaseHTTPRequestHandler):
    """Flask, Flower and RabbitMQ's pages in one."""

    state = "SUCCESS"
    answer: str | None = None

    def do_GET(self) -> None:
        self.send_response(401 if self.path == "/flower" else 200)
        self.end_headers()

    def do_POST(self) -> None:
        assert self.headers["Authorization"] == "Bearer TOKEN"
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        run = json.dumps({"state": self.state, "result": "cairelec"})
        self.wfile.write((self.answer or run).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[str]:
    """Serve what a stack serves."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Web)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def machine(tmp_path: Path, web: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins on the PATH; give the folder where they write down how they are called."""
    for program in ("pulumi", "ssh", "aws"):
        file = tmp_path / program
        file.write_text(STAND_IN)
        file.chmod(0o755)
    outputs = OUTPUTS | {"flask_url": web, "flower_url": f"{web}/flower", "rabbitmq_url": web}
    (tmp_path / "outputs").write_text(json.dumps(outputs))
    (tmp_path / "adminCidr").write_text("198.51.100.7/32\n")
    (tmp_path / "aws:region").write_text("eu-west-1\n")
    (tmp_path / "added").write_text('{"link": "http://web/welcome/abc"}')
    (tmp_path / "token").write_text('{"id": "4f0c", "token": "TOKEN"}')
    for direction in ("ready", "forward", "back", "keep"):
        (tmp_path / f"sudo bash -s -- {direction}").write_text("0")
    for empty in ("calls", "tagged", "state"):
        (tmp_path / empty).touch()
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setattr(remains, "FORGOTTEN_WITHIN_S", -1)
    monkeypatch.setattr(transport, "REACHED_WITHIN_S", -1)
    monkeypatch.setattr(run_command, "PAUSE_S", 0)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def _calls(machine: Path, program: str) -> list[str]:
    lines = (machine / "calls").read_text().splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{program} ")]


def test_deploy_makes_the_stack_tries_a_task_and_tells_where_it_is(
    machine: Path, web: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(["up", "dev"]) == 0

    told = capsys.readouterr().out
    commands = [call.removeprefix(f"-C {pulumi_cli.INFRA} ") for call in _calls(machine, "pulumi")]
    assert commands == [
        "stack select --create dev",
        "config get adminCidr --stack dev",
        "stack export --stack dev",
        "config get architecture --stack dev",
        "up --yes --refresh --stack dev",
        "stack output --json --stack dev",
    ]
    assert "text.reverse, 'cairelec'" in told
    assert f"flask_url                {web}\n" in told
    assert "http://web/welcome/abc" in told
    assert "TOKEN" not in told
    sent = _calls(machine, "ssh")
    assert sent[0].endswith("sudo bash -s -- ready")
    assert not [call for call in sent if "forward" in call], "it has just read everything"
    assert sent[-1].endswith("celeriac tokens revoke 4f0c")
    # A host that replaces another may have its address, but not its key.
    assert all("HostKeyAlias=i-0f1" in call for call in sent)
    assert all("-i key ubuntu@203.0.113.200" in call for call in sent)


def _state(machine: Path, *resources: dict[str, object]) -> None:
    (machine / "state").write_text(json.dumps({"deployment": {"resources": resources}}))


def _there(name: str, kind: str, **more: object) -> dict[str, object]:
    return {"urn": f"urn:pulumi:dev::celeriac::{kind}::{name}", "type": kind, **more}


FLASK = _there(
    "flask-ec2", "aws:ec2/instance:Instance", id="i-0f1", inputs={"instanceType": "t3.small"}
)


def test_host_that_was_there_reads_what_has_changed(machine: Path) -> None:
    _state(machine, FLASK)

    assert deploy.main(["up", "dev"]) == 0

    sent = [call.rpartition(" ")[2] for call in _calls(machine, "ssh") if "bash -s" in call]
    assert sent == ["ready", "forward", "keep"]


def test_change_with_which_a_host_is_not_healthy_fails(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _state(machine, FLASK)
    (machine / "sudo bash -s -- forward").write_text("3")

    assert deploy.main(["up", "dev"]) == 1
    assert "flask-ec2 was not healthy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "message"), [("255", "must be in adminCidr"), ("1", "flask-ec2 is not ready")]
)
def test_host_that_does_not_become_ready_is_named(
    machine: Path, capsys: pytest.CaptureFixture[str], code: str, message: str
) -> None:
    (machine / "sudo bash -s -- ready").write_text(code)

    assert deploy.main(["up", "dev"]) == 1
    assert message in capsys.readouterr().err


def test_deploy_by_ssm_asks_no_page_and_makes_no_link(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(["up", "dev", "ssm"]) == 0

    told = capsys.readouterr().out
    assert _calls(machine, "ssh") == []
    assert "welcome" not in told
    assert "celeriac users add admin --role admin" in told
    assert "A task was run" in told


@pytest.mark.parametrize(
    ("user", "link"),
    [
        ({"name": "admin", "has_password": False, "provider": None}, True),
        ({"name": "admin", "has_password": True, "provider": None}, False),
        ({"name": "admin", "has_password": False, "provider": "https://login"}, False),
        ({"name": "ada", "has_password": False, "provider": None}, False),
    ],
)
def test_link_is_made_again_until_somebody_has_followed_it(
    machine: Path, user: dict[str, object], link: bool
) -> None:
    (machine / "added").unlink()
    (machine / "users").write_text(json.dumps([user | {"disabled": False}]))

    found = first_steps.first_sign_in(OUTPUTS)

    assert found == ("http://web/welcome/second" if link else None)


def test_link_is_told_before_anything_can_fail(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_Web, "state", "PENDING")

    assert deploy.main(["up", "dev"]) == 1
    assert "http://web/welcome/abc" in capsys.readouterr().out


@pytest.mark.parametrize("code", [0, 1])
def test_task_without_a_token_is_asked_on_the_host_and_must_run(machine: Path, code: int) -> None:
    (machine / "token").unlink()
    (machine / "submitted").write_text(str(code))

    if code:
        with pytest.raises(DeployError, match="No worker executed"):
            first_steps.run_a_task(OUTPUTS)
    else:
        first_steps.run_a_task(OUTPUTS)


@pytest.mark.parametrize("options", [(), OPTIONS, CLUSTER], ids=["default", "options", "cluster"])
def test_what_holds_data_is_what_the_program_protects(options: tuple[tuple[str, str], ...]) -> None:
    wanted = holders_of_data(
        *(dict(options).get(key, "") for key in ("broker", "results", "history"))
    )

    assert {each.name for each in deployed(*options).resources if each.protect} == wanted
    assert {each.type for each in deployed(*options).resources if each.protect} <= set(HOLDERS)


def test_option_that_would_destroy_data_is_refused_with_the_command_that_lets_it(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = _there("redis-ec2-data", "aws:ebs/volume:Volume", protect=True)
    _state(machine, FLASK, volume, _there("flask-ec2-data", "aws:ebs/volume:Volume", protect=True))
    (machine / "results").write_text("elasticache")

    assert deploy.main(["up", "dev"]) == 1

    told = capsys.readouterr().err
    assert "removes redis-ec2-data with all" in told
    assert told.splitlines()[-1] == (
        f"pulumi -C infra state unprotect --yes --stack dev {volume['urn']}"
    )
    assert not [call for call in _calls(machine, "pulumi") if " up " in call]


def test_hosts_that_are_there_get_no_other_architecture(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _state(machine, FLASK)
    (machine / "architecture").write_text("arm")

    assert deploy.main(["up", "dev"]) == 1
    assert "architecture is arm, but the hosts are x86" in capsys.readouterr().err


def test_deploy_fails_where_no_worker_works(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_Web, "state", "PENDING")

    assert deploy.main(["up", "dev"]) == 1
    assert "No worker executed the task" in capsys.readouterr().err


def test_answer_that_is_no_run_is_an_error_that_sends_hosts_back(
    machine: Path, monkeypatch: pytest.MonkeyPatch, web: str
) -> None:
    monkeypatch.setattr(_Web, "answer", "<html>Be patient</html>")

    with pytest.raises(DeployError, match="The web took no task"):
        first_steps.run_a_task(OUTPUTS | {"flask_url": web})


def test_page_that_never_answers_is_told_with_who_may_ask_it() -> None:
    with pytest.raises(DeployError, match="address must be in publicCidrs"):
        deploy.wait_for("http://127.0.0.1:1", "publicCidrs", deadline_s=-1)


def test_destroy_without_the_name_of_the_stack_removes_nothing(machine: Path) -> None:
    with pytest.raises(DeployError, match="Nothing was removed"):
        deploy.down("dev", typed=lambda _: "yes")

    assert _calls(machine, "pulumi") == []


def test_destroy_without_anybody_who_types_removes_nothing(machine: Path) -> None:
    def typed(_: str) -> str:
        raise EOFError

    with pytest.raises(DeployError, match="set CONFIRM"):
        deploy.down("dev", typed=typed)


def test_destroy_removes_what_is_protected_and_looks_for_the_rest(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy.down("dev", typed=lambda _: "dev")

    assert [call.split(maxsplit=2)[2] for call in _calls(machine, "pulumi")] == [
        "state unprotect --all --yes --stack dev",
        "destroy --yes --stack dev",
        "config get aws:region --stack dev",
    ]
    regions = [call.split()[1] for call in _calls(machine, "aws")]
    assert regions == ["eu-west-1", "us-east-1", "eu-west-1"]
    assert "Nothing with the tags of dev remains" in capsys.readouterr().out


def test_destroy_tells_what_remains(machine: Path) -> None:
    (machine / "tagged").write_text("arn:aws:ec2:::volume/vol-1\narn:aws:ec2:::instance/i-ended\n")

    with pytest.raises(DeployError, match=r":\narn:aws:ec2:::volume/vol-1$"):
        deploy.down("dev", typed=lambda _: "dev")


@pytest.mark.parametrize("what", ["up", "down"])
def test_without_pulumi_it_is_told_how_to_get_it(
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert deploy.main([what, "dev"]) == 1
    assert "Pulumi is not installed" in capsys.readouterr().err
