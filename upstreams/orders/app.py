"""Orders' API. Guarantees that an order answered with 202 is carried out or undone, whatever is killed meanwhile, and
that the same key is the same order. Refuses to show anyone another one's orders."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Final

import httpx
from bff_service import (
    NOT_FOUND,
    Caller,
    Database,
    IdempotencyKeys,
    Mutation,
    Once,
    Outbox,
    Owner,
    Person,
    Reading,
    Refusal,
    RequestKeyed,
    ServiceToken,
    StreamPublisher,
    TraceContext,
    http_client,
    refusals,
)
from bff_service.callers import OWNER_MISMATCH
from bff_service.idempotency import REUSED
from fastapi import FastAPI, Query, Request, Response
from sqlalchemy import MetaData
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from upstreams.kit import shop_service
from upstreams.orders.activities import OrderActivities
from upstreams.orders.engine import SagaEngine
from upstreams.orders.execution import FORWARD
from upstreams.orders.leases import Leases
from upstreams.orders.models import (
    History,
    HistoryQuery,
    NewOrder,
    OrderDetail,
    OrderId,
    OrderList,
    OrdersQuery,
    OrderStatus,
)
from upstreams.orders.operator import add_operator_api
from upstreams.orders.orphan_recovery import OrphanRecovery
from upstreams.orders.participants import Participants
from upstreams.orders.pricing import CATALOG_UNAVAILABLE, PRICE_CHANGED, UNKNOWN_PRODUCT, priced
from upstreams.orders.repository import OrderRepository, input_of, status_of
from upstreams.orders.retry import Policy
from upstreams.orders.saga import Order
from upstreams.orders.settings import OrdersSettings

# Fixed for ever: an order's id follows from its owner and its key alone.
NAMESPACE: Final = uuid.UUID("5d2f2a52-6a5c-4f0e-9a5d-0b6c3a1e7f42")
BEGUN_SECONDS: Final = 10.0
TOO_LATE: Final = Refusal(409, "too-late", "This order is already on its way.", final=True)


def order_id_of(owner: str, key: str) -> str:
    """The order of this owner's key; two owners may send the same key."""
    return str(uuid.uuid5(NAMESPACE, f"{owner}\0{key}"))


def build(settings: OrdersSettings) -> FastAPI:
    """The orders service with its saga engine."""
    metadata = MetaData()
    orders = OrderRepository(metadata)
    outbox = Outbox(metadata)
    keys = IdempotencyKeys(metadata)
    database = Database(settings.own_database_url, metadata)
    publisher = StreamPublisher(settings.redis_url, "orders")
    engine = SagaEngine(settings)
    clients = _clients(settings)

    async def begin(older_than: float = 0.0) -> None:
        # A crash may fall between an order's entry and its saga's start: both lead to the same order.
        async with database.read() as db:
            waiting = await orders.not_begun(db, older_than)
        for order in waiting:
            await engine.start(order)

    recovery = OrphanRecovery(
        engine,
        Leases(settings.redis_url, settings.executor_id, seconds=settings.lease_seconds),
        # Younger ones are being started by the process that took them.
        lambda: begin(older_than=BEGUN_SECONDS),
        lease_seconds=settings.lease_seconds,
    )

    async def launch() -> None:
        if settings.recovers_orphans:
            await recovery.announce()
        await engine.launch(OrderActivities(_participants(settings, clients), orders, outbox, database))
        await begin()

    async def close_clients() -> None:
        for client in clients.values():
            await client.aclose()

    app = shop_service(
        settings,
        database,
        keys,
        prepare=launch,
        tasks=[
            lambda: outbox.drain(database, publisher),
            engine.keep_pruned,
            *([recovery.renew, recovery.recover] if settings.recovers_orphans else []),
        ],
        # The engine first: what its sagas meet after that is forgotten, and happens again at the next start.
        closing=[publisher.close, close_clients, recovery.close, engine.close],
        needs={"engine": engine.ping},
        informs={"redis": publisher.ping},
    )

    @app.post(
        "/orders",
        status_code=202,
        responses=refusals(UNKNOWN_PRODUCT, PRICE_CHANGED, CATALOG_UNAVAILABLE, OWNER_MISMATCH),
        summary="Place an order",
    )
    async def place(
        request: Request,
        response: Response,
        owner: Owner,
        mutation: Mutation,
        key: RequestKeyed,
        cart: NewOrder,
    ) -> OrderStatus:
        order_id = order_id_of(owner, key.key)
        async with database.read() as db:
            row = await orders.row(db, order_id)
        if row is None:
            data = await priced(clients["catalog"], cart, seconds=settings.catalog_seconds)
            trace: TraceContext = request.state.trace
            order = Order(
                id=order_id,
                owner=owner,
                mutation=(mutation or key.key)[:255],
                fingerprint=key.fingerprint,
                created=time.time(),
                data=data.model_dump(),
                traceparent=trace.traceparent,
                correlation_id=trace.correlation_id,
                policy=_policy(settings),
            )
            async with database.write() as db:
                row = await orders.open(db, order)
        if row.fingerprint != key.fingerprint:
            raise REUSED.problem()
        if row.version == 0:
            await engine.start(input_of(row))
        response.headers["Location"] = f"/orders/{order_id}"
        return status_of(row)

    async def order_of(db: AsyncConnection, id: str, person: Caller) -> Row[Any]:
        row = await orders.row(db, id)
        if row is None or row.owner != person.id:
            raise NOT_FOUND.problem("There is no such order.")
        return row

    @app.get("/orders", summary="My orders, newest first")
    async def listed(person: Person, query: Annotated[OrdersQuery, Query()], db: Reading) -> OrderList:
        return OrderList(orders=await orders.of_owner(db, person.id, query.since_hours))

    @app.get("/orders/{id}", responses=refusals(NOT_FOUND), summary="One of my orders with its history")
    async def one(id: OrderId, person: Person, db: Reading) -> OrderDetail:
        return await orders.detail(db, await order_of(db, id, person))

    @app.get(
        "/orders/{id}/history",
        responses=refusals(NOT_FOUND),
        summary="The history of one of my orders, in pages",
    )
    async def history(
        id: OrderId, person: Person, query: Annotated[HistoryQuery, Query()], db: Reading
    ) -> History:
        row = await order_of(db, id, person)
        found = await orders.history_after(db, id, query.after, query.limit + 1)
        page = found[: query.limit]
        following = page[-1].version if len(found) > query.limit else None
        return History(history=page, history_count=row.version, next=following)

    @app.post(
        "/orders/{id}/cancel",
        status_code=202,
        response_model=OrderStatus,
        responses=refusals(TOO_LATE, NOT_FOUND),
        summary="Take an order back, while it is not shipped",
    )
    async def cancel(id: OrderId, person: Person, mutation: Mutation, once: Once) -> Response:
        async def effect(db: AsyncConnection) -> OrderStatus:
            row = await order_of(db, id, person)
            if not await orders.ask_to_cancel(db, id, mutation):
                raise TOO_LATE.problem()
            await engine.wake(id, row.run, FORWARD)
            return status_of(row)

        return await once(effect)

    add_operator_api(app, orders, engine, attention_seconds=settings.attention_seconds)
    return app


def _clients(settings: OrdersSettings) -> dict[str, httpx.AsyncClient]:
    timeouts = {"catalog": settings.catalog_seconds}
    urls = {
        "identity": settings.identity_url,
        "catalog": settings.catalog_url,
        "inventory": settings.inventory_url,
        "payments": settings.payments_url,
        "shipping": settings.shipping_url,
    }
    return {
        name: http_client(url.rstrip("/"), timeout=timeouts.get(name, settings.call_seconds))
        for name, url in urls.items()
    }


def _participants(settings: OrdersSettings, clients: dict[str, httpx.AsyncClient]) -> Participants:
    token = ServiceToken(
        clients["identity"],
        "/token",
        client_id="orders",
        client_secret=settings.orders_client_secret.get_secret_value(),
        scope="saga",
    )
    return Participants(
        clients, token, call_seconds=settings.call_seconds, pause_seconds=settings.step_pause_ms / 1000
    )


def _policy(settings: OrdersSettings) -> Policy:
    return Policy(
        forward_seconds=settings.forward_seconds,
        retry_first_seconds=settings.retry_first_seconds,
        retry_cap_seconds=settings.retry_cap_seconds,
        attention_attempts=settings.attention_attempts,
        attention_seconds=settings.attention_seconds,
        attention_cap_seconds=settings.attention_cap_seconds,
        attempts_per_run=settings.attempts_per_run,
    )
