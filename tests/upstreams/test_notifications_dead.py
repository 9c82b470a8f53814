"""Events that cannot be used, and events that fail too often, become dead letters; they block no other event and can be
replayed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from bff_service import stream_of
from redis.asyncio import Redis

from tests.upstreams.conftest import Issuer, Json, Running, until
from tests.upstreams.test_notifications import (
    DEAD,
    GROUP,
    Start,
    bells,
    dead,
    done,
    event_of,
    publish,
    publish_raw,
    shown,
    shown_once,
    start,
)

__all__ = ["start"]


def operator_token(issuer: Issuer) -> str:
    return issuer.token("operator", client_id="operator", scope="operator")


async def letters(notifications: Running, issuer: Issuer) -> list[Json]:
    answer = await notifications.get("/dead-letters", token=operator_token(issuer))
    assert answer.status_code == 200, answer.text
    return list(answer.json()["dead_letters"])


async def buried(redis_url: str, number: int = 1) -> list[dict[bytes, bytes]]:
    """The dead letters, once there are so many."""

    async def enough() -> list[dict[bytes, bytes]] | None:
        found = await dead(redis_url)
        return found if len(found) >= number else None

    return list(await until(enough))


async def test_an_unusable_event_is_a_dead_letter_at_once_and_the_next_event_is_handled(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    ada = f"{issuer.url}|ada"
    partition = int(stream_of("orders", ada).rsplit(":", 1)[1])
    # The idle time is so long that no second delivery can happen here.
    notifications = await start(claim_idle_ms=600_000)
    unowned = json.loads(event_of("order-0", ada).json())
    del unowned["data"]["owner"]
    for body in ("{not json", b"\xff\x00\xfe", json.dumps(unowned)):
        await publish_raw(redis_url, body, stream=partition)
    await publish_raw(redis_url, "x", field="something-else", stream=partition)
    await publish(redis_url, event_of("order-1", ada))
    await shown_once(notifications, issuer)
    await done(redis_url)

    found = await dead(redis_url)
    assert [letter[b"event"] for letter in found] == [
        b"{not json",
        b"\xff\x00\xfe",
        json.dumps(unowned).encode(),
        b"",
    ]
    assert {letter[b"deliveries"] for letter in found} == {b"1"}
    assert {letter[b"stream"].decode() for letter in found} == {stream_of("orders", ada)}
    assert b"/data/owner" in found[2][b"why"]
    listed = await letters(notifications, issuer)
    assert [letter["event"] for letter in reversed(listed)] == [
        "{not json",
        "\ufffd\0\ufffd",
        json.dumps(unowned),
        "",
    ]
    assert set(listed[0]) == {"id", "event", "stream", "entry", "why", "deliveries", "at"}


async def test_an_event_that_fails_too_often_is_a_dead_letter_and_its_replay_shows_it_once(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    ada, token = f"{issuer.url}|ada", operator_token(issuer)
    notifications = await start()
    await notifications.faults(refuse=True, match="EVENT")
    await publish(redis_url, event_of("order-1", ada))
    [letter] = await buried(redis_url)
    await done(redis_url)
    assert letter[b"deliveries"] == b"3"
    assert b"asked for at /faults" in letter[b"why"]
    [listed] = await letters(notifications, issuer)
    path = f"/dead-letters/{listed['id']}/replay"

    # A replay that fails again leaves the dead letter, and the same key may try again.
    for _ in range(2):
        again = await notifications.post(path, token=token, key="k-1")
        assert (again.status_code, again.json()["code"]) == (409, "still-failing")
    assert len(await letters(notifications, issuer)) == 1
    assert (await shown(notifications, issuer))["notifications"] == []

    await notifications.client.delete("/faults")
    same = [notifications.post(path, token=token, key="k-1") for _ in range(5)]
    other = [notifications.post(path, token=token) for _ in range(5)]
    answers = await asyncio.gather(*same, *other)
    assert {(answer.status_code, answer.text) for answer in answers} == {
        (200, json.dumps({"id": listed["id"], "status": "replayed"}, separators=(",", ":")))
    }
    assert [one["id"] for one in (await shown(notifications, issuer))["notifications"]] == ["order-1:5"]
    assert await letters(notifications, issuer) == []

    async def removed() -> bool:
        return not await dead(redis_url)

    await until(removed)
    # Long after the letter was removed, a repeat gets the same answer, and there is still one notification.
    assert (await notifications.post(path, token=token)).status_code == 200
    await publish(redis_url, event_of("order-1", ada))
    await done(redis_url)
    assert len((await shown(notifications, issuer))["notifications"]) == 1
    assert [bell["sequence"] for bell in await bells(redis_url, ada)] == ["1"]


async def test_a_temporary_failure_is_tried_again_until_it_succeeds(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    notifications = await start()
    await notifications.faults(error_rate=1, match="EVENT", times=2)
    await publish(redis_url, event_of("order-1", f"{issuer.url}|ada"))
    await shown_once(notifications, issuer)
    await done(redis_url)
    assert await dead(redis_url) == []


async def test_while_one_event_fails_the_others_of_its_stream_are_handled(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    ada = f"{issuer.url}|ada"
    notifications = await start(claim_idle_ms=600_000)
    await notifications.faults(refuse=True, match="EVENT", times=1)
    await publish(redis_url, event_of("order-1", ada), event_of("order-2", ada))
    found = await shown_once(notifications, issuer)
    assert found["notifications"][0]["order_id"] == "order-2"


async def test_an_event_whose_consumers_all_died_is_a_dead_letter_without_another_try(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    ada = f"{issuer.url}|ada"
    async with Redis.from_url(redis_url) as redis:
        stream = stream_of("orders", ada)
        await redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
        await publish(redis_url, event_of("order-1", ada))
        taken: Any = await redis.xreadgroup(GROUP, "gone", {stream: ">"})
        entry = taken[0][1][0][0]
        # Three deliveries without an end, as from consumers that die of the event.
        await redis.xclaim(stream, GROUP, "gone", 0, [entry], retrycount=3)
    notifications = await start()
    [letter] = await buried(redis_url)
    assert (letter[b"deliveries"], letter[b"why"]) == (b"4", b"its consumers ended while handling it")
    await done(redis_url)
    assert (await shown(notifications, issuer))["notifications"] == []


async def test_a_replay_of_an_unusable_event_leaves_it_and_an_unknown_id_is_404(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    notifications = await start()
    token = operator_token(issuer)
    await publish_raw(redis_url, "{}")
    await buried(redis_url)
    [letter] = await letters(notifications, issuer)
    kept = await notifications.post(f"/dead-letters/{letter['id']}/replay", token=token)
    assert (kept.status_code, kept.json()["code"]) == (409, "still-failing")
    assert len(await letters(notifications, issuer)) == 1
    for unknown in ("1-0", "nonsense", "-", "%2B", "9" * 30):
        answer = await notifications.post(f"/dead-letters/{unknown}/replay", token=token)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


@pytest.mark.parametrize("who", ["ada", "orders"])
async def test_dead_letters_are_for_the_operator_only(
    start: Start, issuer: Issuer, redis_url: str, who: str
) -> None:
    notifications = await start()
    token = issuer.token("ada") if who == "ada" else issuer.saga_token()
    assert (await notifications.get("/dead-letters", token=token)).status_code == 403
    assert (await notifications.post("/dead-letters/1-0/replay", token=token)).status_code == 403
    assert (await notifications.get("/dead-letters")).status_code == 401


async def test_a_dead_letter_replayed_before_a_crash_is_removed_from_the_stream_afterwards(
    start: Start, issuer: Issuer, redis_url: str
) -> None:
    ada = f"{issuer.url}|ada"
    # It looks for leftovers at its start and not again in this test, as if it had crashed after the commit.
    notifications = await start(claim_idle_ms=600_000)
    await publish(redis_url, event_of("order-1", ada))
    await shown_once(notifications, issuer)
    async with Redis.from_url(redis_url) as redis:
        await redis.xadd(DEAD, {"event": event_of("order-2", ada).json()})
    [letter] = await letters(notifications, issuer)
    path = f"/dead-letters/{letter['id']}/replay"
    assert (await notifications.post(path, token=operator_token(issuer))).status_code == 200
    assert len(await dead(redis_url)) == 1
    assert await letters(notifications, issuer) == []
    after = await start("n-1")

    async def removed() -> bool:
        return not await dead(redis_url)

    await until(removed)
    await shown_once(after, issuer, 2)
