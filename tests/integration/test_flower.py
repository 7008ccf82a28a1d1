"""The web shows a real Flower to those who have signed in, and nobody else gets at it."""

import http.client
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from werkzeug.datastructures import Headers

import servers
from access_app import PASSWORD, ROOT
from celeriac.access import Access, Role, TokenOrder
from celeriac.errors import FlowerUnavailableError
from celeriac.settings import load_settings
from celeriac.web.flower_link import FlowerLink, Limits, Question
from eventually import eventually
from flower_process import BASIC_AUTH, FlowerProcess, running_flower
from processes import LOOPBACK, free_port
from servers import RedisServer
from web_process import Answer, WebProcess, running_web
from worker_process import CHATTY_ENVIRONMENT, celeriac_environment, running_worker

QUICK = Limits(connect_s=2, silence_s=0.5, longest_s=2, most_bytes=1_000_000)
PAGE = Question("GET", "/flower/", Headers())


@dataclass(frozen=True)
class Site:
    """A web where people sign in, the Flower that it shows, and a token for each role."""

    web: WebProcess
    flower: FlowerProcess
    access: Access
    tokens: Mapping[Role, str]

    def get(self, path: str, role: Role | None = None, **headers: str) -> Answer:
        """Ask the web for a path with the token of a role."""
        shown = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self.web.port}{path}", headers={**shown, **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def post(self, path: str, role: Role, body: object = None) -> Answer:
        """Post JSON to the web with the token of a role."""
        return self.web.post(path, body, Authorization=f"Bearer {self.tokens[role]}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, valkey_server: RedisServer) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("flower")
    valkey_server.flush()
    history = f"sqlite:///{folder}/history.db"
    access = Access(history)
    access.prepare()
    tokens = {}
    for role in Role:
        access.users.add(ROOT, str(role), role)
        access.users.set_password(ROOT, str(role), PASSWORD)
        order = TokenOrder("test", role)
        tokens[role] = access.tokens.create(ROOT, access.users.get(str(role)), order)[1]
    url = valkey_server.url
    settings = {**CHATTY_ENVIRONMENT, "CELERIAC_AUTHENTICATION": "on"}
    history_of = {"CELERIAC_HISTORY_URL": history}
    with (
        running_worker(folder, url, url, CHATTY_ENVIRONMENT),
        running_flower(folder, url, url, settings) as flower,
        running_web(folder, url, url, {**settings, **history_of, **flower.for_the_web}) as web,
    ):
        yield Site(web, flower, access, tokens)
    access.close()


def _submitted(site: Site, path: Path) -> str:
    """Submit a run that waits for a file, and give its identifier."""
    body = {"args": {"path": str(path)}}
    submitted = site.post("/api/v1/tasks/chatty.until/runs", Role.OPERATOR, body)
    assert submitted.status == 202, submitted.body
    return str(submitted.json["id"])


def _waiting_run(site: Site, path: Path) -> str:
    run_id = _submitted(site, path)
    eventually(
        lambda: site.get(f"/api/v1/runs/{run_id}", Role.VIEWER).json["state"] == "STARTED",
        deadline_s=30,
    )
    return run_id


def test_viewer_sees_workers_and_tasks(site: Site, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    run_id = _submitted(site, tmp_path / "there")

    page = site.get("/flower/", Role.VIEWER)
    assert page.status == 200 and b'href="/flower/tasks"' in page.body
    assert "Set-Cookie" not in page.headers and page.headers["Server"] == "granian"

    def names() -> list[str]:
        workers = site.get("/flower/workers?json=1", Role.VIEWER).json["data"]
        return [worker["hostname"] for worker in workers]

    (name,) = eventually(names, deadline_s=30)
    found = eventually(
        lambda: run_id in (tasks := site.get("/flower/api/tasks", Role.VIEWER).json) and tasks,
        deadline_s=30,
    )
    assert found[run_id]["name"] == "chatty.until"
    assert site.get(f"/flower/worker/{name}", Role.VIEWER).status == 200
    assert site.get("/flower/metrics", Role.VIEWER).status == 200


def test_file_of_a_page_is_asked_for_once(site: Site) -> None:
    first = site.get("/flower/static/css/flower.css", Role.VIEWER)
    tag = first.headers["Etag"]

    again = site.get("/flower/static/css/flower.css", Role.VIEWER, **{"If-None-Match": tag})

    assert (first.status, again.status, again.body) == (200, 304, b"")


def test_stranger_gets_at_flower_by_no_way(site: Site) -> None:
    page = http.client.HTTPConnection(LOOPBACK, site.web.port, timeout=30)
    with closing(page):
        page.request("GET", "/flower/", headers={"Accept": "text/html"})
        assert page.getresponse().getheader("Location") == "/sign-in?next=/flower/"
    assert site.get("/flower/api/workers").status == 401

    for path in ("/", "/flower/", "/flower/tasks", "/flower/api/workers", "/flower/metrics"):
        assert site.flower.status(path) == 401, path
        assert site.flower.status(path, "web:guessed-guessed-guessed") == 401, path
        assert site.flower.status(path, BASIC_AUTH) == 200, path


def test_operator_revokes_a_run_and_the_trail_tells(site: Site, tmp_path: Path) -> None:
    run_id = _waiting_run(site, tmp_path / f"never-{uuid4()}")
    path = f"/flower/api/task/revoke/{run_id}?terminate=true"
    assert site.post(path, Role.VIEWER).status == 403

    answer = site.post(path, Role.OPERATOR)

    assert (answer.status, answer.json) == (200, {"message": f"Revoked '{run_id}'"})
    eventually(
        lambda: site.get(f"/api/v1/runs/{run_id}", Role.VIEWER).json["state"] == "REVOKED",
        deadline_s=30,
    )

    def told() -> list[tuple[str, str]]:
        entries = site.access.audit.find().entries
        return [
            (e.actor, e.outcome) for e in entries if (e.action, e.target) == ("run.cancel", run_id)
        ]

    eventually(lambda: told() == [("operator", "ok"), ("viewer", "forbidden")], deadline_s=20)


def test_worker_grows_for_an_administrator_alone(site: Site) -> None:
    (name,) = eventually(
        lambda: [*site.get("/flower/api/workers?refresh=1", Role.VIEWER).json], deadline_s=30
    )
    path = f"/flower/api/worker/pool/grow/{name}?n=1"

    statuses = [site.post(path, role).status for role in (Role.OPERATOR, Role.ADMIN)]

    assert statuses == [403, 200]


def test_flower_that_asks_for_another_password_is_told(site: Site) -> None:
    settings = load_settings(
        join_stack=False,
        flower_url=site.flower.url,
        flower_basic_auth="web:another-password-of-the-tests",
    )

    with pytest.raises(FlowerUnavailableError, match=r"refuses the web.*_BASIC_AUTH"):
        FlowerLink(settings).ask(PAGE)


def test_open_flower_tells_what_to_do_instead_of_starting(
    tmp_path: Path, valkey_server: RedisServer
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", "flower", "--host", "0.0.0.0"],  # noqa: S104 - refused
        env=celeriac_environment(tmp_path, valkey_server.url, valkey_server.url),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2
    assert "CELERIAC_FLOWER_BASIC_AUTH=USER:PASSWORD" in done.stderr
    assert done.stderr.count("\n") == 1


# --- A Flower that behaves badly ------------------------------------------------------------------


@contextmanager
def _answering(*pieces: bytes, hold: bool = False) -> Iterator[FlowerLink]:
    """Give the way to a server that answers this to one request; `hold` keeps it open then."""
    done = threading.Event()
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)
                if hold:
                    done.wait(30)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://{LOOPBACK}:{server.getsockname()[1]}"
        yield FlowerLink(load_settings(join_stack=False, flower_url=url), QUICK)
        done.set()
        thread.join(30)


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",), "broke off"),
        ((b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1_100_000), "too long"),
    ],
    ids=["half", "endless"],
)
def test_part_of_an_answer_is_never_taken_for_a_whole_one(
    pieces: tuple[bytes, ...], why: str
) -> None:
    with (
        _answering(*pieces) as link,
        closing(link.ask(PAGE)) as answer,
        pytest.raises(FlowerUnavailableError, match=why),
    ):
        list(answer.body)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_silence_is_not_waited_for_longer_than_it_may_last(said: bytes) -> None:
    pieces = [said] if said else []
    with (
        _answering(*pieces, hold=True) as link,
        pytest.raises((FlowerUnavailableError, TimeoutError)),
        closing(link.ask(PAGE)) as answer,
    ):
        list(answer.body)


@pytest.mark.parametrize(
    "said", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 500 Oh\r\n\r\nTraceback of a secret"]
)
def test_what_is_no_answer_is_told_as_flower_being_away(said: bytes) -> None:
    with _answering(said) as link, pytest.raises(FlowerUnavailableError) as caught:
        link.ask(PAGE)

    assert "secret" not in str(caught.value)


def test_slot_is_free_again_after_each_failure() -> None:
    url = f"http://{LOOPBACK}:{free_port()}"
    link = FlowerLink(load_settings(join_stack=False, flower_url=url), Limits(at_once=1))

    for _ in range(3):
        with pytest.raises(FlowerUnavailableError, match="does not answer"):
            link.ask(PAGE)


@pytest.mark.timeout(300)
def test_health_tells_whether_the_broker_answers_and_flower_ends_without_it(tmp_path: Path) -> None:
    with (
        servers.redis_server(tmp_path) as redis,
        running_flower(tmp_path, redis.url, redis.url) as flower,
    ):
        health = "/flower/healthcheck"
        eventually(lambda: flower.status(health) == 200, deadline_s=60)

        redis.stop()
        eventually(lambda: flower.status(health) == 503, deadline_s=60)

        redis.start()
        eventually(lambda: flower.status(health) == 200, deadline_s=60)

        redis.stop()
        eventually(lambda: flower.status(health) == 503, deadline_s=60)
        assert flower.process.stop() == 0
