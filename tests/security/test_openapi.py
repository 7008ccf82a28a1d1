"""The OpenAPI document holds for everybody: schemathesis asks in the name of every role."""

import json
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.transport.wsgi import WSGI_TRANSPORT

from access_app import AccessApp
from attack import Count, clients, limited
from celeriac.access import Role

EXAMPLES = 12
"""How many requests are made up for each operation; each is sent by everybody."""
REFUSED = {401, 403}
FOR_STRANGERS = {"/api/v1/logins", "/api/v1/logins/token"}
"""What a terminal asks for before anybody has signed in; no more than this."""
LOG_OUT = "/api/v1/me/log-out"


@schemathesis.serializer("application/x-ndjson")
def _lines(context: Any, value: Any) -> bytes:
    """Write a batch of one line."""
    return value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"


@pytest.fixture(scope="module")
def callers(web: AccessApp) -> dict[object, FlaskClient]:
    return {**clients(web), "a limited operator": limited(web)}


def _is_endless(operation: Any) -> bool:
    responses = operation.definition.raw.get("responses", {})
    kinds = {kind for each in responses.values() for kind in each.get("content", {})}
    return "text/event-stream" in kinds


@pytest.mark.timeout(300)
def test_described_operations_never_fail_and_are_refused_to_strangers(
    callers: dict[object, FlaskClient], count: Count
) -> None:
    document = callers[Role.VIEWER].get("/openapi.json").get_json()
    schema = schemathesis.openapi.from_dict(document)
    tried, operations = 0, 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if _is_endless(operation):
            continue
        operations += 1
        tried += _try(operation, callers)
    assert operations > 20
    count("requests made up from the OpenAPI document, none failed", tried)


def _try(operation: Any, callers: dict[object, FlaskClient]) -> int:
    tried = 0

    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        nonlocal tried
        for role, client in callers.items():
            if role is not None and operation.path == LOG_OUT:
                continue  # Its token would be worth nothing for all that follows.
            answer = client.open(**WSGI_TRANSPORT.serialize_case(case))
            said = f"{case.method} {case.formatted_path} by {role}: {answer.text[:300]}"
            assert answer.status_code < 500, said
            if role is None and operation.path not in FOR_STRANGERS:
                assert answer.status_code in REFUSED, said
            tried += 1
            answer.close()

    ask()
    return tried
