"""The services on PostgreSQL: simultaneous duplicates, replicas, tombstones, kills, and a restart of the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from bff_service import Database, Outbox
from sqlalchemy import MetaData
from starlette.types import ASGIApp

from tests.upstreams.conftest import Issuer, Json, Process, Running, Serve, until
from tests.upstreams.postgres import Postgres, postgres, postgres_session
from tests.upstreams.test_bff_service import Deliveries, written
from tests.upstreams.test_notifications import done, event_of, publish
from upstreams.catalog.app import build as build_catalog
from upstreams.catalog.seed import PRODUCTS
from upstreams.inventory.app import SEED
from upstreams.inventory.app import build as build_inventory
from upstreams.notifications.app import build as build_notifications
from upstreams.notifications.handler import EventHandler
from upstreams.notifications.inbox import Inbox
from upstreams.payments.app import build as build_payments
from upstreams.shipping.app import build as build_shipping

__all__ = ["postgres", "postgres_session"]

pytestmark = pytest.mark.slow

LINES = [{"sku": "mug-01", "quantity": 2}]


class Participant:
    """What the saga's three participants have in common: an action, its undo, and a list of effects."""

    def __init__(self, name: str, build: Callable[[Any], ASGIApp], act: str, undo: str, body: Json) -> None:
        self.name = name
        self.build = build
        self.act = act
        self.undo = undo
        self.body = body

    def __repr__(self) -> str:
        return self.name

    async def effects(self, running: Running, issuer: Issuer) -> int:
        """How many times the action took effect, according to the service."""
        if self.name == "inventory":
            level = (await running.get("/stock/mug-01")).json()
            return (SEED["mug-01"] - int(level["available"])) // LINES[0]["quantity"]  # type: ignore[operator]
        answer = await running.get(self.act, token=issuer.saga_token())
        return len(answer.json()[self.act.removeprefix("/")])


OWNER = {"order_id": "order-1", "owner": "http://issuer|ada"}
PARTICIPANTS = [
    Participant(
        "inventory",
        build_inventory,
        "/reservations",
        "/reservations/order-1/release",
        {"order_id": "order-1", "lines": LINES},
    ),
    Participant(
        "payments",
        build_payments,
        "/charges",
        "/charges/order-1/refund",
        {**OWNER, "amount_cents": 1890, "currency": "EUR"},
    ),
    Participant(
        "shipping",
        build_shipping,
        "/shipments",
        "/shipments/order-1/cancel",
        {**OWNER, "lines": LINES},
    ),
]
each_participant = pytest.mark.parametrize("participant", PARTICIPANTS, ids=repr)


@each_participant
async def test_duplicates_at_once_on_two_replicas_have_one_effect(
    serve: Serve, issuer: Issuer, postgres: Postgres, participant: Participant
) -> None:
    replicas = [await serve(participant.build, database_url=postgres.url()) for _ in range(2)]
    token = issuer.saga_token()
    same = [
        replicas[n % 2].post(participant.act, participant.body, token=token, key="same") for n in range(25)
    ]
    other = [replicas[n % 2].post(participant.act, participant.body, token=token) for n in range(15)]
    answers = await asyncio.gather(*same, *other)
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert await participant.effects(replicas[0], issuer) == 1


@each_participant
async def test_an_undo_that_comes_first_refuses_the_late_action(
    serve: Serve, issuer: Issuer, postgres: Postgres, participant: Participant
) -> None:
    running = await serve(participant.build, database_url=postgres.url())
    token = issuer.saga_token()
    undos = await asyncio.gather(*(running.post(participant.undo, token=token) for _ in range(10)))
    assert {answer.status_code for answer in undos} == {200}
    for key in ("k-1", "k-1", "k-2"):
        late = await running.post(participant.act, participant.body, token=token, key=key)
        assert (late.status_code, late.json()["code"]) == (409, "cancelled")
    assert await participant.effects(running, issuer) == 0


@each_participant
async def test_an_action_and_its_undo_at_the_same_time_end_undone(
    serve: Serve, issuer: Issuer, postgres: Postgres, participant: Participant
) -> None:
    running = await serve(participant.build, database_url=postgres.url())
    token = issuer.saga_token()
    actions = [running.post(participant.act, participant.body, token=token) for _ in range(10)]
    undos = [running.post(participant.undo, token=token) for _ in range(10)]
    answers = await asyncio.gather(*(one for pair in zip(actions, undos, strict=True) for one in pair))
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    late = await running.post(participant.act, participant.body, token=token)
    assert (late.status_code, late.json()["code"]) == (409, "cancelled")
    if participant.name == "inventory":
        assert await participant.effects(running, issuer) == 0


@each_participant
@pytest.mark.parametrize("hold", ["before", "after"])
async def test_an_effect_happens_exactly_once_when_the_service_is_killed_around_it(
    process: Callable[..., Process], issuer: Issuer, postgres: Postgres, participant: Participant, hold: str
) -> None:
    service = process(f"upstreams.{participant.name}", DATABASE_URL=postgres.url())
    running = await service.start()
    await running.faults(hold=hold, match=f"POST {participant.act}$")
    async with asyncio.TaskGroup() as group:

        async def act() -> None:
            with contextlib.suppress(httpx.TransportError):
                await running.post(participant.act, participant.body, token=issuer.saga_token(), key="k-1")
                raise AssertionError("a killed service answered")

        group.create_task(act())
        await running.held()
        service.kill()
    running = await service.start()
    assert await participant.effects(running, issuer) == (1 if hold == "after" else 0)
    again = await running.post(participant.act, participant.body, token=issuer.saga_token(), key="k-1")
    assert again.status_code == 201
    assert ("idempotency-replayed" in again.headers) is (hold == "after")
    assert await participant.effects(running, issuer) == 1


async def test_repeats_of_the_order_that_reserved_the_last_pieces_are_not_refused(
    serve: Serve, issuer: Issuer, postgres: Postgres
) -> None:
    replicas = [await serve(build_inventory, database_url=postgres.url()) for _ in range(2)]
    body = {"order_id": "order-1", "lines": [{"sku": "bike-01", "quantity": SEED["bike-01"]}]}
    answers = await asyncio.gather(
        *(replicas[n % 2].post("/reservations", body, token=issuer.saga_token()) for n in range(20))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert (await replicas[0].get("/stock/bike-01")).json()["available"] == 0


async def test_fifty_orders_at_once_never_sell_more_than_the_stock(
    serve: Serve, issuer: Issuer, postgres: Postgres
) -> None:
    replicas = [await serve(build_inventory, database_url=postgres.url()) for _ in range(2)]

    async def order(n: int) -> int:
        lines = [{"sku": "bike-01", "quantity": 1}, {"sku": "mug-01", "quantity": 1}]
        body = {"order_id": f"order-{n}", "lines": lines if n % 2 else lines[::-1]}
        return (await replicas[n % 2].post("/reservations", body, token=issuer.saga_token())).status_code

    assert sorted(await asyncio.gather(*map(order, range(50)))) == [201] * 3 + [409] * 47
    levels = (await replicas[0].get("/stock?sku=bike-01&sku=mug-01")).json()["levels"]
    assert [(level["available"], level["version"]) for level in levels] == [(0, 4), (37, 4)]


async def test_replicas_that_start_at_once_seed_once(serve: Serve, postgres: Postgres) -> None:
    builds = [build_catalog, build_inventory, build_payments] * 3
    started = await asyncio.gather(*(serve(build, database_url=postgres.url()) for build in builds))
    assert [len((await one.get("/products")).json()["products"]) for one in started[::3]] == [
        len(PRODUCTS)
    ] * 3
    assert len((await started[1].get("/stock")).json()["levels"]) == len(SEED)


async def test_text_that_postgres_cannot_store_is_refused_as_invalid(
    serve: Serve, issuer: Issuer, postgres: Postgres
) -> None:
    catalog = await serve(build_catalog, database_url=postgres.url())
    answer = await catalog.get("/products?sku=mug-01&sku=a%00b")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/sku/1")
    shipping = await serve(build_shipping, database_url=postgres.url())
    body = {**OWNER, "owner": "a\0b", "lines": LINES}
    refused = await shipping.post("/shipments", body, token=issuer.saga_token())
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/owner")


async def test_the_services_reconnect_to_a_restarted_database_server(
    serve: Serve, issuer: Issuer, postgres: Postgres, redis_url: str
) -> None:
    services = {
        "catalog": await serve(build_catalog, database_url=postgres.url()),
        "inventory": await serve(build_inventory, database_url=postgres.url(), redis_url=redis_url),
        "notifications": await started_notifications(serve, postgres, redis_url),
    }
    for one in services.values():
        assert (await one.get("/readyz")).status_code == 200
    postgres.stop()
    for one in services.values():
        answer = await one.get("/readyz")
        assert (answer.status_code, answer.json()["dependencies"]["database"]["ready"]) == (503, False)
    assert (await services["catalog"].get("/products")).status_code == 500
    # It comes while the database is away: nothing is lost, and it does not count as a delivery.
    await publish(redis_url, event_of("order-1", f"{issuer.url}|ada"))
    postgres.start()
    assert (await services["catalog"].get("/products")).status_code == 200
    answer = await services["inventory"].post(
        "/reservations", PARTICIPANTS[0].body, token=issuer.saga_token()
    )
    assert answer.status_code == 201
    await told(services["notifications"], issuer)
    # A restart between requests: the next requests find only dead connections, and succeed.
    for restart in (False, True):
        if restart:
            postgres.stop()
            postgres.start()
        for _ in range(5):
            assert (await services["catalog"].get("/products")).status_code == 200


async def started_notifications(
    serve: Serve, postgres: Postgres, redis_url: str, name: str = "n-0"
) -> Running:
    return await serve(
        build_notifications,
        database_url=postgres.url(),
        redis_url=redis_url,
        consumer_name=name,
        claim_idle_ms=200,
        max_deliveries=1,
    )


async def told(notifications: Running, issuer: Issuer, person: str = "ada", number: int = 1) -> Json:
    async def enough() -> Json | None:
        answer = await notifications.get("/notifications", token=issuer.token(person))
        found: Json = answer.json()
        return found if answer.status_code == 200 and len(found["notifications"]) >= number else None

    found: Json = await until(enough)
    assert len(found["notifications"]) == number
    return found


async def test_the_same_events_in_two_processes_at_once_make_one_notification_each(
    postgres: Postgres,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        handlers = []
        for _ in range(2):
            metadata = MetaData()
            inbox, outbox = Inbox(metadata), Outbox(metadata)
            database = Database(postgres.url("notifications"), metadata)
            stack.push_async_callback(database.close)
            async with database.alone():
                await database.create_tables()
            handlers.append(EventHandler(database, inbox, outbox, None))
        bodies = [event_of(f"order-{n}", f"i|{n % 4}").json() for n in range(12)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(one.handle(body) for body in bodies for one in handlers))
        async with database.read() as db:
            bells = await inbox.bells(db)
    assert sorted((bell.owner, bell.unread, bell.version) for bell in bells) == [
        (f"i|{n}", 3, 3) for n in range(4)
    ]


async def test_two_consumers_on_one_database_handle_each_event_once(
    serve: Serve, issuer: Issuer, postgres: Postgres, redis_url: str
) -> None:
    pair = [await started_notifications(serve, postgres, redis_url, name) for name in ("n-0", "n-1")]
    events = [event_of(f"order-{n}", f"{issuer.url}|ada") for n in range(20)]
    await publish(redis_url, *events, *events)
    await done(redis_url)
    found = await told(pair[0], issuer, number=20)
    assert found["unread"] == 20
    reads: list[Awaitable[httpx.Response]] = [
        pair[n % 2].post("/notifications/read", {"ids": [f"order-{n}:5"]}, token=issuer.token("ada"))
        for n in range(10)
    ]
    assert {answer.status_code for answer in await asyncio.gather(*reads)} == {200}
    assert (await told(pair[1], issuer, number=20))["unread"] == 10


async def test_two_replicas_that_drain_one_outbox_deliver_each_message_once_and_in_order(
    postgres: Postgres,
) -> None:
    pair = []
    for _ in range(2):
        metadata = MetaData()
        outbox = Outbox(metadata)
        pair.append((outbox, Database(postgres.url("inventory"), metadata)))
    await pair[0][1].create_tables()
    deliveries = Deliveries()
    keys = [f"saga-{number}" for number in range(6)]
    async with asyncio.TaskGroup() as group:
        drains = [group.create_task(outbox.drain(database, deliveries)) for outbox, database in pair]
        for number in range(1, 21):
            for key in keys:
                await written(*pair[number % 2], key, number)

        async def all_there() -> bool:
            return len(deliveries.found) >= 120

        await until(all_there)
        for drain in drains:
            drain.cancel()
    for key in keys:
        assert [id for of, id in deliveries.found if of == key] == [f"{key}:{n}" for n in range(1, 21)]
    for _, database in pair:
        await database.close()
