"""Pages over real servers: forms as a browser without scripts sends them, and servers away."""

import math
import socket
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from html.parser import HTMLParser
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from celery import Celery
from flask.testing import FlaskClient
from pydantic import BaseModel, Field, SecretStr
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from celeriac.app import create_app as create_celery
from celeriac.runs import Runs
from celeriac.settings import Settings, load_settings
from celeriac.web import create_app
from processes import LOOPBACK, free_port
from servers import RabbitMQServer, RedisServer
from services import Services

PAGE = {"Accept": "text/html"}
ANSWERS_WITHIN_S = 3.9
"""A server that is silent is waited for once, for two seconds."""
REVERSE = "/tasks/text.reverse"


class _Form(HTMLParser):
    """Reads what a browser without scripts would send of a page's form, untouched."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: MultiDict[str, str] = MultiDict()
        self._is_inside = False
        self._template_depth = 0
        self._open: tuple[str, dict[str, str | None], list[str]] | None = None
        self._select: list[tuple[str, bool]] = []
        self._select_name = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            self._is_inside = "data-run-form" in found
        self._template_depth += tag == "template"
        if not self._is_inside or self._template_depth:
            return
        if tag == "input" and found.get("name"):
            self._take_input(found)
        elif tag == "textarea":
            self._open = (tag, found, [])
        elif tag == "select":
            self._select, self._select_name = [], found["name"] or ""
        elif tag == "option":
            self._select.append((found.get("value") or "", "selected" in found))

    def _take_input(self, found: dict[str, str | None]) -> None:
        if found.get("type") in ("checkbox", "radio") and "checked" not in found:
            return
        self.sent.add(found["name"] or "", found.get("value") or "")

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[2].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._template_depth -= tag == "template"
        if tag == "textarea" and self._open:
            _, found, parts = self._open
            # A browser drops the line feed behind the tag, and sends the others as CR LF.
            text = "".join(parts).removeprefix("\n").replace("\n", "\r\n")
            self.sent.add(found["name"] or "", text)
            self._open = None
        if tag == "select" and self._select_name and not self._template_depth:
            chosen = [value for value, selected in self._select if selected]
            self.sent.add(self._select_name, (chosen or [self._select[0][0]])[-1])
            self._select_name = ""
        if tag == "form":
            self._is_inside = False


def _form(client: FlaskClient, path: str) -> MultiDict[str, str]:
    page = client.get(path, headers=PAGE)
    assert page.status_code == 200, page.text
    reader = _Form()
    reader.feed(page.text)
    assert "csrf_token" in reader.sent
    return reader.sent


def _post(client: FlaskClient, path: str, **controls: str) -> TestResponse:
    """Send a task's form with these controls filled in, `__` standing for the dot."""
    data = _form(client, path)
    for name, text in controls.items():
        data[name.replace("__", ".")] = text
    return client.post(f"{path}/runs", data=data, headers=PAGE)


def _runs(broker_url: str, redis_url: str) -> Runs:
    return Runs.of(load_settings(join_stack=False, broker_url=broker_url, redis_url=redis_url))


def _client(broker_url: str, redis_url: str) -> FlaskClient:
    settings = load_settings(join_stack=False, broker_url=broker_url, redis_url=redis_url)
    return create_app(settings, Runs.of(settings)).test_client()


# --- Forms that are sent as they are -----------------------------------------------------------


class Colour(Enum):
    RED = "red"
    GREEN = 2


class Address(BaseModel):
    street: str = "Main"
    zip_code: str | None = "1000"
    tags: list[str] = ["home"]


HIDDEN = SecretStr("hidden")
SEVEN = UUID(int=7)
HOME = Address()
HOMES = [HOME, Address(zip_code=None)]


def no_arguments() -> None: ...


def texts(
    a: str = "",
    b: str = "two\nlines\n",
    c: str | None = None,
    d: str | None = "d",
    e: Literal["x", "y"] = "y",
    f: Literal["p", "q", "r", "s"] | None = None,
    g: SecretStr = HIDDEN,
    h: Annotated[str, Field(max_length=500)] = "  spaced  ",
) -> None: ...


def numbers(
    a: int = 1,
    b: float = 0.5,
    c: float = math.inf,
    d: float | None = math.nan,
    e: int | None = 7,
    f: Decimal = Decimal("1.50"),
    g: bool = True,
    h: bool = False,
    i: bool | None = None,
    j: bool | None = True,
    k: int | str = "3",
) -> None: ...


def instants(
    a: datetime = datetime(2030, 1, 31, 9, 0, 0, 250_000, tzinfo=UTC),
    b: date = date(2030, 1, 31),
    c: timedelta = timedelta(seconds=90),
    d: UUID = SEVEN,
    e: Colour = Colour.GREEN,
    f: datetime | None = None,
) -> None: ...


def structures(
    a: list[int] = [1, 2],  # noqa: B006 - read only
    b: dict[str, int] = {"x": 1},  # noqa: B006
    c: Address = HOME,
    d: Address | None = None,
    e: list[Address] = HOMES,
    f: tuple[int, str] = (1, "a"),
    g: Any = None,
    h: Any = "1",
    i: list[list[int]] = [[1], []],  # noqa: B006
    j: set[str] = frozenset(),  # type: ignore[assignment]
    k: list[str] | None = None,
    **more: int,
) -> None: ...


ALL_OPTIONAL = [no_arguments, texts, numbers, instants, structures]


@pytest.fixture
def pages(services: Services, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """Give a client of an app that also has the tasks above."""
    monkeypatch.setattr("celeriac.runs.runs.create_app", _celery_with_samples)
    return _client(*services)


def _celery_with_samples(settings: Settings, *, publisher: bool) -> Celery:
    celery = create_celery(settings, publisher=publisher)
    for function in ALL_OPTIONAL:
        celery.task(name=f"sample.{function.__name__}", shared=False)(function)
    return celery


@pytest.mark.parametrize("name", [f.__name__ for f in ALL_OPTIONAL])
def test_untouched_form_of_optional_arguments_is_accepted(pages: FlaskClient, name: str) -> None:
    answer = _post(pages, f"/tasks/sample.{name}")

    assert answer.status_code == 303, answer.text
    assert pages.get(answer.headers["Location"], headers=PAGE).status_code == 200


def test_form_that_holds_nothing_at_all_is_accepted(pages: FlaskClient) -> None:
    token = _form(pages, "/tasks/sample.numbers")["csrf_token"]

    answer = pages.post("/tasks/sample.numbers/runs", data={"csrf_token": token}, headers=PAGE)

    assert answer.status_code == 303, answer.text


@pytest.mark.parametrize(
    ("name", "control", "typed"),
    [("texts", "args__a", "a\0b"), ("structures", "args__g", '"\\ud800"'),
     ("structures", "args__g", '{"a": ["\\u0000"]}'), ("structures", "args__*", '{"\\udfff": 1}'),
     ("instants", "args__a", "\0"), ("texts", "options__queue", "\0"), ("texts", "args__e", "\0")],
)  # fmt: skip
def test_character_that_nothing_can_hold_is_a_field_problem(
    pages: FlaskClient, name: str, control: str, typed: str
) -> None:
    answer = _post(pages, f"/tasks/sample.{name}", **{control: typed})

    assert answer.status_code == 422
    assert "no text may hold it" in answer.text and 'aria-invalid="true"' in answer.text


@pytest.mark.parametrize("body", [b"args.a=%ED%A0%80", b"args.a=%FF%FE", b"\0\xff=%", b"args.a"])
def test_body_that_is_no_text_never_breaks_the_form(pages: FlaskClient, body: bytes) -> None:
    token = _form(pages, "/tasks/sample.texts")["csrf_token"]

    answer = pages.post(
        "/tasks/sample.texts/runs",
        data=body,
        headers=PAGE | {"X-CSRFToken": token},
        content_type="application/x-www-form-urlencoded",
    )

    assert answer.status_code in (303, 422)


def test_snippets_of_half_a_character_are_drawn(pages: FlaskClient) -> None:
    data = _form(pages, "/tasks/sample.structures")
    data["args.g"] = '"\\ud800"'

    answer = pages.post("/tasks/sample.structures/snippets", data=data, headers=PAGE)

    assert answer.status_code == 200


# --- Servers that are away ---------------------------------------------------------------------


@pytest.fixture(params=["refused", "silent"])
def dead_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """Give a port that refuses connections, or one that takes them and never answers."""
    if request.param == "refused":
        yield free_port()
        return
    with socket.create_server((LOOPBACK, free_port())) as server:
        yield server.getsockname()[1]


def _timed(client: FlaskClient, method: str, path: str, **more: Any) -> TestResponse:
    """Send a request and check that its answer comes soon and tells no secret."""
    started_s = time.monotonic()
    answer = client.open(path, method=method, headers=PAGE, **more)
    took_s = time.monotonic() - started_s
    assert took_s < ANSWERS_WITHIN_S, f"{method} {path} took {took_s:.1f} s"
    assert "hunter2" not in answer.text and "Traceback" not in answer.text
    return answer


def _assert_away(answer: TestResponse, *words: str) -> None:
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert int(answer.headers["Retry-After"]) > 0
    assert all(word in answer.text for word in words), answer.text


def _filled(client: FlaskClient) -> MultiDict[str, str]:
    data = _form(client, REVERSE)
    data["args.text"] = "do not lose me"
    return data


@pytest.fixture
def without_redis(rabbitmq_server: RabbitMQServer, dead_port: int) -> Iterator[FlaskClient]:
    with rabbitmq_server.fresh_vhost() as broker_url:
        yield _client(broker_url, f"redis://:hunter2@{LOOPBACK}:{dead_port}")


@pytest.mark.parametrize("path", ["/tasks", REVERSE, "/docs"])
def test_pages_that_need_no_server_work_without_redis(
    without_redis: FlaskClient, path: str
) -> None:
    assert _timed(without_redis, "GET", path).status_code == 200


def test_form_from_an_earlier_run_says_that_redis_is_away(without_redis: FlaskClient) -> None:
    answer = _timed(without_redis, "GET", f"{REVERSE}?from=some-run")

    assert answer.status_code == 200
    assert "The input of that run cannot be read" in answer.text


def test_run_without_redis(without_redis: FlaskClient) -> None:
    answer = _timed(without_redis, "GET", "/runs/some-run")

    _assert_away(answer, "<h1>The result backend is away</h1>", "Try again")


def test_submission_without_redis_keeps_the_input(without_redis: FlaskClient) -> None:
    data = _filled(without_redis)

    answer = _timed(without_redis, "POST", f"{REVERSE}/runs", data=data)

    _assert_away(answer, "do not lose me", "Your input is kept")


def test_cancel_without_redis(without_redis: FlaskClient) -> None:
    token = _form(without_redis, REVERSE)["csrf_token"]

    answer = _timed(without_redis, "POST", "/runs/r/cancel", data={"csrf_token": token})

    _assert_away(answer, "<h1>The result backend is away</h1>")


@pytest.fixture(params=["amqp", "redis"])
def without_broker(
    request: pytest.FixtureRequest, redis_server: RedisServer, dead_port: int
) -> FlaskClient:
    redis_server.flush()
    broker_url = f"{request.param}://user:hunter2@{LOOPBACK}:{dead_port}"
    return _client(broker_url, redis_server.url)


@pytest.mark.parametrize("path", ["/tasks", REVERSE])
def test_pages_that_need_no_server_work_without_a_broker(
    without_broker: FlaskClient, path: str
) -> None:
    assert _timed(without_broker, "GET", path).status_code == 200


def test_submission_without_a_broker_keeps_the_input(without_broker: FlaskClient) -> None:
    data = _filled(without_broker)

    answer = _timed(without_broker, "POST", f"{REVERSE}/runs", data=data)

    _assert_away(answer, "do not lose me", "Your input is kept", "The broker did not")


def test_run_that_waits_can_be_seen_and_cancelled_without_a_broker(
    without_broker: FlaskClient, redis_server: RedisServer
) -> None:
    run_id = (
        _client(redis_server.url, redis_server.url)
        .post("/api/v1/tasks/text.reverse/runs", json={"args": {"text": "a"}})
        .get_json()["id"]
    )
    token = _form(without_broker, REVERSE)["csrf_token"]

    assert _timed(without_broker, "GET", f"/runs/{run_id}").status_code == 200
    answer = _timed(without_broker, "POST", f"/runs/{run_id}/cancel", data={"csrf_token": token})

    assert answer.status_code == 303
    assert without_broker.get(f"/api/v1/runs/{run_id}").get_json()["state"] == "REVOKED"
