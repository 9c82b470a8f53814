"""Messages that are facts only together with a commit (the transactional outbox of "Microservices Patterns").

Guarantees that a message written in a transaction is delivered after it, at least once, whatever dies in between, and
that messages of one key are first delivered in the order they were written: a key's partition is drained by one process
at a time, also where several replicas drain one database. Refuses to deliver anything before its commit.

How: a drainer takes the lease of a partition, delivers its oldest messages, and deletes them together with its lease. A
drainer that dies, or is frozen, loses its lease after 10 s; what it delivered and did not delete is delivered again by
the next one, so a consumer must know a repeat by its id. Leases are in the time of the replicas' own clocks, which may
differ by a second or two.

The order of a key is the order in which its messages were written. Transactions that write messages of one key must
therefore exclude each other, as they do where each first changes or locks the row that the message is about.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from bff_service.database import Database

_log = logging.getLogger(__name__)
PARTITIONS = 16
LEASE_SECONDS = 10.0
DELIVERY_SECONDS = 3.0
_BATCH = 100
_EVERY = 1.0
_FIRST_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Message:
    """What is delivered. Messages of one `key` keep their order; `id` tells a repeat."""

    id: str
    key: str
    body: bytes


class DeliveryFailed(Exception):
    """The other side did not take the message just now; it is delivered again later."""


class Delivery(Protocol):
    """The way out of an outbox."""

    async def deliver(self, message: Message) -> None:
        """Hand the message over; raise DeliveryFailed where that failed. It is cancelled after 3 s."""


class Outbox:
    """Two tables: messages not yet delivered, and which process drains which of the 16 partitions.

    The table of messages grows while the other side is away, by one row for each; it empties when that is back.
    longest_pause: seconds between two attempts while deliveries fail; the pauses double from 0.1 s, with jitter.
    """

    def __init__(
        self,
        metadata: MetaData,
        *,
        lease: float = LEASE_SECONDS,
        longest_pause: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # SQLite counts by itself only in an INTEGER.
        number = BigInteger().with_variant(Integer(), "sqlite")
        self._messages = Table(
            "outbox_messages",
            metadata,
            Column("number", number, primary_key=True, autoincrement=True),
            Column("partition", Integer, nullable=False),
            Column("key", String(512), nullable=False),
            Column("id", String(255), nullable=False),
            Column("body", LargeBinary, nullable=False),
            Index("outbox_messages_by_partition", "partition", "number"),
            sqlite_autoincrement=True,
        )
        self._leases = Table(
            "outbox_leases",
            metadata,
            Column("partition", Integer, primary_key=True, autoincrement=False),
            Column("holder", String(36), nullable=False),
            Column("until", Float, nullable=False),
        )
        self._holder = str(uuid.uuid4())
        self._lease = lease
        self._longest_pause = longest_pause
        self._clock = clock
        self._wake = asyncio.Event()
        self._first = 0

    async def add(self, db: AsyncConnection, message: Message) -> None:
        """Write the message in the caller's transaction."""
        partition = zlib.crc32(message.key.encode()) % PARTITIONS
        row = {"partition": partition, "key": message.key, "id": message.id, "body": message.body}
        await db.execute(insert(self._messages).values(row))

    async def waiting(self, db: AsyncConnection) -> set[str]:
        """The keys with a message that is not delivered yet."""
        return set((await db.execute(select(self._messages.c.key).distinct())).scalars())

    async def drain(self, database: Database, delivery: Delivery) -> None:
        """Deliver for ever: at once after a commit of this process, else within a second. For the service's task."""
        database.after_commit(self._wake.set)
        failures = 0
        while True:
            self._wake.clear()
            try:
                while await self.drain_once(database, delivery):
                    pass
                failures = 0
            except (DeliveryFailed, SQLAlchemyError, OSError, TimeoutError) as error:
                if failures == 0:
                    _log.warning("messages wait in the outbox", extra={"reason": repr(error)})
                failures += 1
                pause = min(self._longest_pause, _FIRST_PAUSE * 2 ** min(failures - 1, 16))
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._wake.wait()

    async def drain_once(self, database: Database, delivery: Delivery) -> bool:
        """One turn over the partitions with messages that no other process holds; whether anything was delivered.

        Raises what the delivery of a message failed of. The next turn begins behind its partition: a message that is
        never taken holds up its own partition alone.
        """
        async with database.read() as db:
            found = (await db.execute(select(self._messages.c.partition).distinct())).scalars().all()
        delivered = False
        for partition in sorted(found, key=lambda one: (one - self._first) % PARTITIONS):
            self._first = partition + 1
            # What is begun in the first half of a lease ends within it: a delivery has 3 s.
            until = self._clock() + self._lease / 2
            if await self._claim(database, partition):
                delivered |= await self._drain_partition(database, delivery, partition, until)
        return delivered

    async def _claim(self, database: Database, partition: int) -> bool:
        leases, now = self._leases, self._clock()
        mine = {"holder": self._holder, "until": now + self._lease}
        free = or_(leases.c.holder == self._holder, leases.c.until < now)
        try:
            async with database.write() as db:
                taken = await db.execute(
                    update(leases).where(leases.c.partition == partition, free).values(mine)
                )
                if taken.rowcount == 0:
                    there = select(leases.c.partition).where(leases.c.partition == partition)
                    if (await db.execute(there)).first() is not None:
                        return False
                    await db.execute(insert(leases).values(partition=partition, **mine))
        except IntegrityError:
            return False  # another process took it at the same time
        return True

    async def _drain_partition(
        self, database: Database, delivery: Delivery, partition: int, until: float
    ) -> bool:
        messages, leases = self._messages, self._leases
        delivered: list[int] = []
        try:
            oldest = select(messages).where(messages.c.partition == partition)
            async with database.read() as db:
                rows = (await db.execute(oldest.order_by(messages.c.number).limit(_BATCH))).all()
            for row in rows:
                if self._clock() > until:
                    break
                async with asyncio.timeout(DELIVERY_SECONDS):
                    await delivery.deliver(Message(row.id, row.key, row.body))
                delivered.append(row.number)
        finally:
            # A crash before this commit delivers them again.
            async with asyncio.timeout(self._lease / 2), database.write() as db:
                if delivered:
                    await db.execute(delete(messages).where(messages.c.number.in_(delivered)))
                await db.execute(
                    delete(leases).where(leases.c.partition == partition, leases.c.holder == self._holder)
                )
        return bool(delivered)
