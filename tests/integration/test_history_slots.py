"""Statistics in slots of all widths say the same, those that an older version did not keep too."""

from datetime import timedelta
from itertools import pairwise

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from celeriac.history import History, Statistics
from celeriac.history.migrations.versions import v0003_wider_slots
from celeriac.history.statistics import WIDTHS_S
from history_events import START, many

HOURS = timedelta(hours=1)
BEGIN = START.replace(hour=0, minute=0)
END = BEGIN + 30 * HOURS


def _by_width(history: History) -> dict[int, Statistics]:
    """Ask for buckets of each width, over the same 30 hours."""
    number = {width: (END - BEGIN) // timedelta(seconds=width) for width in WIDTHS_S}
    return {width: history.stats(BEGIN, END, number[width]) for width in WIDTHS_S}


def test_each_width_is_a_multiple_of_the_one_before_it() -> None:
    assert all(wide % narrow == 0 for narrow, wide in pairwise(WIDTHS_S))


def test_slots_of_every_width_give_the_same_sums(history: History) -> None:
    history.apply(many(200).events)

    found = _by_width(history)

    assert {width: each.bucket_s for width, each in found.items()} == {w: w for w in WIDTHS_S}
    assert len({each.total for each in found.values()}) == 1
    assert found[60].total.submitted == 200
    for narrow, wide in pairwise(WIDTHS_S):
        step = wide // narrow
        failed = [bucket.failed for bucket in found[narrow].buckets]
        sums = [sum(failed[n : n + step]) for n in range(0, len(failed), step)]
        assert sums == [bucket.failed for bucket in found[wide].buckets]


@pytest.mark.parametrize("number", [7, 11, 250])
def test_buckets_are_of_whole_slots(history: History, number: int) -> None:
    found = history.stats(BEGIN, END, number)

    width = max(w for w in WIDTHS_S if w <= found.bucket_s)
    assert found.bucket_s % width == 0
    assert len(found.buckets) <= number + 1


def test_wider_slots_of_an_older_history_are_summed_up(history: History) -> None:
    history.apply(many(200).events)
    expected = _by_width(history)
    with history.database.write() as connection:
        connection.execute(text("DELETE FROM stat_slots WHERE width_s IN (300, 21600)"))
    assert _by_width(history) != expected

    with (
        history.database.write() as connection,
        Operations.context(MigrationContext.configure(connection)),
    ):
        v0003_wider_slots.upgrade()

    assert _by_width(history) == expected
