"""Payments' API. Guarantees commits that survive a power cut and one charge for an order. Shows a charge to the orders
service and to its owner, and refuses to show it to anyone else."""

from __future__ import annotations

from typing import Annotated, Final

from bff_service import NOT_FOUND, Caller, Database, IdempotencyKeys, Once, Reading, RequireScope, refusals
from fastapi import Depends, FastAPI, Response
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.kit import shop_service
from upstreams.payments.charges import CANCELLED, CARD_DECLINED, DIFFERS, Charges
from upstreams.payments.models import Captured, Charge, ChargeList, NewCharge, OrderId, Refunded
from upstreams.payments.settings import PaymentsSettings

BAD_CARDS: Final = ("bruno",)
SAGA: Final = Depends(RequireScope("saga"))
SagaOrPerson = Annotated[Caller, Depends(RequireScope("saga", or_person=True))]


def build(settings: PaymentsSettings) -> FastAPI:
    """The payments service on its own database."""
    metadata = MetaData()
    charges = Charges(metadata)
    keys = IdempotencyKeys(metadata)
    database = Database(settings.own_database_url, metadata, durable=True)

    async def seed() -> None:
        async with database.write() as db:
            await charges.seed(db, BAD_CARDS)

    app = shop_service(
        settings, database, keys, prepare=seed, planned_refusals={"POST /charges": CARD_DECLINED}
    )

    @app.post(
        "/charges",
        status_code=201,
        response_model=Captured,
        responses=refusals(CARD_DECLINED, CANCELLED, DIFFERS),
        dependencies=[SAGA],
        summary="Charge an order's owner, once",
    )
    async def charge(asked: NewCharge, once: Once) -> Response:
        return await once(lambda db: charges.charge(db, asked))

    @app.post(
        "/charges/{order_id}/refund",
        response_model=Refunded,
        dependencies=[SAGA],
        summary="Give an order's money back",
    )
    async def refund(order_id: OrderId, once: Once) -> Response:
        async def effect(db: AsyncConnection) -> Refunded:
            await charges.refund(db, order_id)
            return Refunded(order_id=order_id)

        return await once(effect)

    @app.get("/charges/{order_id}", responses=refusals(NOT_FOUND), summary="An order's charge")
    async def find_charge(order_id: OrderId, caller: SagaOrPerson, db: Reading) -> Charge:
        owner = None if "saga" in caller.scopes else caller.id
        found = await charges.find(db, order_id, owner)
        if found is None:
            raise NOT_FOUND.problem("There is no such charge.")
        return found

    @app.get("/charges", dependencies=[SAGA], summary="Every charge")
    async def list_charges(db: Reading) -> ChargeList:
        return ChargeList(charges=await charges.all(db))

    return app
