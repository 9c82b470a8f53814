"""Events that are facts only together with a commit. Promises that an event written in a transaction reaches the
bus after it, in the order written, at least once, whatever dies in between; refuses to publish anything before."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from redis.exceptions import RedisError
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.kit.database import Database
from upstreams.kit.events import Event, Publisher

_log = logging.getLogger(__name__)
_BATCH = 100
_EVERY = 1.0


class Outbox:
    """A table of events not yet published, and the one task that drains it.

    The table grows while Redis is away, by one small row for each event; it empties when Redis is back.
    """

    def __init__(self, metadata: MetaData) -> None:
        self._table = Table(
            "outbox",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=True),
            Column("subject", String(255), nullable=False, index=True),
            Column("partition_key", String(512), nullable=False),
            Column("body", LargeBinary, nullable=False),
            sqlite_autoincrement=True,
        )
        self._wake = asyncio.Event()

    async def add(self, db: AsyncConnection, event: Event) -> None:
        """Write the event in the caller's transaction."""
        row = {"subject": event.subject, "partition_key": event.partition_key, "body": event.json()}
        await db.execute(insert(self._table).values(row))

    async def waiting(self, db: AsyncConnection) -> set[str]:
        """The subjects with an event that is not published yet."""
        return set((await db.execute(select(self._table.c.subject).distinct())).scalars())

    def wake(self) -> None:
        """Something was committed: publish it now rather than within a second."""
        self._wake.set()

    async def drain_forever(self, database: Database, publisher: Publisher) -> None:
        """Publish what is waiting, at once when woken, else every second; for the service's own task."""
        away = False
        while True:
            self._wake.clear()
            try:
                while await self._drain_some(database, publisher):
                    pass
                away = False
            except (RedisError, OSError, TimeoutError, SQLAlchemyError) as error:
                if not away:
                    _log.warning("events wait in the outbox", extra={"reason": repr(error)})
                away = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._wake.wait()

    async def _drain_some(self, database: Database, publisher: Publisher) -> bool:
        table = self._table
        async with database.read() as db:
            rows = (await db.execute(select(table).order_by(table.c.id).limit(_BATCH))).all()
        done: list[int] = []
        failed: Exception | None = None
        for row in rows:
            try:
                await publisher.append(row.partition_key, row.body)
            except (RedisError, OSError, TimeoutError) as error:
                failed = error
                break
            done.append(row.id)
        if done:
            # A crash before this line publishes them again: consumers know a repeat by its id.
            async with database.write() as db:
                await db.execute(delete(table).where(table.c.id.in_(done)))
        if failed is not None:
            raise failed
        return len(rows) == _BATCH
