"""The containers of docker-compose.yml: one project a role, as on so many hosts."""

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from eventually import eventually
from web_client import Answer, WebClient, basic, request

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


class Hosts:
    """A project for each role; they reach each other by the address of Docker's bridge."""

    def __init__(self, secrets_file: Path) -> None:
        self.address = docker(
            "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"
        ).strip()
        self.web = WebClient(f"http://{self.address}:5000")
        self._name = f"celeriac-test-{secrets.token_hex(3)}"
        self._secrets_file = secrets_file
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
            "CELERIAC_PUBLIC_URL": self.web.url,
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
        self.web.token = json.loads(self.compose("flask", *ask, *words))["token"]

    def flower(self, path: str, password: str | None = None) -> Answer:
        """Ask Flower itself."""
        headers = basic("celeriac", password) if password else {}
        return request(f"http://{self.address}:5555/flower{path}", headers)

    def _inspect(self, container: str, format_: str) -> str:
        return docker("inspect", "--format", format_, container).strip()
