"""A service's own database. Promises short read and write transactions on any SQLAlchemy async URL, with SQLite
made safe (WAL, foreign keys, writers in one orderly queue); refuses migrations: tables are created at start."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, event, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

_IMMEDIATE = "immediate"


class Database:
    """An engine and the two kinds of transactions.

    `durable` sets SQLite's `synchronous=FULL` (every commit survives a power cut) instead of NORMAL.
    """

    def __init__(self, url: str, metadata: MetaData, *, durable: bool = False) -> None:
        parsed = make_url(url)
        self.metadata = metadata
        self._sqlite = parsed.get_backend_name() == "sqlite"
        # SQLite has one writer; a fair queue here instead of its busy loop, which starves the unlucky.
        self._writer: contextlib.AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self._sqlite else contextlib.nullcontext()
        )
        if self._sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = create_async_engine(parsed, pool_size=8, max_overflow=8, pool_timeout=10)
        if self._sqlite:
            self._prepare_sqlite("FULL" if durable else "NORMAL")

    def _prepare_sqlite(self, synchronous: str) -> None:
        def connected(link: Any, _record: object) -> None:  # the driver's own connection type
            # The driver must not begin transactions by itself: `began` below does.
            link.isolation_level = None
            cursor = link.cursor()
            for pragma in (
                "busy_timeout=5000",
                "journal_mode=WAL",
                f"synchronous={synchronous}",
                "foreign_keys=ON",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        def began(connection: Connection) -> None:
            # IMMEDIATE takes the write lock first: a read-then-write transaction never fails half way.
            immediate = connection.get_execution_options().get(_IMMEDIATE, False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        event.listen(self.engine.sync_engine, "connect", connected)
        event.listen(self.engine.sync_engine, "begin", began)

    async def create_tables(self) -> None:
        async with self.write() as db:
            await db.run_sync(self.metadata.create_all)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads; it sees one state of the database."""
        async with self.engine.connect() as db, db.begin():
            yield db

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end and rolls back on any exception."""
        async with self._writer, self.engine.connect() as link:
            db = await link.execution_options(**{_IMMEDIATE: True})
            async with db.begin():
                yield db

    async def ping(self) -> None:
        """Raise unless the database answers."""
        async with self.read() as db:
            await db.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.engine.dispose()
