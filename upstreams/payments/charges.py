"""Charges and refunds, as rules over one transaction. Guarantees at most one charge for an order, whatever is sent
again. Refuses bad cards, and a charge that comes after its refund."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

from bff_service import Refusal
from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.payments.models import Captured, Charge, NewCharge

CARD_DECLINED: Final = Refusal(402, "card-declined", "The bank declines this card.", final=True)
CANCELLED: Final = Refusal(409, "cancelled", "This order's charge was refunded before.", final=True)
DIFFERS: Final = Refusal(
    409, "order-differs", "This order has a charge of another amount or owner.", final=True
)
MOST_LISTED: Final = 10_000


class Charges:
    """The tables `charges` and `bad_cards`; each method runs in the caller's transaction.

    A row without `charge_id` is the tombstone of a refund that came before its charge.
    """

    def __init__(self, metadata: MetaData) -> None:
        self._charges = Table(
            "charges",
            metadata,
            Column("order_id", String(64), primary_key=True),
            Column("charge_id", String(40), unique=True),
            Column("status", String(16), nullable=False),
            Column("owner", String(512), nullable=False, default=""),
            Column("amount_cents", BigInteger, nullable=False, default=0),
            Column("currency", String(3), nullable=False, default=""),
        )
        self._bad_cards = Table("bad_cards", metadata, Column("sub", String(255), primary_key=True))

    async def seed(self, db: AsyncConnection, bad_cards: Iterable[str]) -> None:
        known = set((await db.execute(select(self._bad_cards.c.sub))).scalars())
        fresh = [{"sub": sub} for sub in bad_cards if sub not in known]
        if fresh:
            await db.execute(insert(self._bad_cards), fresh)

    async def charge(self, db: AsyncConnection, asked: NewCharge) -> Captured:
        """Charge a card of the owner once. Raises `card-declined`, `cancelled` after a refund, `order-differs`."""
        row = await self._row(db, asked.order_id, lock=True)
        if row is not None:
            if row.status != "captured":
                raise CANCELLED.problem()
            if (row.owner, row.amount_cents, row.currency) != (
                asked.owner,
                asked.amount_cents,
                asked.currency,
            ):
                raise DIFFERS.problem()
            return Captured(order_id=row.order_id, charge_id=row.charge_id)
        # A principal's id is `<iss>|<sub>`: the cards are the subject's. The list of bad cards is about the first one.
        sub = asked.owner.rsplit("|", 1)[-1]
        bad = select(self._bad_cards.c.sub).where(self._bad_cards.c.sub == sub)
        if asked.card == "first" and (await db.execute(bad)).first() is not None:
            raise CARD_DECLINED.problem()
        charge_id = f"ch_{uuid.uuid4().hex}"
        values = {"charge_id": charge_id, "status": "captured", **asked.model_dump(exclude={"card"})}
        await db.execute(insert(self._charges).values(values))
        return Captured(order_id=asked.order_id, charge_id=charge_id)

    async def refund(self, db: AsyncConnection, order_id: str) -> None:
        """Give the money back; without a charge, leave a tombstone that refuses a late one."""
        table = self._charges
        row = await self._row(db, order_id, lock=True)
        if row is None:
            await db.execute(insert(table).values(order_id=order_id, status="refunded"))
        else:
            await db.execute(update(table).where(table.c.order_id == order_id).values(status="refunded"))

    async def find(self, db: AsyncConnection, order_id: str, owner: str | None) -> Charge | None:
        """The order's charge; with an owner, only theirs."""
        row = await self._row(db, order_id)
        if row is None or row.charge_id is None or (owner is not None and row.owner != owner):
            return None
        return Charge.model_validate(row, from_attributes=True)

    async def all(self, db: AsyncConnection) -> list[Charge]:
        """Every charge, refunded or not, at most 10,000."""
        table = self._charges
        wanted = (
            select(table).where(table.c.charge_id.is_not(None)).order_by(table.c.order_id).limit(MOST_LISTED)
        )
        return [Charge.model_validate(row, from_attributes=True) for row in await db.execute(wanted)]

    async def _row(self, db: AsyncConnection, order_id: str, *, lock: bool = False) -> Row[Any] | None:
        wanted = select(self._charges).where(self._charges.c.order_id == order_id)
        return (await db.execute(wanted.with_for_update() if lock else wanted)).first()
