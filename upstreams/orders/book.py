"""The order book: each order's state and everything that happened to it, in the service's own database.

Promises that a history only grows, that a state never goes back to an older version, and that a wish to cancel is
either noted in time or refused, never lost. Refuses to decide what happens next: the saga does. Knows no engine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.orders.models import ENDED, HistoryEntry, OrderDetail, OrderStatus
from upstreams.orders.saga import Change, Order

MOST_LISTED = 100


def rfc3339(seconds: float) -> str:
    """Milliseconds in UTC, as events and answers show times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Book:
    """The tables `orders` and `history`; each method runs in the caller's transaction."""

    def __init__(self, metadata: MetaData, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._orders = Table(
            "orders",
            metadata,
            Column("id", String(64), primary_key=True),
            Column("owner", String(512), nullable=False),
            Column("fingerprint", String(64), nullable=False),
            Column("input", Text, nullable=False),
            Column("status", String(20), nullable=False),
            Column("step", String(20)),
            Column("attempt", Integer, nullable=False),
            Column("version", Integer, nullable=False),
            Column("reason", String(64)),
            Column("at", Float, nullable=False),
            Column("created", Float, nullable=False),
            Column("ended", Boolean, nullable=False),
            Column("cancel_asked", Boolean, nullable=False),
            Column("cancel_closed", Boolean, nullable=False),
            Index("orders_by_owner", "owner", "created"),
        )
        self._history = Table(
            "history",
            metadata,
            Column("order_id", String(64), primary_key=True),
            Column("version", Integer, primary_key=True),
            Column("status", String(20), nullable=False),
            Column("step", String(20)),
            Column("attempt", Integer, nullable=False),
            Column("reason", String(64)),
            Column("at", Float, nullable=False),
        )

    async def open(self, db: AsyncConnection, order: Order) -> Row[Any]:
        """Enter the order as PENDING unless it is there; answer the row that is there now."""
        row = await self.row(db, order["id"])
        if row is not None:
            return row
        try:
            async with db.begin_nested():
                await db.execute(
                    insert(self._orders).values(
                        id=order["id"],
                        owner=order["owner"],
                        fingerprint=order["fingerprint"],
                        input=json.dumps(order),
                        status="PENDING",
                        attempt=1,
                        version=0,
                        at=order["created"],
                        created=order["created"],
                        ended=False,
                        cancel_asked=False,
                        cancel_closed=False,
                    )
                )
        except IntegrityError:
            pass  # the same request at the same time on another process
        row = await self.row(db, order["id"])
        if row is None:
            raise RuntimeError("an order just written is not there")
        return row

    async def write(self, db: AsyncConnection, order: Order, change: Change) -> float:
        """Write a change down once; answers the time it has, which a repeat does not move."""
        history, orders = self._history, self._orders
        await self.open(db, order)
        known = select(history.c.at).where(
            history.c.order_id == order["id"], history.c.version == change["version"]
        )
        at = (await db.execute(known)).scalar()
        if at is None:
            at = self._clock()
            await db.execute(insert(history).values(order_id=order["id"], at=at, **change))
        await db.execute(
            update(orders)
            .where(orders.c.id == order["id"], orders.c.version < change["version"])
            .values(at=at, ended=change["status"] in ENDED, **change)
        )
        return float(at)

    async def ask_to_cancel(self, db: AsyncConnection, order_id: str) -> bool:
        """Note the wish; False when it comes too late."""
        orders = self._orders
        noted = await db.execute(
            update(orders)
            .where(orders.c.id == order_id, orders.c.cancel_closed.is_(False))
            .values(cancel_asked=True)
        )
        return noted.rowcount == 1

    async def cancelled(self, db: AsyncConnection, order_id: str, *, last_chance: bool) -> bool:
        """Whether a wish was noted; with `last_chance` and none there, later ones are refused."""
        orders = self._orders
        if last_chance:
            await db.execute(
                update(orders)
                .where(orders.c.id == order_id, orders.c.cancel_asked.is_(False))
                .values(cancel_closed=True)
            )
        return bool((await db.execute(select(orders.c.cancel_asked).where(orders.c.id == order_id))).scalar())

    async def row(self, db: AsyncConnection, order_id: str) -> Row[Any] | None:
        return (await db.execute(select(self._orders).where(self._orders.c.id == order_id))).first()

    async def of_owner(
        self, db: AsyncConnection, owner: str, since_hours: float | None = None
    ) -> list[OrderStatus]:
        """An owner's orders, newest first, at most 100; with hours: open ones and those ended within them."""
        orders = self._orders
        wanted = select(orders).where(orders.c.owner == owner)
        if since_hours is not None:
            since = self._clock() - since_hours * 3600
            wanted = wanted.where(orders.c.ended.is_(False) | (orders.c.at >= since))
        wanted = wanted.order_by(orders.c.created.desc(), orders.c.id).limit(MOST_LISTED)
        return [status_of(row) for row in await db.execute(wanted)]

    async def detail(self, db: AsyncConnection, row: Row[Any]) -> OrderDetail:
        """An order with its history, oldest first."""
        history = self._history
        found = await db.execute(
            select(history).where(history.c.order_id == row.id).order_by(history.c.version)
        )
        entries = [
            HistoryEntry(
                version=one.version,
                status=one.status,
                step=one.step,
                attempt=one.attempt,
                reason=one.reason,
                at=rfc3339(one.at),
            )
            for one in found
        ]
        return OrderDetail(**status_of(row).model_dump(), history=entries)

    async def not_begun(self, db: AsyncConnection) -> list[Order]:
        """Orders entered whose saga never told anything: it may not have been started."""
        found = await db.execute(select(self._orders.c.input).where(self._orders.c.version == 0))
        return [json.loads(text) for text in found.scalars()]


def input_of(row: Row[Any]) -> Order:
    """The saga's input as it was accepted."""
    order: Order = json.loads(row.input)
    return order


def status_of(row: Row[Any]) -> OrderStatus:
    """The row as customers see it."""
    order = input_of(row)
    return OrderStatus(
        id=row.id,
        status=row.status,
        step=row.step,
        attempt=row.attempt,
        version=row.version,
        reason=row.reason,
        mutation=order["mutation"],
        at=rfc3339(row.at),
        data=order["data"],
    )
