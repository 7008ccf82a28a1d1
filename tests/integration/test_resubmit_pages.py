"""Resubmitting in the UI: at once with a button, or through the form, filled and linked."""

import re
from html import unescape
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict

from celeriac.history import History
from celeriac.runs import Runs, SubmitOptions
from celeriac.settings import Settings, load_settings
from celeriac.web import create_app
from history_events import Stream
from services import Services

PAGE = {"Accept": "text/html"}
REVERSE = "/tasks/text.reverse"


@pytest.fixture
def settings(services: Services, tmp_path: Path) -> Settings:
    return load_settings(
        join_stack=False,
        broker_url=services.broker_url,
        redis_url=services.redis_url,
        history_url=f"sqlite:///{tmp_path}/history.db",
    )


@pytest.fixture
def runs(settings: Settings) -> Runs:
    return Runs.of(settings)


@pytest.fixture
def client(settings: Settings, runs: Runs) -> FlaskClient:
    return create_app(settings, runs).test_client()


@pytest.fixture
def earlier(runs: Runs) -> str:
    options = SubmitOptions.of({"priority": 3, "tags": ["red", "blue sky"], "countdown": 60})
    return runs.submit("text.reverse", {"text": "<before>"}, options).id


def _token(client: FlaskClient) -> dict[str, str]:
    page = client.get("/tasks", headers=PAGE).text
    found = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert found
    return {"csrf_token": found[1]}


def _new_run(location: str, runs: Runs) -> str:
    run = runs.get(location.rpartition("/")[2])
    assert run.resubmit_of, run
    return run.id


def test_button_submits_again_and_the_new_run_leads_back(
    client: FlaskClient, runs: Runs, earlier: str
) -> None:
    answer = client.post(f"/runs/{earlier}/resubmit", data=_token(client), headers=PAGE)

    assert answer.status_code == 303
    new = runs.get(_new_run(answer.headers["Location"], runs))
    assert (new.args, new.tags) == ({"text": "<before>"}, ["red", "blue sky"])
    page = client.get(answer.headers["Location"], headers=PAGE).text
    assert f'This run has the input of <a href="/runs/{earlier}">' in page
    assert "has the input of" not in client.get(answer.headers["Location"], headers=PAGE).text


def test_button_needs_the_proof_of_where_it_comes_from(client: FlaskClient, earlier: str) -> None:
    assert client.post(f"/runs/{earlier}/resubmit", headers=PAGE).status_code == 400


def test_button_of_an_unknown_run_says_so(client: FlaskClient) -> None:
    answer = client.post("/runs/none/resubmit", data=_token(client), headers=PAGE)

    assert (answer.status_code, "No such run" in answer.text) == (404, True)


def test_form_is_filled_with_the_input_and_keeps_the_link(
    client: FlaskClient, runs: Runs, earlier: str
) -> None:
    page = client.get(f"{REVERSE}?from={earlier}", headers=PAGE).text
    assert f'name="resubmit_of" value="{earlier}"' in page
    for text in ("<before>", "red", "blue sky"):
        assert text in unescape(page)
    data = _token(client) | {"args.text": "after", "options.tags.0": "green"}

    answer = client.post(f"{REVERSE}/runs", data=data | {"resubmit_of": earlier}, headers=PAGE)

    assert answer.status_code == 303, answer.text
    new = runs.get(_new_run(answer.headers["Location"], runs))
    assert (new.resubmit_of, new.args, new.tags) == (earlier, {"text": "after"}, ["green"])
    page = client.get(answer.headers["Location"], headers=PAGE).text
    assert f'This run was made from <a href="/runs/{earlier}">' in page
    assert new.priority is None, "what the form leaves blank is not taken from the earlier run"


def test_form_that_is_refused_keeps_the_link(client: FlaskClient, earlier: str) -> None:
    tags = {"options.tags.0": "twice", "options.tags.1": "twice"}
    data = _token(client) | {"args.text": "a", "resubmit_of": earlier} | tags

    answer = client.post(f"{REVERSE}/runs", data=data, headers=PAGE)

    assert answer.status_code == 422
    assert "Give each tag once." in answer.text
    assert f'name="resubmit_of" value="{earlier}"' in answer.text


def test_form_of_another_task_is_filled_and_not_linked(client: FlaskClient, earlier: str) -> None:
    page = client.get(f"/tasks/text.sentiment?from={earlier}", headers=PAGE).text

    assert "&lt;before&gt;" in page and 'name="resubmit_of"' not in page


def test_form_of_a_task_submits_that_task_whatever_the_link(
    client: FlaskClient, runs: Runs, earlier: str
) -> None:
    data = _token(client) | {"args.text": "well", "resubmit_of": earlier}

    answer = client.post("/tasks/text.sentiment/runs", data=data, headers=PAGE)

    assert answer.status_code == 303, answer.text
    new = runs.get(answer.headers["Location"].rpartition("/")[2])
    assert (new.task, new.resubmit_of) == ("text.sentiment", None)


def test_form_whose_earlier_run_is_forgotten_submits_all_the_same(client: FlaskClient) -> None:
    data = MultiDict(_token(client) | {"args.text": "a", "resubmit_of": "forgotten"})

    assert client.post(f"{REVERSE}/runs", data=data, headers=PAGE).status_code == 303


def _recorded(settings: Settings, task: str, **args: object) -> str:
    history, stream = History(settings.history_address), Stream()
    history.migrate()
    run_id = stream.run(0, "SUCCESS", task=task, args=args)
    history.apply(stream.events)
    history.close()
    return run_id


def test_value_that_is_not_known_is_marked_and_required_whatever_its_default(
    client: FlaskClient, settings: Settings
) -> None:
    run_id = _recorded(settings, "primes.count", limit={"$redacted": True})

    answer = client.get(f"/tasks/primes.count?from={run_id}", headers=PAGE)

    assert answer.status_code == 200
    field = re.search(r'<input[^>]*id="f-args.limit"[^>]*>', answer.text)
    assert field and 'value=""' in field[0] and " required" in field[0]
    assert 'aria-invalid="true"' in field[0]
    assert re.search(r'Give anew[^<]*<a href="#f-args.limit"><code>limit</code></a>', answer.text)


def test_value_that_is_not_known_and_left_blank_is_not_submitted_with_its_default(
    client: FlaskClient, settings: Settings
) -> None:
    run_id = _recorded(settings, "primes.count", limit={"$redacted": True})
    data = _token(client) | {"args.limit": "", "resubmit_of": run_id}

    refused = client.post("/tasks/primes.count/runs", data=data, headers=PAGE)
    taken = client.post("/tasks/primes.count/runs", data=data | {"args.limit": "9"}, headers=PAGE)

    assert refused.status_code == 422 and "it was redacted. Give it anew." in refused.text
    assert taken.status_code == 303


def test_value_that_the_record_does_not_hold_is_asked_for(
    client: FlaskClient, runs: Runs, settings: Settings
) -> None:
    secret = _recorded(settings, "text.reverse", text={"$redacted": True})

    answer = client.post(f"/runs/{secret}/resubmit", data=_token(client), headers=PAGE)

    assert answer.status_code == 422
    assert "it was redacted. Give it anew." in answer.text
    assert f'name="resubmit_of" value="{secret}"' in answer.text
    assert "$redacted" not in answer.text
