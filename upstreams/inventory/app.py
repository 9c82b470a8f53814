"""Inventory's API and events. Guarantees that each change of stock becomes one `shop.stock.value` event after its
commit, in order, and that all current levels are published at each start. Refuses a direct change of stock."""

from __future__ import annotations

from typing import Annotated, Final

from bff_service import (
    NOT_FOUND,
    Database,
    Event,
    EventSource,
    IdempotencyKeys,
    Mutation,
    Once,
    Outbox,
    Reading,
    RequireScope,
    StreamPublisher,
    current_trace,
    refusals,
)
from fastapi import Depends, FastAPI, Query, Response
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.inventory.models import (
    Level,
    Levels,
    NewReservation,
    OrderId,
    Released,
    Reservation,
    Reserved,
    Sku,
    StockQuery,
)
from upstreams.inventory.settings import InventorySettings
from upstreams.inventory.stock import CANCELLED, DIFFERS, OUT_OF_STOCK, Stock
from upstreams.kit import shop_service

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
EVENTS: Final = EventSource("inventory", domain="shop")
SAGA: Final = Depends(RequireScope("saga"))


def level_event(level: Level, mutation: str | None = None) -> Event:
    """The level as the event of the value `stock/<sku>`, in the trace of the current request. mutation: the command
    that changed it."""
    trace = current_trace()
    return EVENTS.value(
        "stock",
        level.sku,
        version=level.version,
        data=level.model_dump(),
        mutation=mutation,
        traceparent=trace.traceparent if trace else None,
    )


def build(settings: InventorySettings) -> FastAPI:
    """The inventory service on its own database, seeded once, with its outbox."""
    metadata = MetaData()
    stock = Stock(metadata)
    outbox = Outbox(metadata)
    keys = IdempotencyKeys(metadata)
    database = Database(settings.own_database_url, metadata)
    publisher = StreamPublisher(settings.redis_url, "inventory")

    async def tell(db: AsyncConnection, changed: list[Level], mutation: str | None = None) -> None:
        for level in changed:
            await outbox.add(db, level_event(level, mutation).message())

    async def seed() -> None:
        async with database.write() as db:
            await stock.seed(db, SEED)
            waiting = await outbox.waiting(db)
            # What waits already ends with the current level: a restart adds no second copy.
            await tell(db, [one for one in await stock.levels(db) if one.sku not in waiting])

    app = shop_service(
        settings,
        database,
        keys,
        prepare=seed,
        tasks=[lambda: outbox.drain(database, publisher)],
        closing=[publisher.close],
        informs={"redis": publisher.ping},
        planned_refusals={"POST /reservations": OUT_OF_STOCK},
    )

    @app.get("/stock", summary="How many are left")
    async def levels(query: Annotated[StockQuery, Query()], db: Reading) -> Levels:
        return Levels(levels=await stock.levels(db, query.sku))

    @app.get("/stock/{sku}", responses=refusals(NOT_FOUND), summary="How many of one are left")
    async def level(sku: Sku, db: Reading) -> Level:
        found = await stock.levels(db, [sku])
        if not found:
            raise NOT_FOUND.problem("There is no such product in stock.")
        return found[0]

    @app.post(
        "/reservations",
        status_code=201,
        response_model=Reserved,
        responses=refusals(OUT_OF_STOCK, CANCELLED, DIFFERS),
        dependencies=[SAGA],
        summary="Reserve all lines of an order, or none",
    )
    async def reserve(asked: NewReservation, once: Once, mutation: Mutation) -> Response:
        async def effect(db: AsyncConnection) -> Reserved:
            await tell(db, await stock.reserve(db, asked), mutation)
            return Reserved(order_id=asked.order_id)

        return await once(effect)

    @app.post(
        "/reservations/{order_id}/release",
        response_model=Released,
        dependencies=[SAGA],
        summary="Give an order's lines back",
    )
    async def release(order_id: OrderId, once: Once, mutation: Mutation) -> Response:
        async def effect(db: AsyncConnection) -> Released:
            await tell(db, await stock.release(db, order_id), mutation)
            return Released(order_id=order_id)

        return await once(effect)

    @app.get(
        "/reservations/{order_id}",
        responses=refusals(NOT_FOUND),
        dependencies=[SAGA],
        summary="An order's reservation",
    )
    async def reservation(order_id: OrderId, db: Reading) -> Reservation:
        found = await stock.reservation(db, order_id)
        if found is None:
            raise NOT_FOUND.problem("There is no such reservation.")
        return found

    return app
