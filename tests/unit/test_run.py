"""A run is told in the same words, whoever submitted it."""

from datetime import UTC, datetime

from celeriac.runs import Run


def test_eta_of_a_client_in_another_zone_is_told_in_utc() -> None:
    run = Run.model_validate({"id": "r", "state": "SCHEDULED", "eta": "2026-11-30T17:17:01+06:00"})

    assert run.eta == datetime(2026, 11, 30, 11, 17, 1, tzinfo=UTC)
    assert '"eta":"2026-11-30T11:17:01Z"' in run.model_dump_json()
