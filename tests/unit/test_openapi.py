"""The OpenAPI document is valid, and follows the catalog."""

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from celeriac.runs import Runs
from celeriac.settings import load_settings
from celeriac.web import create_app


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    settings = load_settings(
        join_stack=False, broker_url="redis://localhost/0", redis_url="redis://localhost/1"
    )
    client = create_app(settings, Runs.of(settings)).test_client()
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


def test_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()  # type: ignore[arg-type]

    assert document["openapi"].startswith("3.1")


@pytest.mark.parametrize("name", ["email.send", "primes.count", "text.reverse", "text.sentiment"])
def test_each_task_has_a_typed_operation(document: dict[str, Any], name: str) -> None:
    operation = document["paths"][f"/api/v1/tasks/{name}/runs"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    arguments = body["properties"]["args"]["$ref"].removeprefix("#/components/schemas/")

    assert document["components"]["schemas"][arguments]["type"] == "object"
    assert "202" in operation["responses"] and "default" in operation["responses"]
    assert operation["parameters"][0]["name"] == "Prefer"


def test_operations_have_identifiers_of_their_own(document: dict[str, Any]) -> None:
    found = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
    ]

    assert len(found) == len(set(found))
