"""The repository of orders: each order's state and everything that happened to it, in the service's own database.

Guarantees that what is kept of a history never changes, that a state never goes back to an older version, and that a
wish to cancel is either noted in time or refused, never lost. Refuses to decide what happens next: the saga
does. Knows no engine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
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
    case,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.orders.execution import CANCELLED, GIVEN_UP
from upstreams.orders.models import COMPENSATING, ENDED, HistoryEntry, OrderDetail, OrderStatus
from upstreams.orders.saga import Change, Order

MOST_LISTED = 100
# Of an order's history the first and the last so many entries are kept: a compensation may fail for months.
KEPT_FIRST, KEPT_LAST = 50, 50


class OrderRepository:
    """The tables `orders` and `history`; each method runs in the caller's transaction."""

    def __init__(self, metadata: MetaData, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.orders = Table(
            "orders",
            metadata,
            Column("id", String(64), primary_key=True),
            Column("owner", String(512), nullable=False),
            Column("fingerprint", String(64), nullable=False),
            Column("input", Text, nullable=False),
            Column("status", String(20), nullable=False, default="PENDING"),
            Column("step", String(20)),
            Column("reached", String(20)),
            Column("attempt", Integer, nullable=False, default=1),
            Column("version", Integer, nullable=False, default=0),
            Column("reason", String(64)),
            Column("at", Float, nullable=False),
            Column("created", Float, nullable=False),
            Column("ended", Boolean, nullable=False, default=False),
            Column("cancel_asked", Boolean, nullable=False, default=False),
            Column("cancel_closed", Boolean, nullable=False, default=False),
            Column("cancel_mutation", String(255)),
            Column("next_try_at", Float),
            Column("last_error", String(64)),
            Column("given_up", Text),
            Column("run", Integer, nullable=False, default=1),
            Column("step_since", Float),
            Index("orders_by_owner", "owner", "created"),
        )
        self.history = Table(
            "history",
            metadata,
            Column("order_id", String(64), primary_key=True),
            Column("version", Integer, primary_key=True),
            Column("status", String(20), nullable=False),
            Column("step", String(20)),
            Column("attempt", Integer, nullable=False),
            Column("reason", String(64)),
            Column("at", Float, nullable=False),
            Column("next_try_at", Float),
            Column("last_error", String(64)),
            Column("note", Text),
        )

    async def open(self, db: AsyncConnection, order: Order) -> Row[Any]:
        """Enter the order as PENDING unless it is there; answer the row that is there now."""
        row = await self.row(db, order["id"])
        if row is not None:
            return row
        try:
            async with db.begin_nested():
                await db.execute(
                    insert(self.orders).values(
                        id=order["id"],
                        owner=order["owner"],
                        fingerprint=order["fingerprint"],
                        input=json.dumps(order),
                        at=order["created"],
                        created=order["created"],
                    )
                )
        except IntegrityError:
            pass  # the same request at the same time on another process
        row = await self.row(db, order["id"])
        if row is None:
            raise RuntimeError("an order just written is not there")
        return row

    async def record(self, db: AsyncConnection, order: Order, change: Change, run: int) -> float | None:
        """Write a change down once; answers its time, None when it was written before."""
        history, orders = self.history, self.orders
        await self.open(db, order)
        known = select(history.c.at).where(
            history.c.order_id == order["id"], history.c.version == change["version"]
        )
        if (await db.execute(known)).first() is not None:
            return None
        at = self._clock()
        await db.execute(insert(history).values(order_id=order["id"], at=at, **change))
        if change["version"] > KEPT_FIRST + KEPT_LAST:
            await db.execute(
                delete(history).where(
                    history.c.order_id == order["id"],
                    history.c.version > KEPT_FIRST,
                    history.c.version <= change["version"] - KEPT_LAST,
                )
            )
        await db.execute(
            update(orders)
            .where(orders.c.id == order["id"], orders.c.version < change["version"])
            .values(
                at=at,
                run=run,
                reached=change["step"] if change["status"] == "RUNNING" else orders.c.reached,
                step_since=case((orders.c.step == change["step"], orders.c.step_since), else_=at),
                ended=change["status"] in ENDED or change["reason"] == GIVEN_UP,
                **{name: value for name, value in change.items() if name != "note"},
            )
        )
        return at

    async def ask_to_cancel(self, db: AsyncConnection, order_id: str, mutation: str | None) -> bool:
        """Note the wish; False when it comes too late. mutation: the command; the first one stays."""
        orders = self.orders
        noted = await db.execute(
            update(orders)
            .where(orders.c.id == order_id, orders.c.cancel_closed.is_(False))
            .values(cancel_asked=True, cancel_mutation=func.coalesce(orders.c.cancel_mutation, mutation))
        )
        return noted.rowcount == 1

    async def cancelled(self, db: AsyncConnection, order_id: str, *, last_chance: bool) -> bool:
        """Whether a wish was noted; with `last_chance` and none there, later ones are refused."""
        orders = self.orders
        if last_chance:
            await db.execute(
                update(orders)
                .where(orders.c.id == order_id, orders.c.cancel_asked.is_(False))
                .values(cancel_closed=True)
            )
        # Locked, so that a wish about to be committed is waited for: its wake comes before its commit.
        asked = select(orders.c.cancel_asked).where(orders.c.id == order_id).with_for_update()
        return bool((await db.execute(asked)).scalar())

    async def give_up(self, db: AsyncConnection, order_id: str, words: str) -> bool:
        """Note that an operator ends the compensation; False when none is under way. The first words stay."""
        orders = self.orders
        noted = await db.execute(
            update(orders)
            .where(
                orders.c.id == order_id,
                orders.c.ended.is_(False),
                orders.c.status.in_(COMPENSATING),
            )
            .values(given_up=func.coalesce(orders.c.given_up, words))
        )
        return noted.rowcount == 1

    async def given_up(self, db: AsyncConnection, order_id: str) -> str | None:
        """The words of the operator who ended the compensation."""
        words = select(self.orders.c.given_up).where(self.orders.c.id == order_id).with_for_update()
        found: str | None = (await db.execute(words)).scalar()
        return found

    async def row(self, db: AsyncConnection, order_id: str) -> Row[Any] | None:
        return (await db.execute(select(self.orders).where(self.orders.c.id == order_id))).first()

    async def of_owner(
        self, db: AsyncConnection, owner: str, since_hours: float | None = None
    ) -> list[OrderStatus]:
        """An owner's orders, newest first, at most 100; with hours: open ones and those ended within them."""
        orders = self.orders
        wanted = select(orders).where(orders.c.owner == owner)
        if since_hours is not None:
            since = self._clock() - since_hours * 3600
            wanted = wanted.where(orders.c.ended.is_(False) | (orders.c.at >= since))
        wanted = wanted.order_by(orders.c.created.desc(), orders.c.id).limit(MOST_LISTED)
        return [status_of(row) for row in await db.execute(wanted)]

    async def detail(self, db: AsyncConnection, row: Row[Any]) -> OrderDetail:
        """An order with what is kept of its history, oldest first."""
        entries = await self.history_after(db, row.id, 0, KEPT_FIRST + KEPT_LAST)
        return OrderDetail(**status_of(row).model_dump(), history=entries, history_count=row.version)

    async def history_after(
        self, db: AsyncConnection, order_id: str, version: int, limit: int
    ) -> list[HistoryEntry]:
        """What is kept of an order's history after this version, oldest first."""
        history = self.history
        found = await db.execute(
            select(history)
            .where(history.c.order_id == order_id, history.c.version > version)
            .order_by(history.c.version)
            .limit(limit)
        )
        return [HistoryEntry.model_validate(row, from_attributes=True) for row in found]

    async def stuck(self, db: AsyncConnection, seconds: float) -> list[tuple[Row[Any], float]]:
        """Orders that need attention or had no news for so long, and since when they are at their step.

        The longest without news first, at most 100.
        """
        orders = self.orders
        found = await db.execute(
            select(orders)
            .where(
                orders.c.ended.is_(False),
                (orders.c.status == "NEEDS_ATTENTION") | (orders.c.at <= self._clock() - seconds),
            )
            .order_by(orders.c.at, orders.c.id)
            .limit(MOST_LISTED)
        )
        return [(row, float(row.at if row.step_since is None else row.step_since)) for row in found]

    async def not_begun(self, db: AsyncConnection, older_than: float = 0.0) -> list[Order]:
        """Orders entered so many seconds ago whose saga never told anything: it may not have been started."""
        before = self._clock() - older_than
        found = await db.execute(
            select(self.orders.c.input)
            .where(self.orders.c.version == 0, self.orders.c.created <= before)
            .order_by(self.orders.c.created)
        )
        return [json.loads(text) for text in found.scalars()]


def input_of(row: Row[Any]) -> Order:
    """The saga's input as it was accepted."""
    order: Order = json.loads(row.input)
    return order


def later_mutations(row: Row[Any], reason: str | None) -> list[str]:
    """The commands after the first one that a status with this reason contains: the cancellation, once it has taken
    effect."""
    return [row.cancel_mutation] if reason == CANCELLED and row.cancel_mutation else []


def status_of(row: Row[Any]) -> OrderStatus:
    """The row as customers see it."""
    order = input_of(row)
    data = {
        **order["data"],
        "reached": row.reached,
        "next_try_at": row.next_try_at,
        "last_error": row.last_error,
    }
    told = {"mutation": order["mutation"], "mutations": later_mutations(row, row.reason), "data": data}
    return OrderStatus.model_validate({**row._mapping, **told})
