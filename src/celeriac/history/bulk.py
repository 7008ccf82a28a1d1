"""Many rows in one statement, each database in its fastest way.

SQLite takes a prepared statement and tuples; PostgreSQL one statement over arrays, one array for
each column, which spares a thousand round trips or a statement with thirty thousand parameters.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

Row = Sequence[Any]
KEY = "key_of_row"


def insert(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows whose values are in the order of the names."""
    if connection.dialect.name == "postgresql":
        new = select(_unnested(table, {name: name for name in names}))
        statement: Executable = table.insert().from_select(list(names), new)
        connection.execute(statement, _arrays(names, rows))
        return
    compiled = table.insert().compile(dialect=connection.dialect, column_keys=list(names))
    _execute_many(connection, str(compiled), compiled.positiontup, names, rows)


def update(
    connection: Connection, table: Table, key: str, names: Sequence[str], rows: Sequence[Row]
) -> None:
    """Set columns of the rows with a key; each row of values begins with the key."""
    fields = [KEY, *names]
    if connection.dialect.name == "postgresql":
        new = _unnested(table, {KEY: key} | {name: name for name in names})
        found = table.update().where(table.c[key] == new.c[KEY])
        connection.execute(
            found.values({name: new.c[name] for name in names}), _arrays(fields, rows)
        )
        return
    changed = table.update().where(table.c[key] == bindparam(KEY))
    changed = changed.values({name: bindparam(name) for name in names})
    compiled = changed.compile(dialect=connection.dialect)
    _execute_many(connection, str(compiled), compiled.positiontup, fields, rows)


def _execute_many(
    connection: Connection,
    sql: str,
    order: Sequence[str] | None,
    names: Sequence[str],
    rows: Sequence[Row],
) -> None:
    """Run a statement for each row, without SQLAlchemy looking at each value."""
    assert order is not None, "the dialect has positional parameters"
    places = [names.index(name) for name in order]
    if places != list(range(len(names))):
        rows = [tuple(row[place] for place in places) for row in rows]
    connection.exec_driver_sql(sql, [tuple(row) for row in rows])


def _unnested(table: Table, columns: dict[str, str]) -> TableValuedAlias:
    """Give the arrays as a table; `columns` maps its names to those of the real table."""
    arrays = [
        bindparam(f"all_{name}", type_=ARRAY(_plain(table, column)))
        for name, column in columns.items()
    ]
    return func.unnest(*arrays).table_valued(*columns, name="new").render_derived()


def _plain(table: Table, column: str) -> Any:
    """Give the type without its collation, which a cast cannot name."""
    kind = table.c[column].type
    return Text() if isinstance(kind, Text) else kind


def _arrays(names: Sequence[str], rows: Sequence[Row]) -> dict[str, list[Any]]:
    return {
        f"all_{name}": list(column)
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }
