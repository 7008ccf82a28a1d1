"""Whatever tasks are called, the OpenAPI document stays legal and tells them apart."""

import math
import re
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from celeriac.catalog import Catalog
from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app
from celeriac.web.openapi import escaped

AWKWARD = [
    "Run", "Problem", "a b", "a_b", "a-b", "a-20-b", "é", "e", "a/b", "{name}", "a%20b", "a.B", "a",
]  # fmt: skip
LEGAL = re.compile(r"[a-zA-Z0-9._-]+")


@dataclass
class B:
    one: int


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    celery = Celery("awkward", set_as_current=False)

    def take(it: B, most: float = math.inf) -> None: ...

    def ask(it: B | None = None) -> None: ...

    for name in AWKWARD:
        celery.task(name=name, shared=False)(take)
    celery.task(name="optional", shared=False)(ask)
    runs = Runs.of(settings)
    runs.catalog = Catalog.of(celery)
    client = create_app(settings, runs).test_client()
    answers = [client.get("/openapi.json") for _ in range(2)]
    assert answers[0].data == answers[1].data
    assert b"Infinity" not in answers[0].data
    found: dict[str, Any] = answers[0].get_json()
    return found


def test_document_with_awkward_names_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()

    assert all(LEGAL.fullmatch(name) for name in document["components"]["schemas"])


def test_awkward_tasks_have_schemas_and_operations_of_their_own(document: dict[str, Any]) -> None:
    operations = [o for item in document["paths"].values() for o in item.values()]
    submits = [o for o in operations if o["operationId"].startswith("submit.")]
    schemas = {
        o["requestBody"]["content"]["application/json"]["schema"]["properties"]["args"]["$ref"]
        for o in submits
    }

    assert len({o["operationId"] for o in operations}) == len(operations)
    assert len(submits) == len(schemas) > len(AWKWARD)
    assert document["components"]["schemas"]["Run"]["properties"]["state"]
    assert document["components"]["schemas"]["Problem"]["properties"]["errors"]


def test_only_a_task_with_required_arguments_needs_a_body(document: dict[str, Any]) -> None:
    def needs_body(path: str) -> bool:
        return bool(document["paths"][path]["post"]["requestBody"]["required"])

    assert needs_body("/api/v1/tasks/Run/runs")
    assert not needs_body("/api/v1/tasks/optional/runs")
    assert not needs_body("/api/v1/tasks/{name}/runs")


@given(st.lists(st.text("aé -_./{2f", max_size=6), unique=True))
def test_escaped_names_are_legal_and_differ(names: list[str]) -> None:
    found = [escaped(name) for name in names if name]

    assert all(LEGAL.fullmatch(name) for name in found)
    assert len(set(found)) == len(found)
