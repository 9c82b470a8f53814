"""No event vanishes: what the gateway cannot use is counted by what is wrong, logged once for each kind with what to
do, and becomes a dead letter where it is one of ours."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from bff.calls import SagaStatus
from bff.live.ingest import EventDispatcher, Registry
from bff.live.ingest.dispatcher import MAX_KINDS, MAX_UNDECLARED
from bff.stores.dead_letters import DeadLetters
from bff.stores.events import BrokerEvent
from bff.stores.journal import Journal
from bff.stores.redis.client import RedisClient
from bff.stores.values import Values
from tests.events import cloud_event

STATUS: dict[str, Any] = {"status": "RUNNING", "owner": "https://i|ada", "at": "2026-03-01T10:00:00Z"}


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


def dispatcher_of(redis: RedisClient, ignored: Sequence[str] = ()) -> EventDispatcher:
    registry = Registry({"order": SagaStatus}, {}, ignored)
    return EventDispatcher(Journal(redis), Values(redis), registry, DeadLetters(redis))


async def send(dispatcher: EventDispatcher, *bodies: bytes) -> list[bool]:
    return [
        await dispatcher.dispatch(BrokerEvent("events:orders:0", f"1-{number}", body, "redis"))
        for number, body in enumerate(bodies)
    ]


async def stored(redis: RedisClient) -> list[str]:
    return [letter.reason for letter in await DeadLetters(redis).page(10_000)]


def status(type: str = "shop.order.status", **changes: Any) -> bytes:
    return cloud_event(type, "o1", 1, STATUS | changes)


async def test_each_is_counted_by_what_is_wrong_and_logged_once(
    redis: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = dispatcher_of(redis)
    with caplog.at_level(logging.WARNING, "bff.live"):
        assert await send(dispatcher, *[status(status="DONE")] * 3, status(owner=""), b"{", status()) == [
            *([False] * 5),
            True,
        ]
    counts = {wrong: count for wrong, count in dispatcher.dead_letters.items() if count}
    assert counts == {"data": 4, "not-json": 1}
    assert len(await stored(redis)) == 5
    wrong_status, no_owner, no_json = caplog.messages
    assert "data.status" in wrong_status and "What to do: correct this field of `data`" in wrong_status
    assert "data.owner" in no_owner
    assert "not JSON" in no_json and "one JSON object in UTF-8" in no_json
    assert "https://i|ada" not in caplog.text


async def test_an_undeclared_saga_is_stored_with_the_name_that_was_meant_and_can_be_replayed(
    redis: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = dispatcher_of(redis)
    assert await send(dispatcher, status("shop.ordr.status")) == [False]
    [reason] = await stored(redis)
    assert reason == "the type shop.ordr.status is not declared (did you mean order?)"
    assert "gateway.saga(" in caplog.text and "BFF_LIVE__IGNORE_TYPES" in caplog.text
    assert dispatcher.dead_letters["undeclared-saga"] == 1


async def test_an_event_of_another_kind_is_counted_and_logged_and_not_stored(
    redis: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = dispatcher_of(redis, ["billing.*"])
    others = [cloud_event("com.example.push", "main", 1, {"ref": "\x1b[2J"})] * 2
    assert (
        await send(dispatcher, *others, cloud_event("billing.invoice.status", "i1", 1, STATUS)) == [True] * 3
    )
    assert dispatcher.dead_letters["undeclared-type"] == 2
    assert sum(dispatcher.dead_letters.values()) == 2, "an ignored type is not counted"
    assert await stored(redis) == []
    [line] = caplog.messages
    assert "is not used (undeclared-type)" in line


async def test_one_undeclared_type_does_not_displace_other_dead_letters(redis: RedisClient) -> None:
    dispatcher = dispatcher_of(redis)
    await send(dispatcher, *[status("shop.ordr.status")] * (MAX_UNDECLARED + 5), status(status="DONE"))
    assert len(await stored(redis)) == MAX_UNDECLARED + 1
    assert dispatcher.dead_letters["undeclared-saga"] == MAX_UNDECLARED + 5


async def test_more_kinds_than_are_remembered_are_counted_and_not_logged(
    redis: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = dispatcher_of(redis)
    await send(dispatcher, *(status(f"shop.s{number}.status") for number in range(MAX_KINDS + 10)))
    assert dispatcher.dead_letters["undeclared-saga"] == MAX_KINDS + 10
    assert len(await stored(redis)) == MAX_KINDS
    assert len(caplog.messages) == MAX_KINDS + 1
    assert "further kinds are not logged" in caplog.messages[-1]
    # What is wrong with a declared type is stored all the same.
    await send(dispatcher, status(status="DONE"))
    assert len(await stored(redis)) == MAX_KINDS + 1
    assert len(caplog.messages) == MAX_KINDS + 1


async def test_a_type_cannot_control_the_log(redis: RedisClient, caplog: pytest.LogCaptureFixture) -> None:
    await send(dispatcher_of(redis), status("x.\n\x1b[2J\u202e" + "y" * 1000))
    [line] = caplog.messages
    assert line.isascii() and "\n" not in line and "\x1b" not in line and "y" * 101 not in line
