"""A signature covers all that a worker acts by, and survives what a broker makes of a message."""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from amqp.serialization import dumps, loads
from celery import Celery
from kombu.utils import json as kombu_json

from celeriac.errors import ConfigurationError
from celeriac.settings import load_settings
from celeriac.signatures import (
    HEADER,
    MALFORMED,
    UNSIGNED,
    WRONG,
    Signatures,
    SigningProducer,
    properties_of,
    sign_messages,
)

NEW, OLD = f"new:{'n' * 32}", f"old:{'o' * 32}"
SIGNATURES = Signatures.of(f"{NEW},{OLD}")
BODY = b'[["ab"], {}, {"callbacks": null}]'
HEADERS: Mapping[str, Any] = {
    "task": "text.reverse",
    "id": "7",
    "root_id": "7",
    "parent_id": None,
    "eta": None,
    "expires": "2026-01-31T09:00:00+00:00",
    "retries": 0,
    "timelimit": [None, 2.5],
    "argsrepr": "('ab',)",
    "stamps": {"by": ["ann"]},
}
PROPERTIES = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "correlation_id": "7",
    "reply_to": "me",
}


def _problem(headers: Mapping[str, Any], **changed: Any) -> str | None:
    body = changed.pop("body", BODY)
    return SIGNATURES.problem_with(headers, {**PROPERTIES, **changed}, body)


def test_signed_message_is_right_and_unsigned_is_not() -> None:
    signed = SIGNATURES.signed(HEADERS, PROPERTIES, BODY)

    assert _problem(signed) is None
    assert _problem(signed, body=BODY.decode()) is None
    assert _problem(HEADERS) == UNSIGNED
    assert signed[HEADER].startswith("v1:new:")


@pytest.mark.parametrize("name", [n for n in HEADERS if n != "argsrepr"])
def test_no_header_can_be_changed(name: str) -> None:
    signed = SIGNATURES.signed(HEADERS, PROPERTIES, BODY)

    assert _problem({**signed, name: "other"}) == WRONG


@pytest.mark.parametrize(
    "name", ["chain", "errbacks", "callbacks", "chord", "is_eager", "anything"]
)
def test_no_header_can_be_added(name: str) -> None:
    signed = SIGNATURES.signed(HEADERS, PROPERTIES, BODY)

    assert _problem({**signed, name: [{"task": "other"}]}) == WRONG


@pytest.mark.parametrize("name", PROPERTIES)
def test_no_property_can_be_changed(name: str) -> None:
    signed = SIGNATURES.signed(HEADERS, PROPERTIES, BODY)

    assert _problem(signed, **{name: "other"}) == WRONG


def test_body_cannot_be_changed_nor_its_border_moved() -> None:
    signed = SIGNATURES.signed(HEADERS, PROPERTIES, BODY)

    assert _problem(signed, body=BODY + b" ") == WRONG
    assert _problem(signed, body=b"\n" + BODY) == WRONG


def test_what_brokers_and_burials_add_does_not_matter() -> None:
    signed = SIGNATURES.signed(HEADERS, PROPERTIES, BODY)

    added = {
        "x-death": [{"queue": "q"}],
        "x-delivery-count": 3,
        "redelivered": True,
        "celeriac_dead": {"at": "now"},
    }
    assert _problem({**signed, **added}) is None


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 1, 31, 9, 0, 0, 123456, UTC),
        datetime(2026, 1, 31, 9),
        Decimal("1.50"),
        b"\x00\xff",
        {"b": {"y": 1, "x": (1, None)}, "a": [True, 2.5]},
        "grüße",
        2**40,
    ],
)
def test_headers_of_any_kind_survive_both_brokers(value: Any) -> None:
    signed = SIGNATURES.signed({**HEADERS, "own": value}, PROPERTIES, BODY)

    [by_amqp], _ = loads("F", dumps("F", [signed]), 0)
    by_redis = kombu_json.loads(kombu_json.dumps(signed))

    assert _problem(by_amqp) is None
    assert _problem(by_redis) is None


def test_all_keys_are_accepted_and_strangers_are_not() -> None:
    by_old = Signatures.of(OLD).signed(HEADERS, PROPERTIES, BODY)
    by_stranger = Signatures.of(f"mine:{'m' * 32}").signed(HEADERS, PROPERTIES, BODY)
    by_liar = Signatures.of(f"new:{'m' * 32}").signed(HEADERS, PROPERTIES, BODY)

    assert _problem(by_old) is None
    assert "the key 'mine', which is not known here" in str(_problem(by_stranger))
    assert _problem(by_liar) == WRONG


@pytest.mark.parametrize("told", ["v2:new:00", "new", 7, ["v1:new:00"], {"v1": 1}, "v1:new:\u0661"])
def test_signature_of_any_other_form_is_refused(told: Any) -> None:
    assert _problem({**HEADERS, HEADER: told}) in (MALFORMED, WRONG)


@pytest.mark.parametrize("body", [None, -1, 2**62, 2.5, True, {"a": 1}, [], ["\u00e9"]])
def test_body_that_is_no_text_is_refused_and_costs_nothing(body: Any) -> None:
    signed = SIGNATURES.signed(HEADERS, PROPERTIES, BODY)

    assert _problem(signed, body=body) == MALFORMED


def test_text_that_looks_like_another_kind_is_none() -> None:
    signed = SIGNATURES.signed({**HEADERS, "own": datetime.fromtimestamp(5, UTC)}, PROPERTIES, BODY)

    assert _problem({**signed, "own": "\0at 5"}) == WRONG
    by_text = SIGNATURES.signed({**HEADERS, "own": "\0at 5"}, PROPERTIES, BODY)
    assert _problem(by_text) is None


def test_headers_that_nobody_writes_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    signed = SIGNATURES.signed(HEADERS, PROPERTIES, BODY)

    assert _problem({**signed, "deep": deep}) == WRONG


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def compare(right: bytes, told: bytes) -> bool:
        compared.append((right, told))
        return original(right, told)

    monkeypatch.setattr("celeriac.signatures.hmac.compare_digest", compare)
    signed = SIGNATURES.signed(HEADERS, PROPERTIES, BODY)

    assert _problem({**signed, HEADER: "v1:new:00"}) == WRONG
    assert [told for _, told in compared] == [b"00"]


class _Producer:
    serializer = "json"

    def __init__(self) -> None:
        self.published: list[tuple[Any, dict[str, Any]]] = []

    def publish(self, body: Any, **options: Any) -> None:
        self.published.append((body, options))


def test_producer_signs_messages_of_tasks_alone() -> None:
    producer = _Producer()
    signing = SigningProducer(producer, SIGNATURES)

    signing.publish([["ab"], {}, {}], headers=dict(HEADERS), serializer="json", correlation_id="7")
    signing.publish({"type": "task-sent"}, headers={"hostname": "me"}, serializer="json")

    (body, options), event = producer.published
    assert SIGNATURES.problem_with(options["headers"], options, body) is None
    assert event == ({"type": "task-sent"}, {"headers": {"hostname": "me"}, "serializer": "json"})


def test_foreign_client_signs_with_one_line() -> None:
    app = Celery("theirs", broker="memory://", set_as_current=False)
    sign_messages(app, NEW)

    app.send_task("text.reverse", ["ab"], queue="signed")

    with app.connection_for_read() as connection:
        message = connection.SimpleQueue("signed").get(timeout=1)
    about = properties_of(message)
    assert SIGNATURES.problem_with(message.headers, about, message.body) is None


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("secret", "entry 1 is not NAME:SECRET"),
        (f"{NEW},two words:{'x' * 32}", "entry 2 is not NAME:SECRET"),
        ("new:hunter2", "the key 'new' is shorter than 32 characters"),
        (f"{NEW},{NEW}", "two keys are called 'new'"),
        (",", "names no key"),
    ],
)
def test_wrong_keys_are_refused_and_never_shown(keys: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match="CELERIAC_MESSAGE_KEYS") as refused:
        load_settings(join_stack=False, message_keys=keys)

    assert why in str(refused.value)
    assert "hunter2" not in str(refused.value) and "nnnn" not in str(refused.value)
