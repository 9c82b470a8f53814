"""Payments' API. Promises commits that survive a power cut and one charge for an order; shows a charge to the
orders service and to its owner, and refuses to show it to anyone else."""

from __future__ import annotations

from typing import Final

from sqlalchemy import MetaData

from upstreams.kit import NOT_FOUND, Ask, Nothing, Service, ServiceSettings
from upstreams.payments.ledger import CANCELLED, CARD_DECLINED, DIFFERS, Ledger
from upstreams.payments.models import Captured, Charge, Charges, NewCharge, Refunded

BAD_CARDS: Final = ("bruno",)


def build(settings: ServiceSettings) -> Service:
    """The payments service on its own database."""
    metadata = MetaData()
    ledger = Ledger(metadata)
    service = Service(
        "payments", team="Payments", contact="#payments", settings=settings, metadata=metadata, durable=True
    )

    async def charge(ask: Ask[NewCharge]) -> Captured:
        return await ledger.charge(ask.db, ask.input)

    async def refund(ask: Ask[Nothing]) -> Refunded:
        await ledger.refund(ask.db, ask.path["order_id"])
        return Refunded(order_id=ask.path["order_id"])

    async def find_charge(ask: Ask[Nothing]) -> Charge:
        owner = None if "saga" in ask.caller.scopes else ask.caller.id
        found = await ledger.find(ask.db, ask.path["order_id"], owner)
        if found is None:
            raise NOT_FOUND.problem("There is no such charge.")
        return found

    async def list_charges(ask: Ask[Nothing]) -> Charges:
        return Charges(charges=await ledger.all(ask.db))

    async def seed() -> None:
        async with service.database.write() as db:
            await ledger.seed(db, BAD_CARDS)

    service.on_start(seed)
    service.post(
        "/charges",
        charge,
        takes=NewCharge,
        answers=Captured,
        status=201,
        scope="saga",
        refuses=(CARD_DECLINED, CANCELLED, DIFFERS),
        summary="Charge an order's owner, once",
    )
    service.post(
        "/charges/{order_id}/refund",
        refund,
        takes=Nothing,
        answers=Refunded,
        scope="saga",
        summary="Give an order's money back",
    )
    service.get(
        "/charges/{order_id}",
        find_charge,
        takes=Nothing,
        answers=Charge,
        scope="saga",
        or_person=True,
        refuses=(NOT_FOUND,),
        summary="An order's charge",
    )
    service.get(
        "/charges", list_charges, takes=Nothing, answers=Charges, scope="saga", summary="Every charge"
    )
    return service
