"""Whatever fails, no secret shows in anything that a role prints, answers or draws."""

import http.cookiejar
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from redis import Redis

import servers
from attack import Count
from eventually import eventually
from link import Link
from mail_server import smtp_server
from postgres import USER, PostgresServer
from processes import LOOPBACK, ChildProcess, free_port, is_listening
from running_stack import RunningStack, running_stack
from servers import RabbitMQServer, RedisServer, clean_environment

FAULT = "fault-of-a-link-0123456789abcdef"
"""What `leaky_tasks` fails at."""
ODD = {
    "broker": "br0ker/pass w@rd:1",
    "redis": "r€dis:p@ss/w0rd?2",
    "history": "hist0ry#p@ss%20word",
    "mail": "smtp&p@ss=w0rd+3",
    "secret key": "'s3cret \"key\" of 40 characters, or so'",
    "new message key": "n3w-message-key-" + "k" * 32,
    "old message key": "0ld-message-key-" + "k" * 32,
    "provider": "pr0vider's client s3cret",
    "Flower": "fl0wer-p@ssword",
    "person": "p3rson's p@ssword",
    "wrong person": "wr0ng p@ssword of a person",
    "link": FAULT,
}
WRONG = {"broker": "an0ther/broker:w@rd", "redis": "an0ther-redis-w@rd"}
PAGES = (
    "/", "/runs", "/queues", "/workers", "/dead-letters", "/tasks", "/tasks/leaky.tell", "/docs",
    "/healthz", "/readyz", "/metrics", "/openapi.json", "/api/v1/runs", "/api/v1/queues",
    "/api/v1/workers", "/api/v1/dead-letters", "/api/v1/stats", "/api/v1/tasks", "/api/v1/me",
    "/runs/01936d4c-7b7e-7cc0-9a3f-0123456789ab", "/queues/celery_see", "/sign-in",
    "/sign-in/provider", "/admin", "/account", f"/welcome/{FAULT}",
)  # fmt: skip
COMMANDS = (
    ["doctor"], ["doctor", "--json"], ["submit", "text.reverse", "--text", "x"], ["runs", "list"],
    ["queues", "list"], ["workers", "list"], ["dead-letters", "list"], ["history", "stats"],
    ["users", "list"], ["tokens", "list"], ["audit", "list"], ["tasks"],
)  # fmt: skip
WITHIN_S = 240
AT_ONCE = 8
"""How many pages are asked for together, and half as many commands."""


def _forms(secret: str) -> set[str]:
    """Give a secret as it is, and as addresses, JSON, Python and headers write it."""
    plain = {secret, quote(secret, safe=""), quote(secret)}
    encoded = {b64encode(f"{user}{secret}".encode()).decode() for user in ("", "ann:", "\0ann\0")}
    return plain | {json.dumps(secret)[1:-1], repr(secret)[1:-1]} | encoded


@dataclass
class Outputs:
    """What was printed and answered, and what must not be in it."""

    secrets: dict[str, str]
    texts: dict[str, str] = field(default_factory=dict)

    def leaks(self) -> dict[str, list[str]]:
        """Name the secrets that each text shows."""
        found = {where: self._seen(text) for where, text in self.texts.items()}
        return {where: seen for where, seen in found.items() if seen}

    def _seen(self, text: str) -> list[str]:
        return [
            name
            for name, secret in self.secrets.items()
            if any(form in text for form in _forms(secret))
        ]


@dataclass
class Servers:
    """Servers with passwords, each at the far end of a link, and how each is made to fail."""

    rabbitmq: RabbitMQServer
    redis: RedisServer
    links: dict[str, Link]
    environment: dict[str, str]

    def cut(self, name: str) -> None:
        """Hang up, and let nobody connect anew."""
        self.links[name].cut()
        self.links[name].hang_up()

    def restore(self, name: str) -> None:
        """Let everybody connect."""
        self.links[name].restore()

    def set_passwords(self, broker: str, redis: str, now: str) -> None:
        """Change the passwords, and hang up."""
        self.rabbitmq.api("PUT", "users/ann", {"password": broker, "tags": ""})
        with Redis(port=self.redis.port, password=now) as client:
            client.config_set("requirepass", redis)
        for name in ("broker", "redis"):
            self.links[name].hang_up()


@pytest.fixture(scope="module")
def places(
    rabbitmq_server: RabbitMQServer,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Servers]:
    history = f"{USER}:{quote(ODD['history'], safe='')}@"
    database = postgres_server.create_database("secrets").replace(f"{USER}@", history)
    with ExitStack() as stack:
        redis = stack.enter_context(servers.redis_server(tmp_path_factory.mktemp("redis")))
        vhost = stack.enter_context(rabbitmq_server.fresh_vhost()).rpartition("/")[2]
        mail = stack.enter_context(smtp_server(user="ann", password="another"))
        links = {
            name: stack.enter_context(Link(port).open())
            for name, port in {
                "broker": rabbitmq_server.port,
                "redis": redis.port,
                "history": postgres_server.port,
            }.items()
        }
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        rabbitmq_server.api("PUT", "users/ann", {"password": ODD["broker"], "tags": ""})
        rabbitmq_server.api("PUT", f"permissions/{vhost}/ann", rights)
        with redis.client() as client:
            client.config_set("requirepass", ODD["redis"])
        settings = _settings(links, vhost, database, mail.port)
        yield Servers(rabbitmq_server, redis, links, settings)
        rabbitmq_server.api("DELETE", "users/ann")


def _settings(
    links: Mapping[str, Link], vhost: str, database: str, mail_port: int
) -> dict[str, str]:
    """Give settings with a secret wherever one can be."""
    word = {name: quote(secret, safe="") for name, secret in ODD.items()}
    broker, redis = (f"{LOOPBACK}:{links[name].port}" for name in ("broker", "redis"))
    return {
        "CELERIAC_BROKER_URL": f"amqp://ann:{word['broker']}@{broker}/{vhost}",
        "CELERIAC_REDIS_URL": f"redis://:{word['redis']}@{redis}/0",
        "CELERIAC_HISTORY_URL": links["history"].url(database),
        "CELERIAC_SMTP_URL": f"smtp://ann:{word['mail']}@{LOOPBACK}:{mail_port}",
        "CELERIAC_SECRET_KEY": ODD["secret key"],
        "CELERIAC_MESSAGE_KEYS": f"new:{ODD['new message key']},old:{ODD['old message key']}",
        "CELERIAC_AUTHENTICATION": "on",
        "CELERIAC_OIDC_ISSUER": f"http://{LOOPBACK}:1/away",
        "CELERIAC_OIDC_CLIENT_ID": "celeriac",
        "CELERIAC_OIDC_DEFAULT_ROLE": "viewer",
        "CELERIAC_OIDC_CLIENT_SECRET": ODD["provider"],
        "CELERIAC_TASKS": "celeriac.tasks,leaky_tasks",
        "CELERIAC_LOG_LEVEL": "DEBUG",
        "CELERIAC_STOP_GRACE_S": "2",
        "CELERIAC_PUBLISH_TIMEOUT_S": "20",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }


@dataclass
class Attack:
    """A stack, a person with a browser, and all that they were given."""

    stack: RunningStack
    environment: Mapping[str, str]
    outputs: Outputs
    token: str = ""
    browser: urllib.request.OpenerDirector = field(init=False)
    cookies: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    def __post_init__(self) -> None:
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> str:
        """Ask the web as a person, or as a program with a token; give headers and body."""
        request = urllib.request.Request(f"{self.stack.url}{path}", data, headers)
        try:
            with self.browser.open(request, timeout=60) as answer:
                return f"{answer.headers}\n{answer.read(1_000_000).decode(errors='replace')}"
        except urllib.error.HTTPError as error:
            with error:
                return f"{error.status}\n{error.headers}\n{error.read().decode(errors='replace')}"

    def send(self, path: str, **fields: str) -> str:
        """Send a form as its page has it."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.ask(path))
        assert found, f"{path} has no form"
        return self.ask(path, urlencode({**fields, "csrf_token": found[1]}).encode())

    def look_everywhere(self, when: str) -> None:
        """Keep what every page answers, to a person and, where it is an API's, to a program."""
        with ThreadPoolExecutor(AT_ONCE) as asking:  # Where something is away, most of it waits.
            for page, answer in zip(PAGES, asking.map(self._look, PAGES), strict=True):
                self.outputs.texts[f"{page} with {when}"] = answer
        as_json = self.ask(f"/welcome/{FAULT}", Accept="application/json")
        self.outputs.texts[f"a failing link as JSON with {when}"] = as_json

    def _look(self, page: str) -> str:
        if page.startswith("/api/"):
            answer = self.ask(page, Authorization=f"Bearer {self.token}")
        else:
            answer = self.ask(page, Accept="text/html")
        # A page may lead to itself, so that somebody tries again.
        return self._without_own(answer).replace(f'href="{page}"', "")

    def run_commands(self, when: str, commands: Sequence[Sequence[str]]) -> None:
        """Keep what each command prints."""
        with ThreadPoolExecutor(AT_ONCE // 2) as running:
            printed = running.map(lambda words: self.command(*words), commands)
            for words, text in zip(commands, printed, strict=True):
                self.outputs.texts[f"{' '.join(words)}{when}"] = text

    def command(self, *words: str) -> str:
        """Run a command, and give what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "celeriac", *words],
            env={**self.environment, "CELERIAC_DATA_DIR": str(self.stack.data_dir)},
            cwd=self.stack.folder / "home",
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        return done.stdout + done.stderr

    def submit(self, task: str, args: Mapping[str, object]) -> str:
        """Submit a run with the token; give its answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps({"args": args}).encode()
        return self.ask(f"/api/v1/tasks/{task}/runs", data, **headers)

    def _without_own(self, answer: str) -> str:
        """Leave out what a browser must be told of its own: its cookie."""
        return re.sub(r"(?im)^set-cookie:.*$", "", answer)


def _says(stack: RunningStack, *signs: str) -> Callable[[], bool]:
    """Tell whether each of these came after now."""
    before = len(stack.log)
    return lambda: all(sign in stack.log[before:] for sign in signs)


@contextmanager
def _failing(fail: Callable[[], object], mend: Callable[[], object]) -> Iterator[None]:
    fail()
    try:
        yield
    finally:
        mend()


@pytest.fixture(scope="module")
def attack(places: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    """Run a stack, let everything of it fail in turn, and give what came of it."""
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, environment=places.environment) as stack:
        environment = {**clean_environment(folder / "home"), **places.environment}
        found = Attack(stack, environment, Outputs(dict(ODD)))
        _sign_in(found)
        _run_tasks(found)
        found.look_everywhere("all well")
        for name in ("broker", "redis", "history"):
            with _failing(partial(places.cut, name), partial(places.restore, name)):
                found.outputs.texts[f"submit without {name}"] = found.submit(
                    "text.reverse", {"text": "x"}
                )
                found.look_everywhere(f"no {name}")
                found.run_commands(f" without {name}", (["doctor"], ["runs", "list"]))
            eventually(lambda: "503" not in found.ask("/readyz")[:3], deadline_s=WITHIN_S)
        refused = _says(stack, "ACCESS_REFUSED", "invalid username-password pair")
        with _failing(
            lambda: places.set_passwords(WRONG["broker"], WRONG["redis"], now=ODD["redis"]),
            lambda: places.set_passwords(ODD["broker"], ODD["redis"], now=WRONG["redis"]),
        ):
            eventually(refused, deadline_s=WITHIN_S)
            found.look_everywhere("wrong passwords")
            found.run_commands(" with wrong passwords", COMMANDS)
        eventually(lambda: "503" not in found.ask("/readyz")[:3], deadline_s=WITHIN_S)
        found.run_commands("", COMMANDS)
        found.outputs.texts["flower"] = _flower(found)
        found.outputs.texts["celery"] = _celery(found)
        yield found


def _sign_in(attack: Attack) -> None:
    """Become the administrator, mistype the password, sign in, and make a token."""
    link = re.search(r"/welcome/([A-Za-z0-9_-]+)", attack.stack.log)
    assert link, "no link for the first administrator"
    fields = {"name": "ann", "password": ODD["person"], "again": ODD["person"]}
    attack.send(f"/welcome/{link[1]}", **fields)
    attack.outputs.texts["a spent link"] = attack.ask(f"/welcome/{link[1]}")
    attack.cookies.clear()
    wrong = attack.send("/sign-in", name="ann", password=ODD["wrong person"])
    attack.outputs.texts["a wrong password"] = wrong
    attack.outputs.texts["an odd header"] = attack.ask(
        "/api/v1/me", Authorization="Bearer cel_0123456789ab_" + "z" * 43
    )
    attack.send("/sign-in", name="ann", password=ODD["person"])
    attack.outputs.secrets["session"] = next(
        str(each.value) for each in attack.cookies if each.name == "celeriac_session"
    )
    token = attack.command("tokens", "create", "ann", "--label", "x", "--role", "admin")
    attack.token = token.split()[-1] if not token.startswith("cel_") else token.split()[0]
    assert "admin" in attack.ask("/api/v1/me", Authorization=f"Bearer {attack.token}")
    attack.outputs.secrets["token"] = attack.token
    made = attack.command("users", "link", "ann")
    attack.outputs.secrets["second link"] = made.strip().rpartition("/")[2]
    attack.ask(f"/welcome/{attack.outputs.secrets['second link']}")


def _run_tasks(attack: Attack) -> None:
    """Run what gives secrets away, and what a mail server refuses; look at the runs."""
    mail = {"to": ["bob@example.com"], "subject": "x", "body": "x"}
    for task, args in {"leaky.tell": {}, "email.send": mail}.items():
        answer = attack.submit(task, args)
        submitted = json.loads(answer.partition("\n\n")[2])
        assert "id" in submitted, f"{task}: {answer}"
        run_id = submitted["id"]
        bearer = f"Bearer {attack.token}"

        def ended(run_id: str = run_id, bearer: str = bearer) -> bool:
            shown = attack.ask(f"/api/v1/runs/{run_id}", Authorization=bearer)
            return any(f'"{state}"' in shown for state in ("FAILURE", "RETRY"))

        eventually(ended, deadline_s=WITHIN_S)
        for path in (f"/runs/{run_id}", f"/api/v1/runs/{run_id}"):
            for accept in ("text/html", "application/json"):
                where = f"{task} at {path} as {accept}"
                attack.outputs.texts[where] = attack.ask(path, Accept=accept, Authorization=bearer)
        attack.outputs.texts[f"run {task}"] = attack.command("run", "show", run_id)


def _flower(attack: Attack) -> str:
    """Run Flower with a user of its own, and give what it prints on its most talkative level."""
    port = free_port()
    process = ChildProcess(
        [sys.executable, "-m", "celeriac", "flower", f"--basic_auth=ann:{ODD['Flower']}"],
        attack.stack.folder / "flower.log",
        {**attack.environment, "CELERIAC_FLOWER_PORT": str(port)},
        attack.stack.folder,
    )
    process.start()
    try:
        eventually(lambda: not process.is_running or is_listening(port), deadline_s=WITHIN_S)
        for word in (ODD["Flower"], "wrong"):
            header = f"Basic {b64encode(f'ann:{word}'.encode()).decode()}"
            request = urllib.request.Request(f"http://{LOOPBACK}:{port}/workers")
            request.add_header("Authorization", header)
            try:
                urllib.request.urlopen(request, timeout=60).close()
            except urllib.error.HTTPError as error:
                error.close()
    finally:
        process.kill()
    return process.log_path.read_text(errors="replace")


def _celery(attack: Attack) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "celeriac", "report"],
        env=attack.environment, cwd=attack.stack.folder, capture_output=True, text=True,
        timeout=WITHIN_S, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.timeout(1500)
def test_nothing_that_fails_shows_a_secret(attack: Attack, count: Count) -> None:
    outputs = attack.outputs
    outputs.texts["celeriac up"] = attack.stack.log

    assert not outputs.leaks()
    count("pages, answers and outputs of commands searched for secrets", len(outputs.texts))
    count("lines of logs searched for secrets", attack.stack.log.count("\n"))
    count("secrets looked for", len(outputs.secrets))


@pytest.mark.timeout(1500)
def test_what_would_show_secrets_was_provoked(attack: Attack) -> None:
    log = attack.stack.log

    for sign in (
        "connecting to amqp://ann:***@",
        "printed amqp://ann:***@",
        "no way to amqp://ann:***@",
        "a fault of ours, with amqp://ann:***@",
        "GET /welcome/*** failed",
        "ACCESS_REFUSED",
        "invalid username-password pair",
        "Traceback (most recent call last)",
    ):
        assert sign in log, f"{sign!r} was not provoked"


@pytest.mark.timeout(1500)
def test_doctor_finds_no_secret_and_says_how_much_it_searched(attack: Attack) -> None:
    said = attack.outputs.texts["doctor"]

    assert re.search(r"secrets +the 8 that the settings hold: none in [0-9,]{3,} lines", said), said
