"""Notifications' API on real sockets, a real file and a real Valkey: events in, notifications and bells out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from bff_service import Event, stream_of
from openapi_spec_validator import validate
from redis.asyncio import Redis

from tests.conftest import Valkey
from tests.upstreams.conftest import Issuer, Json, Process, Running, Serve, until
from upstreams.notifications.app import build
from upstreams.notifications.handler import PoisonError, understood
from upstreams.notifications.inbox import bell_name
from upstreams.notifications.models import StatusEvent
from upstreams.notifications.texts import wording_of
from upstreams.orders.activities import status_event
from upstreams.orders.saga import Change, Order

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
GROUP = "notifications"
DEAD = "events:notifications:dead"
# The events of a crashed consumer are taken over soon; an event is delivered three times at most.
QUICK = {"claim_idle_ms": 150, "max_deliveries": 3}


def event_of(
    order: str, owner: str, status: str = "COMPLETED", *, sequence: int = 5, reason: str | None = None
) -> Event:
    """The event as orders writes it."""
    line = {"sku": "mug-01", "name": "Mug", "quantity": 2, "price_cents": 1890}
    asked = {
        "id": order,
        "owner": owner,
        "mutation": "k-1",
        "data": {"lines": [line], "total_cents": 3780, "currency": "EUR"},
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    }
    told = {"version": sequence, "status": status, "step": "ship", "attempt": 1, "reason": reason}
    told |= {"next_try_at": None, "last_error": None, "note": None}
    return status_event(cast(Order, asked), cast(Change, told), AT)


async def publish(redis_url: str, *events: Event, service: str = "orders") -> None:
    async with Redis.from_url(redis_url) as redis:
        for event in events:
            await redis.xadd(stream_of(service, event.partition_key), {"event": event.json()})


async def publish_raw(redis_url: str, body: bytes | str, field: str = "event", stream: int = 0) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.xadd(f"events:orders:{stream}", {field: body})


async def pending(redis_url: str) -> int:
    """How many entries are delivered and not acknowledged, over all partitions."""
    async with Redis.from_url(redis_url) as redis:
        groups: Any = [
            group for n in range(16) for group in await redis.xinfo_groups(f"events:orders:{n}")
        ]  # redis-py's type covers every reply
    return sum(group["pending"] for group in groups)


async def done(redis_url: str) -> None:
    """Return once everything published is read and acknowledged."""

    async def all_read() -> bool:
        async with Redis.from_url(redis_url) as redis:
            for n in range(16):
                if not await redis.exists(f"events:orders:{n}"):
                    return False
                for group in await redis.xinfo_groups(f"events:orders:{n}"):
                    if group["lag"] or group["pending"]:
                        return False
        return True

    await until(all_read)


async def dead(redis_url: str) -> list[dict[bytes, bytes]]:
    async with Redis.from_url(redis_url) as redis:
        entries: Any = await redis.xrange(DEAD)
    return [fields for _, fields in entries]


async def bells(redis_url: str, owner: str) -> list[Json]:
    name = bell_name(owner)
    async with Redis.from_url(redis_url) as redis:
        entries: Any = await redis.xrange(stream_of("notifications", name))
    found = [json.loads(fields[b"event"]) for _, fields in entries]
    return [event for event in found if event["subject"] == name]


async def shown(notifications: Running, issuer: Issuer, person: str = "ada", query: str = "") -> Json:
    answer = await notifications.get(f"/notifications{query}", token=issuer.token(person))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def shown_once(notifications: Running, issuer: Issuer, number: int = 1) -> Json:
    """The notifications, once there are so many."""

    async def enough() -> Json | None:
        found = await shown(notifications, issuer)
        return found if len(found["notifications"]) >= number else None

    found = await until(enough)
    assert len(found["notifications"]) == number
    return dict(found)


@pytest.fixture
def start(serve: Serve, redis_url: str, tmp_path: Path, issuer: Issuer) -> Callable[..., Awaitable[Running]]:
    """Start notifications in this process on the shared server; `name` is the name of its consumer."""

    async def started(name: str = "n-0", **changed: Any) -> Running:
        return await serve(build, **{"redis_url": redis_url, "consumer_name": name, **QUICK, **changed})

    return started


Start = Callable[..., Awaitable[Running]]


async def test_the_end_of_an_order_makes_a_notification_with_a_text(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    ada = f"{issuer.url}|ada"
    notifications = await start()
    await publish(
        redis_url,
        event_of("order-1", ada, "RUNNING", sequence=1),
        event_of("order-1", ada, "COMPLETED", sequence=4),
        event_of("order-2", ada, "NEEDS_ATTENTION", reason="card-declined"),
        event_of("order-3", ada, "COMPENSATED", reason="card-declined"),
        event_of("order-4", ada, "REJECTED", reason="out-of-stock"),
    )
    found = await shown_once(notifications, issuer, 4)
    assert found["unread"] == 4
    assert [one["kind"] for one in found["notifications"]] == [
        "order-rejected",
        "order-compensated",
        "order-needs-attention",
        "order-completed",
    ]
    assert found["notifications"][-1] == {
        "id": "order-1:4",
        "kind": "order-completed",
        "title": "Your order is on its way",
        "text": "Order order-1 is on its way: 2 × Mug.",
        "order_id": "order-1",
        "at": "2026-01-02T03:04:05.000Z",
        "read": False,
    }
    assert "the bank declined the card" in found["notifications"][1]["text"]
    assert "not enough in stock" in found["notifications"][0]["text"]


@pytest.mark.parametrize("status", ["COMPENSATED", "REJECTED"])
def test_an_unknown_reason_makes_a_notification_with_a_general_text(status: str) -> None:
    event = StatusEvent.model_validate_json(event_of("o", "i|ada", status, reason="never-heard-of").json())
    wording = wording_of(event)
    assert wording is not None
    assert "something went wrong on our side" in wording.text
    assert "never-heard-of" not in wording.text


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "COMPENSATING", "SOMETHING_NEW"])
def test_an_order_under_way_makes_no_notification(status: str) -> None:
    event = understood(event_of("o", "i|ada", status).json())
    assert event is not None
    assert wording_of(event) is None


async def test_a_repeated_event_makes_one_notification(start: Start, issuer: Issuer, redis_url: str) -> None:
    notifications = await start()
    event = event_of("order-1", f"{issuer.url}|ada")
    await publish(redis_url, *[event] * 5, event_of("order-2", f"{issuer.url}|ada"))
    await shown_once(notifications, issuer, 2)
    await done(redis_url)
    assert len((await shown(notifications, issuer))["notifications"]) == 2

    async def two() -> list[Json] | None:
        found = await bells(redis_url, f"{issuer.url}|ada")
        return found if len(found) >= 2 else None

    assert [bell["sequence"] for bell in await until(two)] == ["1", "2"]
    assert await dead(redis_url) == []


async def test_an_order_that_fails_repeatedly_makes_one_notification(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    ada = f"{issuer.url}|ada"
    notifications = await start()
    attempts = [event_of("order-1", ada, "NEEDS_ATTENTION", sequence=number) for number in range(7, 11)]
    await publish(redis_url, *attempts, event_of("order-2", ada, "NEEDS_ATTENTION", sequence=7))
    await publish(redis_url, event_of("order-1", ada, "COMPENSATED", sequence=11, reason="cancelled"))
    found = await shown_once(notifications, issuer, 3)
    assert [(one["order_id"], one["kind"]) for one in found["notifications"]] == [
        ("order-1", "order-compensated"),
        ("order-2", "order-needs-attention"),
        ("order-1", "order-needs-attention"),
    ]


async def test_events_from_before_the_first_start_make_notifications_too(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    await publish(redis_url, event_of("order-1", f"{issuer.url}|ada"))
    await shown_once(await start(), issuer)


async def test_two_consumers_share_the_work_and_handle_each_event_once(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    first, _ = await start("n-0"), await start("n-1")
    owners = [f"{issuer.url}|{n}" for n in range(30)]
    events = [event_of(f"order-{n}", owner) for n, owner in enumerate(owners)]
    await publish(redis_url, *events, *events)
    await done(redis_url)
    for n in range(30):
        found = await shown(first, issuer, str(n))
        assert [one["order_id"] for one in found["notifications"]] == [f"order-{n}"]


async def test_two_people_never_see_each_others_notifications(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    notifications = await start()
    await publish(
        redis_url,
        event_of("order-1", f"{issuer.url}|ada"),
        event_of("order-2", f"{issuer.url}|grace"),
        event_of("order-3", "http://elsewhere|ada"),
    )
    await done(redis_url)
    mine = await shown(notifications, issuer, "ada")
    hers = await shown(notifications, issuer, "grace")
    assert [one["order_id"] for one in mine["notifications"]] == ["order-1"]
    assert [one["order_id"] for one in hers["notifications"]] == ["order-2"]

    # The id of another person's notification marks nothing, and is no cursor either.
    answer = await notifications.post(
        "/notifications/read", {"ids": ["order-2:5"]}, token=issuer.token("ada")
    )
    assert answer.json() == {"unread": 1}
    assert (await shown(notifications, issuer, "grace"))["unread"] == 1
    stolen = await notifications.get("/notifications?after=order-2:5", token=issuer.token("ada"))
    assert (stolen.status_code, stolen.json()["code"]) == (422, "unknown-cursor")
    assert (await notifications.get("/notifications")).status_code == 401
    assert (await notifications.get("/notifications", token=issuer.saga_token())).status_code == 403


async def test_the_list_continues_after_its_last_entry(start: Start, issuer: Issuer, redis_url: str) -> None:
    notifications = await start()
    await publish(redis_url, *(event_of(f"order-{n}", f"{issuer.url}|ada") for n in range(60)))
    await done(redis_url)
    first = await shown(notifications, issuer)
    assert (len(first["notifications"]), first["unread"]) == (50, 60)
    last = first["notifications"][-1]["id"]
    rest = await shown(notifications, issuer, query=f"?after={last}")
    orders = [one["order_id"] for one in first["notifications"] + rest["notifications"]]
    assert orders == [f"order-{n}" for n in reversed(range(60))]
    assert rest["unread"] == 60


async def test_the_version_of_the_bell_rises_with_each_change_and_it_has_the_unread_count(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    ada = f"{issuer.url}|ada"
    notifications = await start()
    for n in range(3):
        await publish(redis_url, event_of(f"order-{n}", ada))
    await shown_once(notifications, issuer, 3)
    token = issuer.token("ada")
    some = await notifications.post("/notifications/read", {"ids": ["order-1:5", "x"]}, token=token, key="k")
    again = await notifications.post("/notifications/read", {"ids": ["order-1:5", "x"]}, token=token, key="k")
    assert (some.json(), again.json()) == ({"unread": 2}, {"unread": 2})
    assert again.headers["idempotency-replayed"] == "true"
    nothing_new = await notifications.post("/notifications/read", {"ids": ["order-1:5"]}, token=token)
    assert nothing_new.json() == {"unread": 2}
    assert (await notifications.post("/notifications/read", {}, token=token)).json() == {"unread": 0}
    assert {one["read"] for one in (await shown(notifications, issuer))["notifications"]} == {True}

    async def five() -> list[Json] | None:
        found = await bells(redis_url, ada)
        return found if len(found) >= 5 else None

    found = await until(five)
    assert [bell["data"]["data"] for bell in found] == [
        {"unread": unread, "version": version} for version, unread in enumerate([1, 2, 3, 2, 0], 1)
    ]
    first = found[0]
    assert [first[name] for name in ("type", "source", "id", "sequence", "traceparent")] == [
        "shop.bell.value",
        "/services/notifications",
        f"{bell_name(ada)}:1",
        "1",
        f"00-{'a' * 32}-{'b' * 16}-01",
    ]
    assert first["data"]["version"] == 1
    assert first["data"]["at"].endswith("Z")
    assert ada not in json.dumps(found)


async def test_wrong_input_is_refused_with_pointers(start: Start, issuer: Issuer) -> None:
    notifications = await start()
    token = issuer.token("ada")
    for body, pointer in (
        ({"ids": ["x"] * 101}, "/ids"),
        ({"ids": ["a\0b"]}, "/ids/0"),
        ({"all": True}, "/all"),
    ):
        answer = await notifications.post("/notifications/read", body, token=token)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await notifications.post("/notifications/read", {}, token=token, key=None)).status_code == 400


async def test_notifications_openapi_is_valid_and_readiness_names_its_dependencies(start: Start) -> None:
    notifications = await start()
    validate((await notifications.get("/openapi.json")).json())
    assert (await notifications.get("/readyz")).json()["dependencies"] == {
        "database": {"ready": True, "required": True},
        "redis": {"ready": True, "required": False},
    }


def test_only_an_invalid_order_event_raises_poison_error() -> None:
    good = json.loads(event_of("o", "i|ada").json())
    assert understood(json.dumps({**good, "extension": 1}).encode()) is not None
    assert understood(json.dumps({**good, "type": "shop.other"}).encode()) is None
    wrong: list[Any] = [
        {},
        [],
        {**good, "data": None},
        {**good, "id": "x" * 300},
        {**good, "subject": "a\0b"},
        {**good, "data": {**good["data"], "owner": None}},
        {**good, "data": {**good["data"], "at": "yesterday"}},
        {name: value for name, value in good.items() if name != "subject"},
    ]
    for document in wrong:
        with pytest.raises(PoisonError):
            understood(json.dumps(document).encode())
    for body in (b"", b"{", b"\xff\xfe", b'{"type": "shop.order.status"'):
        with pytest.raises(PoisonError):
            understood(body)


async def test_redis_away_is_waited_for(serve: Serve, issuer: Issuer, own_valkey: Valkey) -> None:
    own_valkey.stop()
    notifications = await serve(build, redis_url=own_valkey.url, **QUICK)
    ready = await notifications.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["dependencies"]["redis"] == {"ready": False, "required": False}
    assert (await shown(notifications, issuer))["notifications"] == []
    operator = issuer.token("operator", client_id="operator", scope="operator")
    away = await notifications.get("/dead-letters", token=operator)
    assert (away.status_code, away.json()["code"]) == (503, "redis-unavailable")

    async def rung() -> list[Json]:
        return await bells(own_valkey.url, f"{issuer.url}|ada")

    own_valkey.start()
    await publish(own_valkey.url, event_of("order-1", f"{issuer.url}|ada"))
    await shown_once(notifications, issuer)

    # After Redis was emptied: the groups are created again, the bells are published again, and the next event is
    # received.
    await until(rung)
    own_valkey.stop()
    own_valkey.start()
    assert (await until(rung))[-1]["data"]["data"] == {"unread": 1, "version": 1}
    await publish(own_valkey.url, event_of("order-1", f"{issuer.url}|ada"))
    await publish(own_valkey.url, event_of("order-2", f"{issuer.url}|ada"))
    await shown_once(notifications, issuer, 2)


async def test_a_consumer_killed_before_the_acknowledgement_makes_no_second_notification(
    process: Callable[..., Process], issuer: Issuer, redis_url: str
) -> None:
    ada = f"{issuer.url}|ada"
    service = process("upstreams.notifications", REDIS_URL=redis_url, CLAIM_IDLE_MS="300")
    notifications = await service.start()
    await notifications.faults(hold="after", match="EVENT shop.order.status")
    await publish(redis_url, event_of("order-1", ada))
    await notifications.held()
    await publish(redis_url, event_of("order-2", ada))
    assert len((await shown(notifications, issuer))["notifications"]) == 1
    assert await pending(redis_url) == 1
    service.kill()
    notifications = await service.start()
    await done(redis_url)
    found = await shown(notifications, issuer)
    assert [one["order_id"] for one in found["notifications"]] == ["order-2", "order-1"]

    async def both() -> list[Json] | None:
        rung = await bells(redis_url, ada)
        return rung if len({bell["id"] for bell in rung}) == 2 else None

    assert (await until(both))[-1]["data"]["data"] == {"unread": 2, "version": 2}
    assert await dead(redis_url) == []


async def test_another_consumer_takes_over_from_a_killed_one(
    process: Callable[..., Process], start: Start, issuer: Issuer, redis_url: str
) -> None:
    killed = process("upstreams.notifications", REDIS_URL=redis_url, CONSUMER_NAME="killed")
    victim = await killed.start()
    await victim.faults(hold="before", match="EVENT")
    await publish(redis_url, event_of("order-1", f"{issuer.url}|ada"))
    await victim.held()
    killed.kill()
    notifications = await start("heir")
    await shown_once(notifications, issuer)
    await done(redis_url)


async def test_requests_of_a_person_are_answered_while_an_event_is_held(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    notifications = await start()
    await notifications.faults(hold="before", match="EVENT")
    await publish(redis_url, event_of("order-1", f"{issuer.url}|ada"))
    await notifications.held()
    async with asyncio.timeout(60):
        assert (await shown(notifications, issuer))["unread"] == 0
    await notifications.release()
    await shown_once(notifications, issuer)
