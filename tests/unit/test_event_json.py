"""An event is written whatever a task was given or gives back, or its run would be lost."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from celeriac.events import Event, EventKind, as_json, record_fields

EAST, WEST = timezone(timedelta(hours=9)), timezone(timedelta(hours=-5))


class _Silent:
    """What cannot be shown in any way."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime.max, "9999-12-31T23:59:59.999999"),
        (datetime.min, "0001-01-01T00:00:00"),
        (datetime.max.replace(tzinfo=WEST), "9999-12-31T23:59:59.999999-05:00"),
        (datetime.min.replace(tzinfo=EAST), "0001-01-01T00:00:00+09:00"),
        # Whoever gives it to a task again must give the same.
        (datetime(2030, 1, 1, 9), "2030-01-01T09:00:00"),
    ],
)
def test_instants_are_written_as_they_are(value: datetime, written: str) -> None:
    assert json.loads(as_json({"until": value})) == {"until": written}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_json_does_not_know_is_null_and_takes_no_other_with_it(number: float) -> None:
    written = as_json({"mean": number, "all": [1.5, number], "at": datetime.min})

    assert written == '{"mean": null, "all": [1.5, null], "at": "0001-01-01T00:00:00"}'


def test_value_that_cannot_be_shown_is_told_by_its_type() -> None:
    assert as_json(_Silent()) == '"<_Silent>"'


def test_record_has_the_instant_that_the_stream_has() -> None:
    event = Event("one", EventKind.STARTED, datetime(2030, 1, 1, 9, tzinfo=EAST))

    fields: dict[str, Any] = {name: json.loads(text) for name, text in record_fields(event).items()}

    assert fields["started_at"] == event.fields()["at"] == "2030-01-01T00:00:00+00:00"
    assert event.at.astimezone(UTC).isoformat() == event.fields()["at"]
