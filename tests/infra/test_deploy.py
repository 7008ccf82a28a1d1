"""`make deploy` and `make destroy`, with stand-ins for the command lines that they call."""

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import deploy

OUTPUTS = {
    "flask-ec2_public_ip": "203.0.113.200",
    "ssm": {"flask-ec2": "aws ssm start-session --target i-0f1"},
    "monthly_cost": "about 1 USD",
}

STAND_IN = """#!/bin/bash
echo "${0##*/} $*" >>"$FAKE/calls"
case "$*" in
*"config get adminCidr"*) cat "$FAKE/admin" ;;
*"stack output"*) cat "$FAKE/outputs" ;;
*"users add"*) echo '{"link": "http://web/welcome/abc"}' ;;
*"tokens create"*) echo '{"id": "4f0c", "token": "TOKEN"}' ;;
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
    (tmp_path / "admin").write_text("198.51.100.7/32\n")
    for empty in ("calls", "tagged"):
        (tmp_path / empty).touch()
    monkeypatch.setenv("FAKE", str(tmp_path))
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
    commands = [call.removeprefix(f"-C {deploy.INFRA} ") for call in _calls(machine, "pulumi")]
    assert commands == [
        "stack select --create dev",
        "config get adminCidr --stack dev",
        "up --yes --refresh --stack dev",
        "stack output --json --stack dev",
    ]
    assert "text.reverse, 'cairelec'" in told
    assert f"flask_url                {web}\n" in told
    assert "http://web/welcome/abc" in told
    assert "TOKEN" not in told
    sent = _calls(machine, "ssh")
    assert sent[-1].endswith("celeriac tokens revoke 4f0c")
    # A host that replaces another may have its address, but not its key.
    assert all("HostKeyAlias=i-0f1 ubuntu@203.0.113.200" in call for call in sent)


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

    with pytest.raises(deploy.DeployError, match="The web took no task"):
        deploy.run_a_task(OUTPUTS | {"flask_url": web})


def test_page_that_never_answers_is_told_with_the_way_to_its_log(web: str) -> None:
    with pytest.raises(deploy.DeployError, match=r"startup\.log"):
        deploy.wait_for("http://127.0.0.1:1", deadline_s=-1)


def test_destroy_without_the_name_of_the_stack_removes_nothing(machine: Path) -> None:
    with pytest.raises(deploy.DeployError, match="Nothing was removed"):
        deploy.down("dev", typed=lambda _: "yes")

    assert _calls(machine, "pulumi") == []


def test_destroy_removes_what_is_protected_and_looks_for_the_rest(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy.down("dev", typed=lambda _: "dev")

    assert [call.split(maxsplit=2)[2] for call in _calls(machine, "pulumi")] == [
        "state unprotect --all --yes --stack dev",
        "destroy --yes --stack dev",
    ]
    assert "Nothing with the tags of dev remains" in capsys.readouterr().out


def test_destroy_tells_what_remains(machine: Path) -> None:
    (machine / "tagged").write_text("arn:aws:ec2:::volume/vol-1\narn:aws:ec2:::instance/i-ended\n")

    with pytest.raises(deploy.DeployError, match=r"cost money:\narn:aws:ec2:::volume/vol-1$"):
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
