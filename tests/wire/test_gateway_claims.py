"""A command's claim under faults: answers too large to store, half-done work, lost leases, a frozen Redis."""

from __future__ import annotations

import asyncio
import signal

import pytest

from bff.stores.redis.client import RedisClient

from ..conftest import Valkey
from ..waiting import GUARD, until
from .gateway import keyed, running
from .scripted import Gate
from .upstream import http

WISH = {"name": "mug"}


async def test_an_answer_too_large_to_store_is_sent_once_and_is_410_afterwards(redis_url: str) -> None:
    async with running(redis_url, idempotency={"max_body": 1024}) as world:
        first = await world.client.post("/api/big/2000", headers=keyed("k"))
        assert (first.status_code, first.json()["name"]) == (200, "x" * 2000)
        for _ in range(2):
            again = await world.client.post("/api/big/2000", headers=keyed("k"))
            assert (again.status_code, again.json()["code"]) == (410, "idempotency-answer-gone")
            assert again.headers["content-type"] == "application/problem+json"
            assert again.headers["idempotency-replayed"] == "true"
            assert "carried out, with status 200" in again.json()["detail"]
        small = await world.client.post("/api/big/900", headers=keyed("small"))
        again = await world.client.post("/api/big/900", headers=keyed("small"))
        assert again.content == small.content


@pytest.mark.parametrize("how", ["busy", "broken"])
async def test_a_command_that_failed_after_a_write_is_not_run_again_where_that_is_not_safe(
    redis_url: str, how: str
) -> None:
    async with running(redis_url) as world:
        first = await world.client.post(f"/api/twice/{how}", headers=keyed("k"), json=WISH)
        assert first.status_code in (502, 503)
        sent = len(world.upstream.asked)
        world.upstream.answers[f"/things/{how}"] = http(200, b'{"name":"now"}')
        again = await world.client.post(f"/api/twice/{how}", headers=keyed("k"), json=WISH)
        assert (again.status_code, again.json()["code"]) == (409, "idempotency-unknown")
        assert len(world.upstream.asked) == sent


async def test_a_command_whose_only_write_was_refused_may_be_retried(redis_url: str) -> None:
    async with running(redis_url) as world:
        first = await world.client.post("/api/twice/busy-first", headers=keyed("k"), json=WISH)
        assert first.status_code == 503
        world.upstream.answers["/things/busy"] = http(200, b'{"name":"now"}')
        again = await world.client.post("/api/twice/busy-first", headers=keyed("k"), json=WISH)
        assert (again.status_code, again.json()) == (200, {"name": "now"})


async def test_a_replay_has_only_the_headers_that_describe_the_command(redis_url: str) -> None:
    async with running(redis_url) as world:
        first = await world.client.post("/api/things/404", headers=keyed("k"), json=WISH)
        again = await world.client.post("/api/things/404", headers=keyed("k"), json=WISH)
        assert again.headers["link"] == first.headers["link"]
        assert again.headers["x-correlation-id"] != first.headers["x-correlation-id"]
        async with RedisClient(redis_url, timeout=10) as link:
            (key,) = await link.call("KEYS", "*:claim:*")
            kept = await link.call("HGET", key, "headers")
        assert b"cache-control" not in kept and b"ratelimit" not in kept


async def test_a_holder_that_lost_its_claim_stops_and_answers_in_flight(redis_url: str) -> None:
    async with (
        running(redis_url, idempotency={"lease": 3}) as world,
        RedisClient(redis_url, timeout=10) as link,
    ):
        gate = world.upstream.answers["/things/gate"] = Gate()
        command = asyncio.create_task(
            world.client.post("/api/things/gate", headers=keyed("k"), json=WISH), name="command"
        )
        await asyncio.wait_for(world.upstream.news.wait(), GUARD)
        (key,) = await link.call("KEYS", "*:claim:*")
        await link.call("HSET", key, "holder", "another")
        # The upstream never answered, so neither its answer nor the deadline ended the command.
        answer = await command
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-in-flight")
        gate.open.set()


async def test_an_abandoned_claim_is_released_as_soon_as_redis_answers(
    own_valkey: Valkey,
) -> None:
    redis = {"url": own_valkey.url, "timeout": 0.5}
    async with running(own_valkey.url, redis=redis, idempotency={"lease": 300}) as world:

        async def sent() -> bool:
            return (await world.client.post("/api/things/ok", headers=keyed(), json=WISH)).status_code == 200

        await until(sent)
        before = len(world.upstream.asked)
        own_valkey.send(signal.SIGSTOP)
        told = await world.client.post("/api/things/ok", headers=keyed("k"), json=WISH)
        assert (told.status_code, told.json()["code"]) == (503, "unavailable")
        own_valkey.send(signal.SIGCONT)

        async def taken() -> bool:
            again = await world.client.post("/api/things/ok", headers=keyed("k"), json=WISH)
            assert again.status_code in (200, 409, 503)
            return again.status_code == 200

        await until(taken, "the key was not released before its lease expired")
        assert len(world.upstream.asked) == before + 1


async def test_while_redis_is_away_ordinary_screens_have_local_limits_and_costly_ones_are_503(
    own_valkey: Valkey,
) -> None:
    async with running(own_valkey.url) as world:
        assert (await world.client.get("/api/costly")).status_code == 200
        await asyncio.to_thread(own_valkey.stop)
        for _ in range(3):
            costly = await world.client.get("/api/costly")
            assert (costly.status_code, costly.json()["code"]) == (503, "unavailable")
            assert int(costly.headers["retry-after"]) >= 1
        share = [(await world.client.get("/api/search")).status_code for _ in range(5)]
        assert share == [200, 200, 200, 429, 429]
