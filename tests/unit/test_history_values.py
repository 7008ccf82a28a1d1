"""What an event's data may hold, what a cursor may be, and how durations are counted."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.errors import ConfigurationError, InvalidInputError
from celeriac.history import History, RunFilter, values
from celeriac.history.durations import bin_of, percentile_s
from celeriac.history.instants import created_at_us, instant, microseconds
from celeriac.history.pages import Place, cursor, place_of
from celeriac.history.text_search import contains


def test_storable_replaces_what_databases_refuse() -> None:
    assert values.storable("a\0b") == "a\ufffdb"
    assert values.storable("a\ud800b") == "a\ufffdb"
    assert values.storable("\ud83d\ude00") == "\U0001f600"


@given(st.text() | st.text(alphabet=st.characters(categories=["Cs", "Cc"])))
def test_storable_is_utf8_without_nul(text: str) -> None:
    stored = values.storable(text)

    assert "\0" not in stored
    assert stored.encode().decode() == stored


def test_names_are_cut_and_other_types_unknown() -> None:
    assert values.name("x" * 300) == "x" * 255
    assert values.name(7) is None
    assert values.name("") is None


def test_numbers_outside_the_column_are_unknown() -> None:
    found = [values.number(value) for value in (3, -1, 2**31, True, "3", 1.5)]

    assert found == [3, None, None, None, None, None]


def test_instants_of_any_form_are_read_or_unknown() -> None:
    assert values.instant("1970-01-01T00:00:01Z") == 1_000_000
    assert values.instant("1970-01-01T06:00:00+06:00") == 0
    assert values.instant("tomorrow") is None
    assert values.instant(5) is None


def test_tags_are_each_kept_once() -> None:
    assert values.tags(["b", "a", "b", 3, ""]) == '["b","a"]'
    assert values.tags("ab") is None


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_and_instant_are_inverse(at: datetime) -> None:
    assert instant(microseconds(at)) == at


def test_created_at_is_read_from_a_uuid7_alone() -> None:
    assert created_at_us("019ca9f3-6400-7000-8000-000000000000") == 0x019CA9F36400 * 1000
    for other in ("2f1c2a4e-1111-4222-8333-444455556666", "ffffffff-ffff-7000-8000-000000000000"):
        assert created_at_us(other) is None
    assert created_at_us("a name of somebody's own 7   8      x") is None


@given(st.integers(-(2**62), 2**62), st.text())
def test_cursor_is_read_as_written(created_at: int, run_id: str) -> None:
    assert place_of(cursor(Place(created_at, run_id))) == (created_at, run_id)


@pytest.mark.parametrize("text", ["", "x", "e30", "WzFd", "é", "[1,2]", "W3RydWUsIDFd", "bm9uZQ=="])
def test_cursor_of_somebody_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        place_of(text)

    assert caught.value.problems[0].pointer == "/cursor"


@given(st.lists(st.integers(1, 10**12), min_size=1), st.sampled_from([0.5, 0.95]))
def test_percentiles_are_near_the_exact_ones(durations_us: list[int], share: float) -> None:
    exact = sorted(durations_us)[max(0, -(-len(durations_us) * int(share * 100) // 100) - 1)]

    found_s = percentile_s(Counter(bin_of(us) for us in durations_us), share)

    assert found_s is not None
    assert found_s * 1_000_000 == pytest.approx(exact, rel=0.046)


def test_percentiles_of_nothing_are_unknown() -> None:
    assert percentile_s(Counter(), 0.5) is None


def test_text_search_is_bounded_to_a_week_unless_told_otherwise() -> None:
    now, since = datetime(2026, 3, 10, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)

    assert RunFilter(text="x").bounded(now).since == now - timedelta(days=7)
    assert RunFilter(text="x", until=since).bounded(now).since == since - timedelta(days=7)
    assert RunFilter(text="x", since=since).bounded(now).since == since
    assert RunFilter().bounded(now).since is None


def test_contains_ignores_the_case_of_any_letter() -> None:
    assert contains("STRAẞE nach Zürich", "zürich")
    assert not contains(None, "x")


@pytest.mark.parametrize(
    "url",
    ["", "history.db", "sqlite://", "sqlite:///:memory:", "mysql://h/d", "postgresql://h:port/d"],
)
def test_a_wrong_address_is_a_configuration_error_that_never_shows_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CELERIAC_HISTORY_URL") as caught:
        History(url)

    assert not url or url not in str(caught.value).partition("; expected")[0]


def test_a_wrong_address_never_shows_its_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        History("mysql://me:hunter2@host/d")

    assert "hunter2" not in str(caught.value)
