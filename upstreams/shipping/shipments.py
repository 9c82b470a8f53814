"""Parcels, as rules over one transaction. Guarantees at most one parcel for an order, whatever is sent again. Refuses a
booking that comes after its cancellation."""

from __future__ import annotations

import uuid
from typing import Any, Final

from bff_service import Refusal
from sqlalchemy import JSON, Column, MetaData, String, Table, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.kit import TARIFF_CURRENCY, parcel_cents
from upstreams.shipping.models import Booked, Estimate, NewShipment, Shipment

NO_CARRIER: Final = Refusal(409, "no-carrier", "No carrier takes this parcel.", final=True)
CANCELLED: Final = Refusal(409, "cancelled", "This order's shipment was cancelled before.", final=True)
DIFFERS: Final = Refusal(409, "order-differs", "This order has a shipment of other lines.", final=True)
MOST_LISTED: Final = 10_000


def estimate(weight_g: int) -> Estimate:
    """By the tariff; above 10 kg it takes longer."""
    heavy = weight_g > 10_000
    return Estimate(
        days_min=4 if heavy else 2,
        days_max=7 if heavy else 4,
        price_cents=parcel_cents(weight_g),
        currency=TARIFF_CURRENCY,
    )


class Shipments:
    """The table `shipments`; each method runs in the caller's transaction.

    A row without `shipment_id` is the tombstone of a cancellation that came before its booking.
    """

    def __init__(self, metadata: MetaData) -> None:
        self._shipments = Table(
            "shipments",
            metadata,
            Column("order_id", String(64), primary_key=True),
            Column("shipment_id", String(40), unique=True),
            Column("tracking", String(40), nullable=False, default=""),
            Column("status", String(16), nullable=False),
            Column("owner", String(512), nullable=False, default=""),
            Column("lines", JSON, nullable=False),
        )

    async def book(self, db: AsyncConnection, asked: NewShipment) -> Booked:
        """Book the order's parcel once. Raises `cancelled` after a cancellation, `order-differs`."""
        lines = [line.model_dump() for line in asked.lines]
        row = await self._row(db, asked.order_id, lock=True)
        if row is not None:
            if row.status != "booked":
                raise CANCELLED.problem()
            if (row.owner, row.lines) != (asked.owner, lines):
                raise DIFFERS.problem()
            return Booked(order_id=row.order_id, shipment_id=row.shipment_id, tracking=row.tracking)
        number = uuid.uuid4()
        booked = Booked(
            order_id=asked.order_id,
            shipment_id=f"sh_{number.hex}",
            tracking=f"BFF{number.int % 10**10:010d}",
        )
        await db.execute(
            insert(self._shipments).values(owner=asked.owner, lines=lines, **booked.model_dump())
        )
        return booked

    async def cancel(self, db: AsyncConnection, order_id: str) -> None:
        """Call the parcel back; without one, leave a tombstone that refuses a late booking."""
        table = self._shipments
        if await self._row(db, order_id, lock=True) is None:
            await db.execute(insert(table).values(order_id=order_id, status="cancelled", lines=[]))
        else:
            await db.execute(update(table).where(table.c.order_id == order_id).values(status="cancelled"))

    async def find(self, db: AsyncConnection, order_id: str, owner: str | None) -> Shipment | None:
        """The order's shipment; with an owner, only theirs."""
        row = await self._row(db, order_id)
        if row is None or row.shipment_id is None or (owner is not None and row.owner != owner):
            return None
        return Shipment.model_validate(row, from_attributes=True)

    async def all(self, db: AsyncConnection) -> list[Shipment]:
        """Every shipment, cancelled or not, at most 10,000."""
        table = self._shipments
        wanted = (
            select(table)
            .where(table.c.shipment_id.is_not(None))
            .order_by(table.c.order_id)
            .limit(MOST_LISTED)
        )
        return [Shipment.model_validate(row, from_attributes=True) for row in await db.execute(wanted)]

    async def _row(self, db: AsyncConnection, order_id: str, *, lock: bool = False) -> Row[Any] | None:
        wanted = select(self._shipments).where(self._shipments.c.order_id == order_id)
        return (await db.execute(wanted.with_for_update() if lock else wanted)).first()
