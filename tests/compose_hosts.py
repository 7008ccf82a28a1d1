"""The containers of docker-compose.yml: one project a role, as on so many hosts."""

import json
import os
import secrets
import signal
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any

from eventually import eventually

ROOT = Path(__file__).parents[1]
ROLES = ("rabbitmq", "redis", "flask", "celery", "flower")
PROJECTS = (*ROLES, "monitoring")
STARTS_WITHIN_S = 300
FILES = "docker-compose.yml:tests/compose/quick.yml"
COMMAND_WITHIN_S = 600


def docker(*words: str, env: dict[str, str] | None = None) -> str:
    """Run a command of Docker's, and give what it prints."""
    done = _done(["docker", *words], env)
    assert done.returncode == 0, f"docker {' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _run(words: Sequence[str | Path], env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command; gives its status and what it says."""
    done = _done(words, env)
    return done.returncode, done.stdout + done.stderr


def _done(
    words: Sequence[str | Path], env: dict[str, str] | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=COMMAND_WITHIN_S,
        check=False,
    )


def has_daemon() -> bool:
    """Tell whether a Docker daemon answers."""
    if not which("docker"):
        return False
    return _run(["docker", "info"])[0] == 0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Hosts:
    """A project for each role; they reach each other by the address of Docker's bridge."""

    def __init__(self, secrets_file: Path) -> None:
        self.address = docker(
            "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"
        ).strip()
        self._name = f"celeriac-test-{secrets.token_hex(3)}"
        self._secrets_file = secrets_file
        self._token = ""
        subprocess.run([ROOT / "deploy" / "secrets", secrets_file], check=True)

    @property
    def secrets(self) -> dict[str, str]:
        """Give the generated secrets."""
        return dict(line.split("=", 1) for line in self._secrets_file.read_text().splitlines())

    def _environment(self, role: str) -> dict[str, str]:
        """Give what Compose is told on a role's host."""
        return {
            **self.secrets,
            "COMPOSE_FILE": FILES,
            "COMPOSE_PROFILES": role,
            "COMPOSE_PROJECT_NAME": f"{self._name}-{role}",
            "LISTEN_ON": self.address,
            "RABBITMQ_HOST": self.address,
            "REDIS_HOST": self.address,
            "CELERIAC_PUBLIC_URL": f"http://{self.address}:5000",
        }

    def compose(self, role: str, *words: str, **variables: str) -> str:
        """Run a command of Compose's for a role."""
        return docker("compose", *words, env={**self._environment(role), **variables})

    def start(self, role: str, *options: str, **variables: str) -> None:
        """Start a role, and wait until all of it is healthy."""
        self.compose(role, "up", "--detach", "--wait", "--no-build", *options, **variables)

    def start_all(self) -> None:
        """Start all roles at once, as hosts do after a power cut."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.start, ROLES))

    def start_servers(self) -> None:
        """Start RabbitMQ and Redis alone."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.start, ("rabbitmq", "redis")))

    @contextmanager
    def frozen(self, role: str) -> Iterator[None]:
        """Have a container stand still: its connections stay open, and nothing answers."""
        container = self.container(role)
        docker("pause", container)
        try:
            yield
        finally:
            docker("unpause", container)

    def deploy(self, script: str, role: str, verb: str, file: Path) -> str:
        """Run a script of deploy/ on a role's host, which must succeed; gives what it says."""
        status, said = self.try_to_deploy(script, role, verb, file)
        assert status == 0, said
        return said

    def try_to_deploy(self, script: str, role: str, verb: str, file: Path) -> tuple[int, str]:
        """Run a script of deploy/ on a role's host; gives its status and what it says."""
        return _run([ROOT / "deploy" / script, verb, file], self._environment(role))

    def volumes(self, role: str) -> list[str]:
        """List what a role's host keeps."""
        name = f"label=com.docker.compose.project={self._name}-{role}"
        return docker("volume", "ls", "--quiet", "--filter", name).split()

    def problem(self, role: str, service: str | None = None) -> str:
        """Ask what Docker asks a container; gives the problem, or nothing where it is well."""
        container = self.container(role, service)
        kind, *words = json.loads(self._inspect(container, "{{json .Config.Healthcheck.Test}}"))
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        status, said = _run(["docker", "exec", container, *command])
        return said or "It fails." if status else ""

    def exit_codes(self, role: str) -> dict[str, int]:
        """Stop a role as a person does; gives how each of its processes ended."""
        found = self.compose(role, "ps", "--format", "{{.Service}} {{.ID}}").splitlines()
        self.compose(role, "stop")
        return {
            service: int(self._inspect(container, "{{.State.ExitCode}}"))
            for service, container in map(str.split, found)
        }

    def remove(self) -> None:
        """Remove all containers, networks and volumes."""
        for role in reversed(PROJECTS):
            self.compose(role, "down", "--volumes", "--timeout", "5")

    def container(self, role: str, service: str | None = None) -> str:
        """Give the identifier of a service's container; the service has the role's name or this."""
        return self.compose(role, "ps", "--quiet", service or role).strip()

    def kill(self, role: str, service: str | None = None) -> None:
        """Kill a container's first process, as a crash does, and wait until it is healthy again.

        `docker kill` would tell Docker not to start it again.
        """
        container = self.container(role, service)
        before = self._inspect(container, "{{.RestartCount}}")
        os.kill(int(self._inspect(container, "{{.State.Pid}}")), signal.SIGKILL)
        eventually(
            lambda: (
                self._inspect(container, "{{.RestartCount}}") != before
                and self._inspect(container, "{{.State.Health.Status}}") == "healthy"
            ),
            deadline_s=STARTS_WITHIN_S,
        )

    def logs(self) -> str:
        """Give the last lines of every container."""
        return "\n".join(self.compose(role, "logs", "--tail", "40") for role in PROJECTS)

    def sign_in(self) -> None:
        """Make an operator and a token for it."""
        ask = ("exec", "--no-TTY", "flask", "celeriac")
        self.compose("flask", *ask, "users", "add", "ada", "--role", "operator")
        words = ("tokens", "create", "ada", "--label", "test", "--role", "operator", "--json")
        self._token = json.loads(self.compose("flask", *ask, *words))["token"]

    def call(self, path: str, body: object = None, **headers: str) -> Answer:
        """Call the web's API as that operator."""
        headers = {"Authorization": f"Bearer {self._token}", **headers}
        return self._request(f"http://{self.address}:5000{path}", headers, body)

    def flower(self, path: str, password: str | None = None) -> Answer:
        """Ask Flower itself."""
        named = b64encode(f"celeriac:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {named}"} if password else {}
        return self._request(f"http://{self.address}:5555/flower{path}", headers)

    def submit(self, count: int, tag: str) -> list[str]:
        """Submit runs, each of which must be accepted."""
        accepted = self.try_to_submit(count, tag)
        assert len(accepted) == count
        return accepted

    def try_to_submit(self, count: int, tag: str) -> list[str]:
        """Submit runs, and give those that were accepted."""
        body = {"args": {"text": "hello"}, "options": {"tags": [tag]}}
        answers = [self.call("/api/v1/tasks/text.reverse/runs", body) for _ in range(count)]
        return [answer.json["id"] for answer in answers if answer.status == 202]

    def submit_long(self) -> str:
        """Submit a run that takes seconds, and wait until it is executed."""
        answer = self.call("/api/v1/tasks/primes.count/runs", {"args": {"limit": 400_000_000}})
        run = str(answer.json["id"])
        eventually(lambda: self.state(run) not in ("PENDING", "SUCCESS"), deadline_s=60)
        return run

    def state(self, run: str) -> str:
        """Give a run's state."""
        return str(self.call(f"/api/v1/runs/{run}").json["state"])

    def wait_for(self, runs: list[str], *, deadline_s: float = 180) -> None:
        """Wait until each has succeeded."""
        left = set(runs)

        def all_succeeded() -> bool:
            for run in list(left):
                if self.state(run) == "SUCCESS":
                    left.discard(run)
            return not left

        eventually(all_succeeded, deadline_s=deadline_s)

    def _inspect(self, container: str, format_: str) -> str:
        return docker("inspect", "--format", format_, container).strip()

    def _request(self, url: str, headers: dict[str, str], body: object = None) -> Answer:
        """An answer of any status is one; where nothing answers, the status is 0."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(url, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read())
        except OSError:
            return Answer(0, b"")
