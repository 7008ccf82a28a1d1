"""Changes that a page of another site asks for, without any body that would give it away."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import cast

import pytest
from flask.testing import FlaskClient
from werkzeug.routing import BaseConverter, Rule

from access_app import NO_RUNS
from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.origins import SAFE

FOLDER = TemporaryDirectory()
SETTINGS = load_settings(
    join_stack=False,
    broker_url="redis://localhost/0",
    redis_url="redis://localhost/1",
    history_url=f"sqlite:///{FOLDER.name}/history.db",
)
# Nothing of it is reached: a view that begins to work fails at once.
APP = create_app(SETTINGS, cast(Runs, NO_RUNS))
PAUSE = "/api/v1/queues/q/pause"


def _value(converter: BaseConverter) -> str:
    """Give a value that the converter takes; `any` alone has its words in the pattern."""
    return converter.regex.strip("()?:").split("|")[0] if "|" in converter.regex else "x"


def _unsafe() -> Iterator[tuple[str, str]]:
    """Yield the method and an address of every rule that changes something."""
    with APP.test_request_context():
        for rule in APP.url_map.iter_rules():
            for method in (rule.methods or set()) - SAFE:
                yield method, _address(rule)


def _address(rule: Rule) -> str:
    adapter = APP.url_map.bind("localhost")
    return adapter.build(rule.endpoint, {k: _value(c) for k, c in rule._converters.items()})


UNSAFE = sorted(_unsafe())
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    {"Origin": "http://elsewhere.example"},
    {"Origin": "http://localhost:8080"},
    {"Origin": "null"},
    {"Origin": "http://["},
]


@pytest.fixture
def client() -> FlaskClient:
    return APP.test_client()


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: " ".join(headers.values()))
@pytest.mark.parametrize(("method", "address"), UNSAFE)
def test_every_change_is_refused_to_another_site(
    client: FlaskClient, method: str, address: str, headers: dict[str, str]
) -> None:
    answer = client.open(address, method=method, headers=headers)

    assert (answer.status_code, answer.get_json()["code"]) == (403, "cross_site")


def test_all_changes_of_the_api_and_of_the_pages_are_known() -> None:
    some = {"/api/v1/queues/x/pause", "/api/v1/runs/x/cancel", "/queues/x/purge", "/runs/actions"}

    assert some <= {address for _, address in UNSAFE}
    assert len(UNSAFE) > 15


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://localhost"},
        {"Origin": "https://localhost"},
        {"Origin": "https://LOCALHOST:443"},
    ],
    ids=lambda headers: " ".join(headers.values()) or "a program",
)
def test_our_own_pages_and_programs_may_ask(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.post(PAUSE, headers=headers, data="{", content_type="application/json")

    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_request")


def test_reading_is_free(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_person_gets_a_page(client: FlaskClient) -> None:
    answer = client.post(
        "/queues/q/pause", headers={"Origin": "http://elsewhere.example", "Accept": "text/html"}
    )

    assert (answer.status_code, answer.mimetype) == (403, "text/html")
    assert "A page of another site asked for this change." in answer.text
