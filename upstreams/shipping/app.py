"""Shipping's API. Guarantees estimates for anyone and one parcel for an order. Shows a parcel to the orders service and
to its owner, and refuses to show it to anyone else."""

from __future__ import annotations

from typing import Annotated, Final

from bff_service import NOT_FOUND, Caller, Database, IdempotencyKeys, Once, Reading, RequireScope, refusals
from fastapi import Depends, FastAPI, Query, Response
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.kit import shop_service
from upstreams.shipping.models import (
    Booked,
    Cancelled,
    Estimate,
    EstimateQuery,
    NewShipment,
    OrderId,
    Shipment,
    ShipmentList,
)
from upstreams.shipping.settings import ShippingSettings
from upstreams.shipping.shipments import CANCELLED, DIFFERS, NO_CARRIER, Shipments, estimate

SAGA: Final = Depends(RequireScope("saga"))
SagaOrPerson = Annotated[Caller, Depends(RequireScope("saga", or_person=True))]


def build(settings: ShippingSettings) -> FastAPI:
    """The shipping service on its own database."""
    metadata = MetaData()
    shipments = Shipments(metadata)
    keys = IdempotencyKeys(metadata)
    database = Database(settings.own_database_url, metadata)
    app = shop_service(settings, database, keys, planned_refusals={"POST /shipments": NO_CARRIER})

    @app.get("/estimates", summary="What a parcel of this weight costs, and when it arrives")
    async def estimates(query: Annotated[EstimateQuery, Query()]) -> Estimate:
        return estimate(query.weight_g)

    @app.post(
        "/shipments",
        status_code=201,
        response_model=Booked,
        responses=refusals(NO_CARRIER, CANCELLED, DIFFERS),
        dependencies=[SAGA],
        summary="Book an order's parcel, once",
    )
    async def book(asked: NewShipment, once: Once) -> Response:
        return await once(lambda db: shipments.book(db, asked))

    @app.post(
        "/shipments/{order_id}/cancel",
        response_model=Cancelled,
        dependencies=[SAGA],
        summary="Call an order's parcel back",
    )
    async def cancel(order_id: OrderId, once: Once) -> Response:
        async def effect(db: AsyncConnection) -> Cancelled:
            await shipments.cancel(db, order_id)
            return Cancelled(order_id=order_id)

        return await once(effect)

    @app.get("/shipments/{order_id}", responses=refusals(NOT_FOUND), summary="An order's parcel")
    async def find_shipment(order_id: OrderId, caller: SagaOrPerson, db: Reading) -> Shipment:
        owner = None if "saga" in caller.scopes else caller.id
        found = await shipments.find(db, order_id, owner)
        if found is None:
            raise NOT_FOUND.problem("There is no such shipment.")
        return found

    @app.get("/shipments", dependencies=[SAGA], summary="Every parcel")
    async def list_shipments(db: Reading) -> ShipmentList:
        return ShipmentList(shipments=await shipments.all(db))

    return app
