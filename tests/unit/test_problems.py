"""What clients get instead of an answer: a page for people, a problem for programs."""

import json
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from access_app import access_app
from celeriac.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    ResultsUnavailableError,
    RunNotFoundError,
    UnconfirmedError,
)
from celeriac.runs import Runs
from celeriac.settings import Settings, load_settings
from celeriac.web import create_app
from celeriac.web.hosts import trusted_names
from celeriac.web.problems import problem_of

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
JSON = {"Accept": "application/json"}
PROBLEM = "application/problem+json"
ALL = "0.0.0.0"  # noqa: S104 - only compared with
LIMIT_BYTES = 2_000


def _settings(**given: object) -> Settings:
    return load_settings(
        join_stack=False,
        broker_url="redis://localhost/0",
        redis_url="redis://localhost/1",
        max_body_bytes=LIMIT_BYTES,
        **given,
    )


def _app(**given: object) -> Flask:
    settings = _settings(**given)
    return create_app(settings, Runs.of(settings))


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return _app().test_client()


@pytest.fixture
def failing() -> Flask:
    """Give an app whose page `/fail/<code>` fails."""
    errors = {
        "broker": BrokerUnavailableError("No broker."),
        "results": ResultsUnavailableError("No Redis."),
        "run": RunNotFoundError("gone"),
        "bug": ZeroDivisionError("secret"),
    }
    app = _app()

    def fail(name: str) -> str:
        raise errors[name]

    app.add_url_rule("/fail/<name>", view_func=fail)
    return app


# --- Pages and problems --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/tasks/text.revers", "/nope", "/static/nope.css"])
def test_missing_page_is_a_page_for_people_and_a_problem_for_programs(
    client: FlaskClient, path: str
) -> None:
    page, problem = client.get(path, headers=PAGE), client.get(path, headers=JSON)

    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert (problem.status_code, problem.mimetype) == (404, PROBLEM)
    assert problem.get_json()["instance"] == path


@pytest.mark.parametrize("headers", [PAGE, JSON, {}])
def test_api_answers_problems_whoever_asks(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.get("/api/v1/tasks/text.revers", headers=headers)

    assert (answer.status_code, answer.mimetype) == (404, PROBLEM)
    assert answer.get_json()["near"] == ["text.reverse"]
    assert answer.get_json()["title"] == "Not Found"


def test_page_of_an_unknown_task_leads_to_similar_ones(client: FlaskClient) -> None:
    page = client.get("/tasks/text.revers", headers=PAGE).text

    assert "<h1>No such task</h1>" in page
    assert 'href="/tasks/text.reverse"' in page


@pytest.mark.parametrize(
    ("name", "status", "code", "heading"),
    [("broker", 503, "broker_unavailable", "The broker is away"),
     ("results", 503, "results_unavailable", "The result backend is away"),
     ("run", 404, "run_not_found", "No such run")],
)  # fmt: skip
def test_error_has_its_heading_its_code_and_a_time_to_come_again(
    failing: Flask, name: str, status: int, code: str, heading: str
) -> None:
    page = failing.test_client().get(f"/fail/{name}", headers=PAGE)
    problem = failing.test_client().get(f"/fail/{name}", headers=JSON)

    assert (page.status_code, problem.status_code) == (status, status)
    assert f"<h1>{heading}</h1>" in page.text and f"<code>{code}</code>" in page.text
    assert problem.get_json()["code"] == code
    assert ("Retry-After" in page.headers) == ("Retry-After" in problem.headers) == (status == 503)


@pytest.mark.parametrize("headers", [PAGE, JSON])
def test_fault_of_ours_tells_nothing(
    failing: Flask, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = failing.test_client().get("/fail/bug", headers=headers)

    assert answer.status_code == 500
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert "secret" in caplog.text


# --- Forms that cannot be taken ------------------------------------------------------------------


@pytest.mark.parametrize("token", [{}, {"csrf_token": "forged"}])
def test_form_without_a_good_token_says_to_reload(
    client: FlaskClient, token: dict[str, str]
) -> None:
    page = client.post("/tasks/text.reverse/runs", data={"args.text": "a"} | token, headers=PAGE)
    problem = client.post("/tasks/text.reverse/runs", data=token, headers=JSON)

    assert page.status_code == 400
    assert "<h1>Reload the form</h1>" in page.text and "Nothing was submitted" in page.text
    assert problem.get_json()["code"] == "stale_form"


def test_form_above_the_limit_says_the_limit(client: FlaskClient) -> None:
    data = {"args.text": "a" * LIMIT_BYTES}

    page = client.post("/tasks/text.reverse/runs", data=data, headers=PAGE)

    assert page.status_code == 413
    assert f"{LIMIT_BYTES} bytes (CELERIAC_MAX_BODY_BYTES)" in page.text


# --- Hosts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:5000", "LocalHost:1", "[::1]", "[::1]:5000", "localhost."]
)
def test_own_names_are_trusted(client: FlaskClient, host: str) -> None:
    assert client.get("/tasks", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "a b", "", "[::2]", "x@localhost"]
)
@pytest.mark.parametrize("path", ["/tasks", "/nope", "/api/v1/tasks", "/openapi.json"])
def test_other_names_get_a_plain_problem_that_names_the_setting(
    client: FlaskClient, host: str, path: str
) -> None:
    answer = client.get(path, headers={"Host": host, **PAGE})

    assert (answer.status_code, answer.mimetype) == (400, PROBLEM)
    assert answer.get_json()["code"] == "untrusted_host"
    assert "CELERIAC_TRUSTED_HOSTS" in answer.get_json()["detail"]


def test_probes_may_use_any_name(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"Host": "10.0.0.7:5000"}).status_code == 200


@pytest.mark.parametrize(
    ("given", "host", "trusted"),
    [({"trusted_hosts": "a.example, .b.example:80"}, "a.example", True),
     ({"trusted_hosts": "a.example, .b.example"}, "www.b.example:8080", True),
     ({"trusted_hosts": "a.example, .b.example"}, "b.example", True),
     ({"trusted_hosts": "a.example, .b.example"}, "localhost", True),
     ({"trusted_hosts": "a.example, .b.example"}, "www.a.example", False),
     ({"trusted_hosts": "a.example, .b.example"}, "evilb.example", False),
     ({"trusted_hosts": "fe80::1,[fe80::2]:80"}, "[fe80::1]:5000", True),
     ({"trusted_hosts": "fe80::1,[fe80::2]:80"}, "[fe80::2]", True),
     ({"trusted_hosts": "bücher.example"}, "xn--bcher-kva.example", True),
     ({"trusted_hosts": "*"}, "anything", True),
     ({"host": "192.0.2.1"}, "192.0.2.1:5000", True),
     ({"host": "192.0.2.1"}, "192.0.2.2", False),
     ({"host": ALL}, "anything", True),
     ({"host": "::"}, "anything", True),
     ({"host": ALL, "trusted_hosts": "a.example"}, "anything", False),
     ({"host": ALL, "trusted_hosts": "a.example"}, "a.example", True)],
)  # fmt: skip
def test_setting_decides_which_names_are_trusted(
    tmp_path: Path, given: dict[str, str], host: str, trusted: bool
) -> None:
    with access_app(tmp_path, **given) as web:
        answer = web.app.test_client().get("/tasks", headers={"Host": host})

    assert answer.status_code == (401 if trusted else 400)


@pytest.mark.parametrize("entry", [".", "a..b\u00e9", "http://a.example", "[fe80::", ":80"])
def test_entry_that_is_no_host_stops_the_start(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="CELERIAC_TRUSTED_HOSTS"):
        trusted_names(_settings(trusted_hosts=f"a.example,{entry}"))


def test_problem_is_json_whatever_the_address_holds(client: FlaskClient) -> None:
    answer = client.get("/%ff%00\u2028", headers=JSON)

    assert json.loads(answer.data)["status"] == 404


def test_problem_of_an_unconfirmed_submission_names_the_run_that_it_would_be() -> None:
    found = problem_of(UnconfirmedError("the-run"))

    assert (found["status"], found["code"], found["run_id"]) == (503, "unconfirmed", "the-run")
    assert "run_id" not in problem_of(BrokerUnavailableError("away"))
