"""Orders' API. Promises that an order answered with 202 is carried out or undone, whatever is killed meanwhile, and
that the same key is the same order; refuses to show anyone another one's orders."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Final

import httpx
from sqlalchemy import MetaData

from upstreams.kit import (
    NOT_FOUND,
    Answer,
    Ask,
    Nothing,
    Publisher,
    Refusal,
    Service,
    ServiceToken,
    http_client,
)
from upstreams.kit.idempotency import REUSED
from upstreams.orders import desk
from upstreams.orders.book import Book, input_of, status_of
from upstreams.orders.engine import SagaEngine
from upstreams.orders.leases import Leases
from upstreams.orders.models import NewOrder, OrderDetail, OrderList, OrdersQuery, OrderStatus
from upstreams.orders.participants import Participants
from upstreams.orders.pricing import CATALOG_UNAVAILABLE, UNKNOWN_PRODUCT, priced
from upstreams.orders.saga import FORWARD, Order, Policy
from upstreams.orders.schema import add_missing_columns
from upstreams.orders.settings import OrdersSettings
from upstreams.orders.watchdog import Watchdog
from upstreams.orders.work import OrderWork

# Fixed for ever: an order's id follows from its owner and its key alone.
NAMESPACE: Final = uuid.UUID("5d2f2a52-6a5c-4f0e-9a5d-0b6c3a1e7f42")
BEGUN_SECONDS: Final = 10.0
TOO_LATE: Final = Refusal(409, "too-late", "This order is already on its way.", final=True)
NOT_YOURS: Final = Refusal(403, "owner-mismatch", "BFF-Owner is not who the token says.")


def order_id_of(owner: str, key: str) -> str:
    """The order of this owner's key; two owners may send the same key."""
    return str(uuid.uuid5(NAMESPACE, f"{owner}\0{key}"))


def build(settings: OrdersSettings) -> Service:
    """The orders service with its saga engine."""
    metadata = MetaData()
    book = Book(metadata)
    publisher = Publisher(settings.redis_url, "orders")
    engine = SagaEngine(settings)
    service = Service("orders", team="Orders", contact="#orders", settings=settings, metadata=metadata)
    clients: dict[str, httpx.AsyncClient] = {}

    async def begin(older_than: float = 0.0) -> None:
        # A crash may fall between an order's entry and its saga's start: both lead to the same order.
        async with service.database.read() as db:
            waiting = await book.not_begun(db, older_than)
        for order in waiting:
            await engine.start(order)

    watchdog = Watchdog(
        engine,
        Leases(settings.redis_url, settings.executor_id, seconds=settings.lease_seconds),
        # Younger ones are being started by the process that took them.
        lambda: begin(older_than=BEGUN_SECONDS),
        lease_seconds=settings.lease_seconds,
    )

    async def open_shop() -> None:
        for name, url, seconds in (
            ("identity", settings.identity_url, settings.call_seconds),
            ("catalog", settings.catalog_url, settings.catalog_seconds),
            ("inventory", settings.inventory_url, settings.call_seconds),
            ("payments", settings.payments_url, settings.call_seconds),
            ("shipping", settings.shipping_url, settings.call_seconds),
        ):
            clients[name] = http_client(url.rstrip("/"), timeout=seconds)
        async with service.database.write() as db:
            await add_missing_columns(db, (book.orders, book.history))
        if settings.watches:
            await watchdog.announce()
        await engine.launch(OrderWork(_participants(settings, clients), book, service.database, publisher))
        await begin()

    async def close_shop() -> None:
        # The engine first: what its sagas meet after that is forgotten, and happens again at the next start.
        await engine.close()
        if settings.watches:
            await watchdog.close()
        for client in clients.values():
            await client.aclose()
        await publisher.close()

    async def place(ask: Ask[NewOrder]) -> Answer:
        owner = ask.caller.id
        if ask.headers.get("bff-owner", owner) != owner:
            raise NOT_YOURS.problem()
        # What a header says is only a hint where a token says it, too.
        click = ask.caller.mutation if ask.caller.by_gateway else ask.headers.get("bff-mutation")
        order_id = order_id_of(owner, ask.key)
        async with service.database.read() as db:
            row = await book.row(db, order_id)
        if row is None:
            data = await priced(clients["catalog"], ask.input, seconds=settings.catalog_seconds)
            order = Order(
                id=order_id,
                owner=owner,
                mutation=(click or ask.key)[:255],
                fingerprint=ask.fingerprint,
                created=time.time(),
                data=data.model_dump(),
                traceparent=ask.hop.traceparent,
                correlation_id=ask.hop.correlation_id,
                policy=_policy(settings),
            )
            async with service.database.write() as db:
                row = await book.open(db, order)
        if row.fingerprint != ask.fingerprint:
            raise REUSED.problem()
        if row.version == 0:
            await engine.start(input_of(row))
        return Answer(status_of(row), location=f"/orders/{order_id}")

    async def listed(ask: Ask[OrdersQuery]) -> OrderList:
        return OrderList(orders=await book.of_owner(ask.db, ask.caller.id, ask.input.since_hours))

    async def one(ask: Ask[Nothing]) -> OrderDetail:
        row = await book.row(ask.db, ask.path["id"])
        if row is None or row.owner != ask.caller.id:
            raise NOT_FOUND.problem("There is no such order.")
        return await book.detail(ask.db, row)

    async def cancel(ask: Ask[Nothing]) -> OrderStatus:
        order_id = ask.path["id"]
        row = await book.row(ask.db, order_id)
        if row is None or row.owner != ask.caller.id:
            raise NOT_FOUND.problem("There is no such order.")
        if not await book.ask_to_cancel(ask.db, order_id):
            raise TOO_LATE.problem()
        await engine.wake(order_id, FORWARD)
        return status_of(row)

    service.on_start(open_shop)
    service.on_stop(close_shop)
    if settings.watches:
        service.background(watchdog.beat)
        service.background(watchdog.watch)
    service.needs("engine", engine.ping)
    service.needs("redis", publisher.ping, required=False)
    service.post(
        "/orders",
        place,
        takes=NewOrder,
        answers=OrderStatus,
        status=202,
        refuses=(UNKNOWN_PRODUCT, CATALOG_UNAVAILABLE, NOT_YOURS),
        transaction=False,
        summary="Place an order",
    )
    service.get("/orders", listed, takes=OrdersQuery, answers=OrderList, summary="My orders, newest first")
    service.get(
        "/orders/{id}",
        one,
        takes=Nothing,
        answers=OrderDetail,
        refuses=(NOT_FOUND,),
        summary="One of my orders with its history",
    )
    service.post(
        "/orders/{id}/cancel",
        cancel,
        takes=Nothing,
        answers=OrderStatus,
        status=202,
        refuses=(TOO_LATE, NOT_FOUND),
        summary="Take an order back, while it is not shipped",
    )
    desk.declare(service, book, engine, attention_seconds=settings.attention_seconds)
    return service


def _participants(settings: OrdersSettings, clients: Mapping[str, httpx.AsyncClient]) -> Participants:
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
    )
