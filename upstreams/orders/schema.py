"""The book's tables grow. Promises that columns added since a database was made are there after a start; refuses
every other change of a table: a new column must be one that may be empty."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Table, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection


async def add_missing_columns(db: AsyncConnection, tables: Iterable[Table]) -> None:
    """Add each declared column that its table lacks."""
    await db.run_sync(_add, tuple(tables))


def _add(connection: Connection, tables: tuple[Table, ...]) -> None:
    quoted = connection.dialect.identifier_preparer.quote
    for table in tables:
        present = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in present:
                kind = column.type.compile(connection.dialect)
                connection.execute(
                    text(f"ALTER TABLE {quoted(table.name)} ADD COLUMN {quoted(column.name)} {kind}")
                )
