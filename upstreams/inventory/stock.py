"""The stock and its reservations, as rules over one transaction. Guarantees that stock is never negative, that several
lines are reserved all or not at all, and one effect for each order. Refuses a reservation after its release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from bff_service import Refusal
from sqlalchemy import JSON, CheckConstraint, Column, Integer, MetaData, String, Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.inventory.models import Level, Line, NewReservation, Reservation

OUT_OF_STOCK: Final = Refusal(409, "out-of-stock", "There is not enough in stock.", final=True)
CANCELLED: Final = Refusal(409, "cancelled", "This order's reservation was released before.", final=True)
DIFFERS: Final = Refusal(409, "order-differs", "This order has a reservation of other lines.", final=True)


class Stock:
    """The tables `levels` and `reservations`; each method runs in the caller's transaction."""

    def __init__(self, metadata: MetaData) -> None:
        self._levels = Table(
            "levels",
            metadata,
            Column("sku", String(64), primary_key=True),
            Column("available", Integer, CheckConstraint("available >= 0"), nullable=False),
            Column("version", Integer, nullable=False),
        )
        self._reservations = Table(
            "reservations",
            metadata,
            Column("order_id", String(64), primary_key=True),
            Column("status", String(16), nullable=False),
            Column("lines", JSON, nullable=False),
        )

    async def seed(self, db: AsyncConnection, stock: Mapping[str, int]) -> None:
        """Add the skus that are not there yet, each at version 1."""
        known = {level.sku for level in await self.levels(db)}
        fresh = [
            {"sku": sku, "available": number, "version": 1}
            for sku, number in stock.items()
            if sku not in known
        ]
        if fresh:
            await db.execute(insert(self._levels), fresh)

    async def levels(
        self, db: AsyncConnection, skus: Iterable[str] = (), *, lock: bool = False
    ) -> list[Level]:
        """The levels of these skus, or all, by sku; locked in that order, so that two orders cannot deadlock."""
        wanted = select(self._levels).order_by(self._levels.c.sku)
        chosen = list(skus)
        if chosen:
            wanted = wanted.where(self._levels.c.sku.in_(chosen))
        if lock:
            wanted = wanted.with_for_update()
        return [Level.model_validate(row, from_attributes=True) for row in await db.execute(wanted)]

    async def reservation(
        self, db: AsyncConnection, order_id: str, *, lock: bool = False
    ) -> Reservation | None:
        wanted = select(self._reservations).where(self._reservations.c.order_id == order_id)
        row = (await db.execute(wanted.with_for_update() if lock else wanted)).first()
        return None if row is None else Reservation.model_validate(row, from_attributes=True)

    async def reserve(self, db: AsyncConnection, asked: NewReservation) -> list[Level]:
        """Take the lines from the stock; the changed levels, none when it was done before.

        Raises `out-of-stock` with a pointer to each short line, `cancelled` after a release, `order-differs`.
        """
        if await self._known(db, asked, lock=True):
            return []
        needed = _totals(asked.lines)
        found = {level.sku: level.available for level in await self.levels(db, needed, lock=True)}
        # On a server database a repeat may have waited here for the first one, which took what is missing now.
        if await self._known(db, asked):
            return []
        short = [
            (f"/lines/{index}/quantity", f"{found.get(line.sku, 0)} left")
            for index, line in enumerate(asked.lines)
            if found.get(line.sku, 0) < needed[line.sku]
        ]
        if short:
            raise OUT_OF_STOCK.problem(errors=short)
        await self._keep(db, asked.order_id, "reserved", asked.lines)
        return await self._move(db, {sku: -number for sku, number in needed.items()})

    async def _known(self, db: AsyncConnection, asked: NewReservation, *, lock: bool = False) -> bool:
        known = await self.reservation(db, asked.order_id, lock=lock)
        if known is None:
            return False
        if known.status == "released":
            raise CANCELLED.problem()
        if known.lines != asked.lines:
            raise DIFFERS.problem()
        return True

    async def release(self, db: AsyncConnection, order_id: str) -> list[Level]:
        """Give the lines back; the changed levels. Without a reservation: leave a tombstone, change nothing."""
        known = await self.reservation(db, order_id, lock=True)
        if known is None:
            await self._keep(db, order_id, "released", [])
            return []
        if known.status == "released":
            return []
        table = self._reservations
        await db.execute(update(table).where(table.c.order_id == order_id).values(status="released"))
        return await self._move(db, _totals(known.lines))

    async def _keep(self, db: AsyncConnection, order_id: str, status: str, lines: list[Line]) -> None:
        kept = [line.model_dump() for line in lines]
        await db.execute(insert(self._reservations).values(order_id=order_id, status=status, lines=kept))

    async def _move(self, db: AsyncConnection, changes: Mapping[str, int]) -> list[Level]:
        table = self._levels
        for sku in sorted(changes):
            await db.execute(
                update(table)
                .where(table.c.sku == sku)
                .values(available=table.c.available + changes[sku], version=table.c.version + 1)
            )
        return await self.levels(db, changes)


def _totals(lines: Iterable[Line]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for line in lines:
        totals[line.sku] += line.quantity
    return totals
