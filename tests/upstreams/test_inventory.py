"""Inventory's API and its events: real sockets, a real file, a real stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from bff_service import stream_of
from openapi_spec_validator import validate
from redis.asyncio import Redis

from tests.conftest import Valkey
from tests.upstreams.conftest import Issuer, Process, Running, Serve, until
from upstreams.inventory.app import SEED, build


def lines_of(**quantities: int) -> list[dict[str, Any]]:
    return [{"sku": f"{name}-01", "quantity": number} for name, number in quantities.items()]


def reservation_of(order: str = "order-1", **quantities: int) -> dict[str, Any]:
    return {"order_id": order, "lines": lines_of(**quantities)}


async def left(inventory: Running, sku: str = "mug-01") -> int:
    return int((await inventory.get(f"/stock/{sku}")).json()["available"])


async def events(redis_url: str, sku: str) -> list[dict[str, Any]]:
    """The sku's events, in the order of its stream."""
    async with Redis.from_url(redis_url) as redis:
        entries: Any = await redis.xrange(stream_of("inventory", sku))  # redis-py's type covers every reply
    found = [json.loads(fields[b"event"]) for _, fields in entries]
    return [event for event in found if event["subject"] == sku]


async def test_all_or_some_levels_can_be_read_without_a_token(serve: Serve) -> None:
    inventory = await serve(build)
    everything = (await inventory.get("/stock")).json()["levels"]
    some = (await inventory.get("/stock?sku=mug-01&sku=bike-01&sku=none-99")).json()["levels"]
    assert {level["sku"]: level["available"] for level in everything} == SEED
    assert [level["sku"] for level in some] == ["bike-01", "mug-01"]
    assert (await inventory.get("/stock/mug-01")).json() == {"sku": "mug-01", "available": 40, "version": 1}
    assert (await inventory.get("/stock/none-99")).status_code == 404


async def test_a_reservation_lowers_the_stock_and_a_release_raises_it(serve: Serve, issuer: Issuer) -> None:
    inventory = await serve(build)
    token = issuer.saga_token()
    made = await inventory.post("/reservations", reservation_of(mug=2, pen=1), token=token)
    assert (made.status_code, made.json()) == (201, {"order_id": "order-1", "status": "reserved"})
    assert (await inventory.get("/stock/mug-01")).json() == {"sku": "mug-01", "available": 38, "version": 2}
    for _ in range(2):
        released = await inventory.post("/reservations/order-1/release", token=token)
        assert (released.status_code, released.json()) == (200, {"order_id": "order-1", "status": "released"})
    assert (await inventory.get("/stock/mug-01")).json() == {"sku": "mug-01", "available": 40, "version": 3}
    late = await inventory.post("/reservations", reservation_of(mug=2, pen=1), token=token)
    assert (late.status_code, late.json()["code"]) == (409, "cancelled")


async def test_too_little_stock_refuses_the_whole_order_with_pointers_to_its_short_lines(
    serve: Serve, issuer: Issuer
) -> None:
    inventory = await serve(build)
    body = reservation_of(mug=1, bike=4, none=1)
    answer = await inventory.post("/reservations", body, token=issuer.saga_token())
    assert (answer.status_code, answer.json()["code"]) == (409, "out-of-stock")
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "/lines/1/quantity",
        "/lines/2/quantity",
    ]
    assert await left(inventory) == 40
    missing = await inventory.get("/reservations/order-1", token=issuer.saga_token())
    assert missing.status_code == 404


async def test_one_sku_on_two_lines_is_counted_together(serve: Serve, issuer: Issuer) -> None:
    inventory = await serve(build)
    body = {"order_id": "order-1", "lines": lines_of(bike=2) * 2}
    answer = await inventory.post("/reservations", body, token=issuer.saga_token())
    assert answer.status_code == 409
    assert await left(inventory, "bike-01") == 3


async def test_fifty_orders_at_once_never_sell_more_than_the_stock(serve: Serve, issuer: Issuer) -> None:
    inventory = await serve(build)
    token = issuer.saga_token()
    answers = await asyncio.gather(
        *(
            inventory.post("/reservations", reservation_of(f"order-{n}", bike=1), token=token)
            for n in range(50)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 47
    assert await left(inventory, "bike-01") == 0


async def test_fifty_repeats_of_one_order_reserve_once(serve: Serve, issuer: Issuer) -> None:
    inventory = await serve(build)
    token = issuer.saga_token()
    same = [inventory.post("/reservations", reservation_of(mug=1), token=token, key="k") for _ in range(25)]
    other = [inventory.post("/reservations", reservation_of(mug=1), token=token) for _ in range(25)]
    answers = await asyncio.gather(*same, *other)
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert await left(inventory) == 39


async def test_other_lines_for_a_reserved_order_are_refused(serve: Serve, issuer: Issuer) -> None:
    inventory = await serve(build)
    await inventory.post("/reservations", reservation_of(mug=1), token=issuer.saga_token())
    answer = await inventory.post("/reservations", reservation_of(mug=2), token=issuer.saga_token())
    assert (answer.status_code, answer.json()["code"]) == (409, "order-differs")


async def test_a_release_that_comes_first_refuses_the_late_reservation(serve: Serve, issuer: Issuer) -> None:
    inventory = await serve(build)
    token = issuer.saga_token()
    assert (await inventory.post("/reservations/order-1/release", token=token)).status_code == 200
    late = await inventory.post("/reservations", reservation_of(mug=1), token=token)
    assert (late.status_code, late.json()["code"]) == (409, "cancelled")
    assert await left(inventory) == 40
    tombstone = await inventory.get("/reservations/order-1", token=token)
    assert tombstone.json() == {"order_id": "order-1", "status": "released", "lines": []}


async def test_only_the_saga_may_reserve(serve: Serve, issuer: Issuer) -> None:
    inventory = await serve(build)
    assert (await inventory.post("/reservations", reservation_of(mug=1))).status_code == 401
    person = await inventory.post("/reservations", reservation_of(mug=1), token=issuer.token("ada"))
    assert person.status_code == 403


async def test_wrong_lines_are_refused_with_pointers(serve: Serve, issuer: Issuer) -> None:
    inventory = await serve(build)
    body = {"order_id": "o", "lines": [{"sku": "mug-01", "quantity": 0}, {"quantity": 100}]}
    answer = await inventory.post("/reservations", body, token=issuer.saga_token())
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert (answer.status_code, pointers) == (
        422,
        {"/lines/0/quantity", "/lines/1/sku", "/lines/1/quantity"},
    )


async def test_the_planned_refusal_is_out_of_stock(serve: Serve, issuer: Issuer) -> None:
    inventory = await serve(build)
    await inventory.faults(refuse=True)
    answer = await inventory.post("/reservations", reservation_of(mug=1), token=issuer.saga_token())
    assert (answer.status_code, answer.json()["code"]) == (409, "out-of-stock")
    assert await left(inventory) == 40


async def test_inventorys_openapi_is_valid(serve: Serve) -> None:
    inventory = await serve(build)
    validate((await inventory.get("/openapi.json")).json())


async def test_each_change_of_stock_is_an_event_in_order(
    serve: Serve, issuer: Issuer, redis_url: str
) -> None:
    inventory = await serve(build, redis_url=redis_url)
    token = issuer.saga_token()
    for n in range(5):
        headers = {"BFF-Mutation": f"click-{n}"} if n else {}
        await inventory.post(
            "/reservations", reservation_of(f"order-{n}", mug=1), token=token, headers=headers
        )
    await inventory.post("/reservations/order-0/release", token=token)

    async def all_there() -> list[dict[str, Any]] | None:
        found = await events(redis_url, "mug-01")
        return found if len(found) >= 7 else None

    found = await until(all_there)
    assert [event["sequence"] for event in found] == [str(version) for version in range(1, 8)]
    assert [event["data"]["data"]["available"] for event in found] == [40, 39, 38, 37, 36, 35, 36]
    clicks = [event["data"]["mutations"] for event in found]
    assert clicks == [[], [], ["click-1"], ["click-2"], ["click-3"], ["click-4"], []]
    last = found[-1]
    assert {name: last[name] for name in ("specversion", "type", "source", "id", "subject")} == {
        "specversion": "1.0",
        "type": "shop.stock.value",
        "source": "/services/inventory",
        "id": "mug-01:7",
        "subject": "mug-01",
    }
    assert last["data"]["version"] == 7
    assert last["data"]["at"].endswith("Z")
    assert last["data"]["data"] == {"sku": "mug-01", "available": 36, "version": 7}


async def test_a_start_publishes_every_current_level(serve: Serve, redis_url: str) -> None:
    await serve(build, redis_url=redis_url)

    async def every() -> bool:
        return all([await events(redis_url, sku) for sku in SEED])

    assert await until(every)


async def test_while_redis_is_away_orders_are_served_and_their_events_are_published_later(
    serve: Serve, issuer: Issuer, own_valkey: Valkey
) -> None:
    own_valkey.stop()
    inventory = await serve(build, redis_url=own_valkey.url)
    made = await inventory.post("/reservations", reservation_of(mug=3), token=issuer.saga_token())
    assert made.status_code == 201
    ready = await inventory.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["dependencies"]["redis"] == {"ready": False, "required": False}
    own_valkey.start()

    async def both() -> list[str] | None:
        found = [event["sequence"] for event in await events(own_valkey.url, "mug-01")]
        return found if len(found) >= 2 else None

    assert await until(both) == ["1", "2"]


async def test_an_event_committed_before_a_kill_is_published_after_the_restart(
    process: Callable[..., Process], issuer: Issuer, own_valkey: Valkey
) -> None:
    own_valkey.stop()
    service = process("upstreams.inventory", REDIS_URL=own_valkey.url)
    inventory = await service.start()
    for n in range(3):
        await inventory.post("/reservations", reservation_of(f"order-{n}", mug=1), token=issuer.saga_token())
    service.kill()
    own_valkey.start()
    await service.start()

    async def four() -> list[str] | None:
        found = [event["sequence"] for event in await events(own_valkey.url, "mug-01")]
        return found if len(found) >= 4 else None

    assert await until(four) == ["1", "2", "3", "4"]
