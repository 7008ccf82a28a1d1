"""Somebody's plain Celery project runs under `celeriac up -A` unchanged."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventually import eventually
from running_stack import RunningStack, running_stack

PROJECT = Path(__file__).parents[1] / "plainproject"

Submit = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("plain")
    project = shutil.copytree(PROJECT, folder / "project")
    with running_stack(folder, arguments=("-A", "shop.celery_app:app"), cwd=project) as running:
        yield running


def _call(url: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, headers={"Prefer": "wait=30"})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=40) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def submit(stack: RunningStack) -> Submit:
    def call(task: str, /, **args: Any) -> dict[str, Any]:
        _, answer = _call(f"{stack.url}/api/v1/tasks/{task}/runs", {"args": args})
        return answer

    return call


def test_catalog_has_the_projects_tasks_and_no_others(stack: RunningStack) -> None:
    _, answer = _call(f"{stack.url}/api/v1/tasks")

    assert {task["name"].removeprefix("shop.tasks.") for task in answer["tasks"]} == {
        "orders.price", "add", "charge", "checkout", "discount", "greet", "import_catalogue",
        "log_visit", "remind", "reserve",
    }  # fmt: skip
    limits = {task["time_limit_s"] for task in answer["tasks"]}
    assert limits == {300}


@pytest.mark.parametrize(
    ("task", "args", "result"),
    [
        ("shop.tasks.add", {"x": 2, "y": 3}, 5),
        ("shop.tasks.greet", {"name": "Ann"}, "Hello, Ann!"),
        ("shop.tasks.discount",
         {"amount_cents": 1000, "tier": "gold", "member_since": "2000-01-01"},
         {"percent": 15, "pay_cents": 850}),
        ("orders.price",
         {"order": {"customer": "Ann", "lines": [{"sku": "AB-123", "quantity": 3,
                                                  "price_cents": 250}]}},
         {"customer": "Ann", "total_cents": 750}),
        ("shop.tasks.reserve", {"sku": "AB-123"}, "AB-123 reserved at attempt 3"),
        ("shop.tasks.import_catalogue", {"articles": 3}, 3),
        ("shop.tasks.remind", {"customer": "Ann"}, "Ann reminded"),
        ("shop.tasks.log_visit", {"page": "/"}, None),
    ],
)  # fmt: skip
def test_task_gives_its_result(
    submit: Submit, task: str, args: dict[str, Any], result: Any
) -> None:
    run = submit(task, **args)

    assert (run["state"], run["result"]) == ("SUCCESS", result), run


def test_failing_task_shows_its_error(submit: Submit) -> None:
    run = submit("shop.tasks.charge", card="4111 1111 1111 1234")

    assert run["state"] == "FAILURE"
    assert run["error"]["type"] == "CardDeclinedError"
    assert "1234" in run["error"]["message"]


def test_chain_runs_to_its_end_and_its_runs_are_linked(stack: RunningStack, submit: Submit) -> None:
    first = submit("shop.tasks.checkout", amounts=[1, 2, 3])

    last = eventually(
        lambda: (
            (found := _call(f"{stack.url}/api/v1/runs/{first['result']}"))[0] == 200
            and found[1]["finished_at"]
            and found[1]
        ),
        deadline_s=30,
    )
    assert last["result"] == 6
    assert last["task"] == "shop.tasks.add"
    assert last["root_id"] == first["id"]
    assert last["args"]


def test_wrong_input_of_a_nested_model_is_named(submit: Submit) -> None:
    problem = submit("orders.price", order={"customer": "Ann", "lines": [{"sku": "?"}]})

    assert problem["status"] == 422
    assert {error["pointer"] for error in problem["errors"]} == {
        "/args/order/lines/0/sku", "/args/order/lines/0/price_cents",
    }  # fmt: skip
