"""Finding a text inside arguments, results and errors, whatever the case of its letters."""

import json
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy.sql.schema import Column

from celeriac.history.tables import runs
from celeriac.history.values import storable

CONTAINS = "celeriac_contains"
ESCAPE = "\\"
JSON_COLUMNS = (runs.c.args, runs.c.result)
PLAIN_COLUMNS = (runs.c.error_type, runs.c.error_message, runs.c.error_traceback)


def matches(needle: str, dialect: str) -> ColumnElement[bool]:
    """Give the condition that a run's arguments, result or error contain the text."""
    needle = storable(needle)
    written = json.dumps(needle, ensure_ascii=False)[1:-1]
    return or_(
        *_found_in(JSON_COLUMNS, written, dialect), *_found_in(PLAIN_COLUMNS, needle, dialect)
    )


def contains(text: str | None, needle: str) -> bool:
    """Tell whether the text contains the needle, which has been case-folded."""
    return text is not None and needle in text.casefold()


def _found_in(
    columns: Sequence[Column[str]], needle: str, dialect: str
) -> list[ColumnElement[bool]]:
    if dialect == "sqlite":
        return [_found_by_sqlite(column, needle) for column in columns]
    return [column.ilike(f"%{_escaped(needle)}%", escape=ESCAPE) for column in columns]


def _found_by_sqlite(column: Column[str], needle: str) -> ColumnElement[bool]:
    """Use LIKE, which ignores case in ASCII only, and let Python decide on other letters.

    LIKE with a wildcard for each such letter leaves few rows to decide on.
    """
    pattern = "".join("_" if _other_letter(char) else char for char in _escaped(needle))
    like = column.like(f"%{pattern}%", escape=ESCAPE)
    if pattern == _escaped(needle):
        return like
    return and_(like, getattr(func, CONTAINS)(column, needle.casefold()))


def _escaped(needle: str) -> str:
    for special in (ESCAPE, "%", "_"):
        needle = needle.replace(special, ESCAPE + special)
    return needle


def _other_letter(char: str) -> bool:
    return not char.isascii() and char.lower() != char.upper()
