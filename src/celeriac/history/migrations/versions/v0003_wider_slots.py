"""Statistics in slots of five minutes and of six hours, summed up from the narrower ones."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SECOND_US = 1_000_000
FROM_AND_TO_S = ((60, 300), (3600, 21_600))

slots = sa.table(
    "stat_slots",
    sa.column("width_s", sa.Integer),
    sa.column("starts_at", sa.BigInteger),
    sa.column("counts", sa.Text),
    sa.column("runtimes", sa.Text),
    sa.column("waits", sa.Text),
)
MEASURES = ("counts", "runtimes", "waits")


def upgrade() -> None:
    """Add the wider slots."""
    connection = op.get_bind()
    for narrow_s, wide_s in FROM_AND_TO_S:
        narrow = slots.select().where(slots.c.width_s == narrow_s).order_by(slots.c.starts_at)
        wide = [_wide(wide_s, *each) for each in _grouped(connection.execute(narrow), wide_s)]
        if wide:
            connection.execute(slots.insert(), wide)


def downgrade() -> None:
    """Remove them."""
    wide = [to_s for _, to_s in FROM_AND_TO_S]
    op.get_bind().execute(slots.delete().where(slots.c.width_s.in_(wide)))


def _grouped(rows: Iterable[Any], wide_s: int) -> Iterator[tuple[int, list[Any]]]:
    """Give each wide slot's number with the rows that fall into it."""
    for number, members in groupby(rows, lambda row: row.starts_at // (wide_s * SECOND_US)):
        yield number, list(members)


def _wide(wide_s: int, number: int, rows: list[Any]) -> dict[str, Any]:
    return {"width_s": wide_s, "starts_at": number * wide_s * SECOND_US, **_sums(rows)}


def _sums(rows: list[Any]) -> dict[str, str]:
    sums: dict[str, Counter[str]] = {name: Counter() for name in MEASURES}
    for row in rows:
        for name in MEASURES:
            sums[name].update(json.loads(getattr(row, name)))
    return {name: json.dumps(each, separators=(",", ":")) for name, each in sums.items()}
