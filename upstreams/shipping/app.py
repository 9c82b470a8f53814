"""Shipping's API. Promises estimates for anyone and one parcel for an order; shows a parcel to the orders service and
to its owner, and refuses to show it to anyone else."""

from __future__ import annotations

from sqlalchemy import MetaData

from upstreams.kit import NOT_FOUND, Ask, Nothing, Service, ServiceSettings
from upstreams.shipping.ledger import CANCELLED, DIFFERS, NO_CARRIER, Ledger, estimate
from upstreams.shipping.models import (
    Booked,
    Cancelled,
    Estimate,
    EstimateQuery,
    NewShipment,
    Shipment,
    Shipments,
)


def build(settings: ServiceSettings) -> Service:
    """The shipping service on its own database."""
    metadata = MetaData()
    ledger = Ledger(metadata)
    service = Service("shipping", team="Shipping", contact="#shipping", settings=settings, metadata=metadata)

    async def estimates(ask: Ask[EstimateQuery]) -> Estimate:
        return estimate(ask.input.weight_g)

    async def book(ask: Ask[NewShipment]) -> Booked:
        return await ledger.book(ask.db, ask.input)

    async def cancel(ask: Ask[Nothing]) -> Cancelled:
        await ledger.cancel(ask.db, ask.path["order_id"])
        return Cancelled(order_id=ask.path["order_id"])

    async def find_shipment(ask: Ask[Nothing]) -> Shipment:
        owner = None if "saga" in ask.caller.scopes else ask.caller.id
        found = await ledger.find(ask.db, ask.path["order_id"], owner)
        if found is None:
            raise NOT_FOUND.problem("There is no such shipment.")
        return found

    async def list_shipments(ask: Ask[Nothing]) -> Shipments:
        return Shipments(shipments=await ledger.all(ask.db))

    service.get(
        "/estimates",
        estimates,
        takes=EstimateQuery,
        answers=Estimate,
        public=True,
        transaction=False,
        summary="What a parcel of this weight costs, and when it arrives",
    )
    service.post(
        "/shipments",
        book,
        takes=NewShipment,
        answers=Booked,
        status=201,
        scope="saga",
        refuses=(NO_CARRIER, CANCELLED, DIFFERS),
        summary="Book an order's parcel, once",
    )
    service.post(
        "/shipments/{order_id}/cancel",
        cancel,
        takes=Nothing,
        answers=Cancelled,
        scope="saga",
        summary="Call an order's parcel back",
    )
    service.get(
        "/shipments/{order_id}",
        find_shipment,
        takes=Nothing,
        answers=Shipment,
        scope="saga",
        or_person=True,
        refuses=(NOT_FOUND,),
        summary="An order's parcel",
    )
    service.get(
        "/shipments", list_shipments, takes=Nothing, answers=Shipments, scope="saga", summary="Every parcel"
    )
    return service
