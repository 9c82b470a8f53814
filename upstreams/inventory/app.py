"""Inventory's API and events. Promises that each change of stock becomes one `shop.stock.value` event after its
commit, in order, and that all current levels are published at each start; refuses a direct change of stock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.inventory.ledger import CANCELLED, DIFFERS, OUT_OF_STOCK, Ledger
from upstreams.inventory.models import (
    Level,
    Levels,
    NewReservation,
    Released,
    Reservation,
    Reserved,
    StockQuery,
)
from upstreams.kit import NOT_FOUND, Ask, Event, Nothing, Outbox, Publisher, Service, ServiceSettings

SEED: Final = {
    "mug-01": 40,
    "teapot-01": 24,
    "lamp-01": 18,
    "blanket-01": 30,
    "notebook-01": 60,
    "pen-01": 50,
    "plant-01": 25,
    "bike-01": 3,
}


def value_event(level: Level, traceparent: str | None = None) -> Event:
    """The level as the event of the value `stock/<sku>`."""
    at = datetime.now(UTC)
    return Event(
        type="shop.stock.value",
        source="/services/inventory",
        subject=level.sku,
        sequence=level.version,
        partition_key=level.sku,
        data={
            "version": level.version,
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "data": level.model_dump(),
        },
        at=at,
        traceparent=traceparent,
    )


def build(settings: ServiceSettings) -> Service:
    """The inventory service on its own database, seeded once, with its outbox."""
    metadata = MetaData()
    ledger = Ledger(metadata)
    outbox = Outbox(metadata)
    publisher = Publisher(settings.redis_url, "inventory")
    service = Service(
        "inventory", team="Inventory", contact="#inventory", settings=settings, metadata=metadata
    )

    async def tell(db: AsyncConnection, changed: list[Level], traceparent: str | None) -> None:
        for level in changed:
            await outbox.add(db, value_event(level, traceparent))

    async def stock(ask: Ask[StockQuery]) -> Levels:
        return Levels(levels=await ledger.levels(ask.db, ask.input.sku))

    async def level(ask: Ask[Nothing]) -> Level:
        found = await ledger.levels(ask.db, [ask.path["sku"]])
        if not found:
            raise NOT_FOUND.problem("There is no such product in stock.")
        return found[0]

    async def reserve(ask: Ask[NewReservation]) -> Reserved:
        await tell(ask.db, await ledger.reserve(ask.db, ask.input), ask.hop.traceparent)
        return Reserved(order_id=ask.input.order_id)

    async def release(ask: Ask[Nothing]) -> Released:
        order_id = ask.path["order_id"]
        await tell(ask.db, await ledger.release(ask.db, order_id), ask.hop.traceparent)
        return Released(order_id=order_id)

    async def reservation(ask: Ask[Nothing]) -> Reservation:
        found = await ledger.reservation(ask.db, ask.path["order_id"])
        if found is None:
            raise NOT_FOUND.problem("There is no such reservation.")
        return found

    async def open_shop() -> None:
        async with service.database.write() as db:
            await ledger.seed(db, SEED)
            waiting = await outbox.waiting(db)
            # What waits already ends with the current level: a restart adds no second copy.
            await tell(db, [one for one in await ledger.levels(db) if one.sku not in waiting], None)
        outbox.wake()

    async def drain() -> None:
        await outbox.drain_forever(service.database, publisher)

    service.on_start(open_shop)
    service.on_stop(publisher.close)
    service.background(drain)
    service.after_commit(outbox.wake)
    service.needs("redis", publisher.ping, required=False)
    service.get("/stock", stock, takes=StockQuery, answers=Levels, public=True, summary="How many are left")
    service.get(
        "/stock/{sku}",
        level,
        takes=Nothing,
        answers=Level,
        public=True,
        refuses=(NOT_FOUND,),
        summary="How many of one are left",
    )
    service.post(
        "/reservations",
        reserve,
        takes=NewReservation,
        answers=Reserved,
        status=201,
        scope="saga",
        refuses=(OUT_OF_STOCK, CANCELLED, DIFFERS),
        summary="Reserve all lines of an order, or none",
    )
    service.post(
        "/reservations/{order_id}/release",
        release,
        takes=Nothing,
        answers=Released,
        scope="saga",
        summary="Give an order's lines back",
    )
    service.get(
        "/reservations/{order_id}",
        reservation,
        takes=Nothing,
        answers=Reservation,
        scope="saga",
        refuses=(NOT_FOUND,),
        summary="An order's reservation",
    )
    return service
