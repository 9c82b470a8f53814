"""The dead letters, and which of them were replayed. Guarantees that a replay's mark is one commit with its effect, so
that a letter is handled once and leaves the stream sooner or later, whatever dies in between. Refuses to handle."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from bff_service import Database, Refusal, redis_client
from redis.exceptions import RedisError
from sqlalchemy import Boolean, Column, DateTime, MetaData, String, Table, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.notifications.consumer import DEAD
from upstreams.notifications.models import DeadLetter

PAGE = 100
KEEP = timedelta(days=30)
_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")


REDIS_AWAY = Refusal(503, "redis-unavailable", "The dead letters are out of reach.", retry_after=1)


class DeadLetterQueue:
    """The stream of dead letters with the table `replays`; at most 1 s for each question to Redis."""

    def __init__(self, metadata: MetaData, redis_url: str) -> None:
        self._redis = redis_client(redis_url, connections=4)
        self._replays = Table(
            "replays",
            metadata,
            Column("id", String(64), primary_key=True),
            Column("removed", Boolean, nullable=False),
            Column("at", DateTime(timezone=True), nullable=False),
        )

    async def newest(self, db: AsyncConnection) -> list[DeadLetter]:
        """The newest that were not replayed, at most 100; 503 while Redis is away."""
        gone = set((await db.execute(self._not_removed())).scalars())
        try:
            # Those replayed but not yet removed are there, too, and are left out: so many more are asked for.
            entries: Any = await self._redis.xrevrange(DEAD, count=PAGE + len(gone))
        except (RedisError, OSError, TimeoutError):
            raise REDIS_AWAY.problem() from None
        return [_letter(entry, fields) for entry, fields in entries if entry.decode() not in gone][:PAGE]

    async def body(self, letter_id: str) -> bytes | None:
        """The event in a dead letter; None when there is no such letter, 503 while Redis is away."""
        if not _ID.fullmatch(letter_id):
            return None
        try:
            entries: Any = await self._redis.xrange(DEAD, letter_id, letter_id)
        except (RedisError, OSError, TimeoutError):
            raise REDIS_AWAY.problem() from None
        return entries[0][1].get(b"event", b"") if entries else None

    async def replayed(self, db: AsyncConnection, letter_id: str) -> bool:
        table = self._replays
        return (await db.execute(select(table.c.id).where(table.c.id == letter_id))).first() is not None

    async def mark(self, db: AsyncConnection, letter_id: str) -> None:
        """Note in the transaction of the replay's effect that the letter is done with."""
        await db.execute(insert(self._replays).values(id=letter_id, removed=False, at=datetime.now(UTC)))

    async def tidy(self, database: Database) -> None:
        """Remove replayed letters from the stream. Raises RedisError while Redis is away: it is done later."""
        table = self._replays
        async with database.read() as db:
            done = list((await db.execute(self._not_removed().limit(PAGE))).scalars())
        if not done:
            return
        await self._redis.xdel(DEAD, *done)
        async with database.write() as db:
            await db.execute(update(table).where(table.c.id.in_(done)).values(removed=True))
            old = datetime.now(UTC) - KEEP
            await db.execute(delete(table).where(table.c.removed.is_(True), table.c.at < old))

    async def close(self) -> None:
        await self._redis.aclose()

    def _not_removed(self) -> Any:  # SQLAlchemy's own generic over the selected columns
        return select(self._replays.c.id).where(self._replays.c.removed.is_(False))


def _letter(entry: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    def text(name: bytes) -> str:
        return fields.get(name, b"").decode(errors="replace")

    deliveries = text(b"deliveries")
    return DeadLetter(
        id=entry.decode(),
        event=text(b"event"),
        stream=text(b"stream"),
        entry=text(b"id"),
        why=text(b"why"),
        deliveries=int(deliveries) if deliveries.isdecimal() else 0,
        at=text(b"at"),
    )
