"""Instants as the tables hold them: whole microseconds since 1970 in UTC.

Integers compare, subtract and index alike on SQLite and PostgreSQL, which their date types do not.
"""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
UUID7_YEARS_US = range(1_577_836_800 * SECOND_US, 4_102_444_800 * SECOND_US)
"""2020 to 2100: an identifier that claims another time is no UUIDv7, it only looks like one."""


def microseconds(at: datetime) -> int:
    """Turn an instant into microseconds; one without a zone is taken as UTC."""
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - EPOCH) // MICROSECOND


def instant(at_us: int) -> datetime:
    """Turn microseconds into an aware instant in UTC."""
    return EPOCH + timedelta(microseconds=at_us)


def instant_or_none(at_us: int | None) -> datetime | None:
    """Turn microseconds into an instant, and nothing into nothing."""
    return None if at_us is None else instant(at_us)


def created_at_us(run_id: str) -> int | None:
    """Read the time in a UUIDv7; None for any other identifier. Source: RFC 9562, section 5.7."""
    if len(run_id) != 36 or run_id[14] != "7" or run_id[19] not in "89abAB":
        return None
    try:
        at_us = int(run_id[:8] + run_id[9:13], 16) * 1000
    except ValueError:
        return None
    return at_us if at_us in UUID7_YEARS_US else None
