"""The shared cache on a real Redis: two gateways, invalidations across them, own changes, Redis away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import BaseModel

from bff import Call, Principal, Upstream
from bff.calls import Deadline, Failed, Refused, RequestContext, RequestRecord, UpstreamError
from bff.calls.context import PartRecord
from bff.policies.cache import CacheEntry, Lru, key_of
from bff.policies.events import PolicyEvent, Served
from bff.stores.cache import CacheStore, digest, pack, unpack, unpack_change
from bff.stores.keys import redis_key
from bff.stores.redis.client import RedisClient, StoreUnavailable
from bff.stores.redis.subscriptions import Subscriptions
from bff.transport.coalescing import RequestCoalescer
from bff.transport.invalidations import Invalidations
from bff.transport.request import NO_CONDITIONS
from bff.transport.response import CallResult
from bff.transport.response_cache import ResponseCache
from bff.transport.wire import WireResponse

from ..conftest import Valkey
from ..waiting import GUARD, until


class Thing(BaseModel):
    name: str


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self, id: str = "1") -> Call[Thing]:
        return self.get("/things/{id}", Thing, id=id).fresh(30, stale_while_revalidate=30, stale_if_error=600)

    def make(self) -> Call[Thing]:
        return self.post("/things", Thing, {})


shelf = Shelf()
ADA = Principal("https://i", "ada", "t", 0.0)
BOB = Principal("https://i", "bob", "t", 0.0)


class Origin:
    """The upstream: answers `name`, with `headers`; counts the requests and records their conditions."""

    def __init__(self) -> None:
        self.name = "one"
        self.headers: dict[str, str] = {}
        self.failure: UpstreamError | None = None
        self.asked: list[Mapping[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def exchange(
        self, call: Call[Any], scope: RequestContext, conditions: Mapping[str, str] = NO_CONDITIONS
    ) -> CallResult:
        self.asked.append(dict(conditions))
        name = self.name
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        etag = self.headers.get("etag")
        if etag and conditions.get("if-none-match") == etag:
            return CallResult(WireResponse(304, self.headers, b""), None)
        body = b'{"name":"%s"}' % name.encode()
        headers = {"content-type": "application/json", **self.headers}
        return CallResult(WireResponse(200, headers, body), Thing(name=name))

    async def run(self, call: Call[Any], scope: RequestContext) -> Any:
        return (await self.exchange(call, scope)).value


class Replica:
    """The reads of one gateway, with an origin that both share."""

    def __init__(self, redis: RedisClient, origin: Origin, **options: Any) -> None:
        self.facts: list[PolicyEvent] = []
        self.ahead = 0.0
        self.tasks: list[asyncio.Task[Any]] = []
        self.store = CacheStore(redis, wait=options.pop("wait", 2.0))
        self.channels = Subscriptions(redis)
        self.memory = Lru(1_000_000, 100_000)
        self.invalidations = Invalidations(self.channels, self.store, on_missed=self.memory.clear)
        self.coalesced = RequestCoalescer(origin, last_change_by=self.invalidations.last_change_by)
        self.runner = ResponseCache(
            self.coalesced,
            self.memory,
            self.invalidations,
            self.store,
            spawn=self.spawn,
            clock=lambda: time.time() + self.ahead,
            observe=self.facts.append,
            **options,
        )

    def spawn(self, work: Any, name: str) -> asyncio.Task[Any]:
        self.tasks.append(asyncio.ensure_future(work))
        return self.tasks[-1]

    async def settled(self) -> None:
        """Wait for detached tasks."""
        while self.tasks:
            await self.tasks.pop()

    def scope(self, who: Principal | None = ADA) -> RequestContext:
        return RequestContext(
            Deadline.after(GUARD), self.runner, "id", who, record=RequestRecord(), part=PartRecord()
        )

    async def read(
        self,
        call: Call[Thing] | None = None,
        who: Principal | None = ADA,
        scope: RequestContext | None = None,
    ) -> str:
        answer = await self.runner.run(call or shelf.thing(), scope or self.scope(who))
        name: str = answer.name
        # The next reader must not see changes to this copy.
        answer.name = "spoiled"
        return name

    @property
    def how(self) -> list[str]:
        return [fact.how for fact in self.facts if isinstance(fact, Served)]


@asynccontextmanager
async def replica(url: str, origin: Origin, **options: Any) -> AsyncIterator[Replica]:
    async with RedisClient(url, timeout=options.pop("timeout", 10)) as redis:
        one = Replica(redis, origin, **options)
        one.invalidations.start()
        async with one.channels:
            await one.invalidations.ready(GUARD)
            try:
                yield one
            finally:
                await one.settled()


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[Replica, Replica, Origin]]:
    origin = Origin()
    async with replica(url, origin) as a, replica(url, origin) as b:
        yield a, b, origin


TAGGED = shelf.thing().tagged("things", "thing/1")
PUBLIC = TAGGED.public()


async def test_all_gateways_together_fetch_an_answer_once(redis_url: str) -> None:
    async with two(redis_url) as (a, b, origin):
        assert await a.read() == "one"
        await a.settled()
        origin.name = "two"
        assert [await a.read(), await b.read(), await b.read()] == ["one"] * 3
        assert len(origin.asked) == 1
        assert (a.how, b.how) == (["miss", "hit"], ["hit", "hit"])
        assert await a.read(who=BOB) == "two"
        assert await a.read(shelf.thing().public(), who=BOB) == "two"
        assert len(origin.asked) == 3


async def test_a_cached_answer_expires_in_redis_when_it_cannot_be_used_any_more(redis_url: str) -> None:
    async with two(redis_url) as (a, _, _):
        await a.read()
        await a.settled()
        async with RedisClient(redis_url, timeout=10) as redis:
            left = await redis.call("PTTL", redis_key(f"part:{digest(key_of(shelf.thing(), ADA))}"))
        assert 620_000 < left <= 630_000


async def test_a_stale_answer_is_served_while_one_new_answer_is_fetched(redis_url: str) -> None:
    async with two(redis_url) as (a, _, origin):
        await a.read()
        origin.name = "two"
        a.ahead = 31
        origin.gate.clear()
        scopes = [a.scope() for _ in range(5)]
        assert [await a.read(scope=one) for one in scopes] == ["one"] * 5
        # The stale part is ready, as declared, but caches of the screen must not store it.
        assert [one.part.age for one in scopes if one.part] == [None] * 5
        assert scopes[0].record.max_age == 0
        origin.gate.set()
        await a.settled()
        assert await a.read() == "two"
        assert len(origin.asked) == 2
        assert a.how == ["miss"] + ["stale"] * 5 + ["miss", "hit"]


@pytest.mark.parametrize("ahead", [31, 61, 629])
async def test_a_stale_answer_replaces_a_failure_and_shows_its_age(redis_url: str, ahead: float) -> None:
    async with two(redis_url) as (a, _, origin):
        await a.read()
        origin.failure = Failed(shelf.owner, "Shelf.thing", "answered 500.", status=500)
        a.ahead = ahead
        scope = a.scope()
        assert await a.read(scope=scope) == "one"
        if ahead > 60:
            assert scope.part is not None and scope.part.age is not None
            assert ahead <= scope.part.age < ahead + 5
            assert scope.record.stale == 1
        await a.settled()


async def test_a_failure_is_not_replaced_when_the_answer_is_too_old_or_the_service_refuses(
    redis_url: str,
) -> None:
    async with two(redis_url) as (a, _, origin):
        await a.read()
        origin.failure = Failed(shelf.owner, "Shelf.thing", "answered 500.", status=500)
        a.ahead = 631
        with pytest.raises(Failed):
            await a.read()
        a.ahead = 100
        assert await a.read() == "one"
        origin.failure = Refused(shelf.owner, "Shelf.thing", "is gone.", status=404)
        with pytest.raises(Refused):
            await a.read()
        await a.settled()
        # An invalidated answer is not used when the service then fails.
        origin.failure = Failed(shelf.owner, "Shelf.thing", "answered 500.", status=500)
        with pytest.raises(Failed):
            await a.read()


async def test_a_304_renews_the_cached_answer_for_all_gateways(redis_url: str) -> None:
    async with two(redis_url) as (a, b, origin):
        origin.headers = {"etag": '"v1"', "cache-control": "max-age=10, stale-while-revalidate=0"}
        await a.read()
        await a.settled()
        a.ahead = b.ahead = 11
        scope = a.scope()
        assert await a.read(scope=scope) == "one"
        assert scope.record.max_age is not None and 9 <= scope.record.max_age <= 10
        await a.settled()
        assert await b.read() == "one"
        assert origin.asked == [{}, {"if-none-match": '"v1"'}]
        assert (a.how, b.how) == (["miss", "revalidated"], ["hit"])
        a.ahead = 22
        origin.headers, origin.name = {"etag": '"v2"'}, "two"
        assert await a.read() == "two"
        assert origin.asked[-1] == {"if-none-match": '"v1"'}


async def test_an_answer_that_forbids_caching_is_not_cached(redis_url: str) -> None:
    async with two(redis_url) as (a, b, origin):
        origin.headers = {"cache-control": "no-store"}
        scope = a.scope(None)
        await a.read(shelf.thing().public(), scope=scope)
        assert scope.record.private
        assert scope.record.max_age == 0
        await a.read(shelf.thing().public(), None)
        await b.read(shelf.thing().public(), None)
        assert len(origin.asked) == 3
        assert len(a.memory) == 0


@pytest.mark.parametrize("tag", ["things", "thing/1"])
async def test_an_invalidation_at_one_gateway_reaches_all_gateways(redis_url: str, tag: str) -> None:
    async with two(redis_url) as (a, b, origin):
        for one in (a, b):
            assert await one.read(PUBLIC, None) == "one"
            await one.settled()
        origin.name = "two"
        before = b.invalidations.tags.of(tag)
        await a.invalidations.invalidate([tag])
        # At this gateway at once, at the other one when the message arrives.
        assert await a.read(PUBLIC, None) == "two"
        await until(lambda: b.invalidations.tags.of(tag) > before)
        assert await b.read(PUBLIC, None) == "two"
        assert await b.read(PUBLIC, BOB) == "two"
        await a.invalidations.invalidate(["another"])
        count = len(origin.asked)
        assert await a.read(PUBLIC, None) == "two"
        assert len(origin.asked) == count


async def test_an_answer_requested_before_an_invalidation_is_not_cached_as_fresh(redis_url: str) -> None:
    async with two(redis_url) as (a, b, origin):
        origin.gate.clear()
        slow = asyncio.ensure_future(a.read(PUBLIC, None))
        await until(lambda: origin.asked)
        origin.name = "two"
        await b.invalidations.invalidate(["things"])
        await until(lambda: a.invalidations.tags.of("things") > 0)
        # It does not join the running fetch, either.
        fresh = asyncio.ensure_future(a.read(PUBLIC, None))
        await until(lambda: len(origin.asked) == 2)
        origin.gate.set()
        assert await fresh == "two"
        assert await slow == "one"
        await a.settled()
        assert await a.read(PUBLIC, None) == "two"
        assert await b.read(PUBLIC, None) == "two"


async def test_a_late_answer_does_not_replace_one_that_was_requested_later(redis_url: str) -> None:
    async with two(redis_url) as (a, _, origin):
        late = origin.gate = asyncio.Event()
        slow = asyncio.ensure_future(a.read())
        await until(lambda: origin.asked)
        await a.invalidations.invalidate_after_command(ADA.id, [])
        origin.gate, origin.name = asyncio.Event(), "two"
        origin.gate.set()
        assert await a.read() == "two"
        late.set()
        assert await slow == "one"
        assert await a.read() == "two"


@pytest.mark.parametrize("call", [TAGGED, PUBLIC])
async def test_a_principal_sees_its_own_change_on_every_gateway(redis_url: str, call: Call[Thing]) -> None:
    async with two(redis_url) as (a, b, origin):
        for one in (a, b):
            for who in (ADA, BOB):
                assert await one.read(call, who) == "one"
            await one.settled()
        asked = len(origin.asked)
        origin.name = "two"
        await a.invalidations.invalidate_after_command(ADA.id, ["things"])
        # No waiting for a message: the next request may reach the other gateway at once.
        assert await b.read(call, ADA) == "two"
        assert await a.read(call, ADA) == "two"
        await b.settled()
        if call is TAGGED:
            assert await b.read(call, BOB) == "one"
            assert len(origin.asked) == asked + 2
        assert await b.read(call, ADA) == "two"


async def test_every_part_of_a_request_respects_the_callers_own_changes(redis_url: str) -> None:
    async with two(redis_url) as (a, _, origin):
        other = shelf.thing("2").tagged("things")
        await a.read(TAGGED.public(), BOB)
        await a.read(other.public(), BOB)
        origin.name = "two"
        await a.invalidations.invalidate_after_command(ADA.id, ["things"])
        scope = a.scope()
        assert await a.read(TAGGED.public(), scope=scope) == "two"
        assert await a.read(other.public(), scope=scope) == "two"
        assert await a.read(other.public(), BOB) == "two"


async def test_a_principals_change_of_another_tag_keeps_its_cached_answers(redis_url: str) -> None:
    async with two(redis_url) as (a, _, origin):
        await a.read(TAGGED)
        await a.invalidations.invalidate_after_command(ADA.id, ["else"])
        await a.read(TAGGED)
        assert len(origin.asked) == 1


async def test_one_request_reads_the_callers_own_changes_once(redis_url: str) -> None:
    async with two(redis_url) as (a, _, _):
        await a.read(TAGGED)
        scope = a.scope()
        await a.read(TAGGED, scope=scope)
        assert scope.record.changes == {"things": 0, "thing/1": 0}
        await a.invalidations.invalidate_after_command(ADA.id, ["things"])
        # The same request has read its stamps already.
        assert await a.read(TAGGED, scope=scope) == "one"
        assert a.how == ["miss", "hit", "hit"]


async def test_after_a_lost_connection_the_local_cache_is_not_used(own_valkey: Valkey) -> None:
    origin = Origin()
    async with replica(own_valkey.url, origin) as a:
        assert await a.read(PUBLIC, None) == "one"
        await a.settled()
        own_valkey.stop()
        origin.name = "two"
        # Redis is away: the local cache stays in use.
        assert await a.read(PUBLIC, None) == "one"
        own_valkey.start()
        await until(lambda: len(a.memory) == 0)
        assert await a.read(PUBLIC, None) == "two"


async def test_while_redis_is_away_public_answers_are_cached_locally_and_private_tagged_ones_are_not(
    own_valkey: Valkey,
) -> None:
    origin = Origin()
    async with replica(own_valkey.url, origin) as a:
        # It has reached Redis once, and knows its clock.
        await a.read(shelf.thing("other").tagged("other").public(), None)
        await a.settled()
        origin.asked.clear()
        own_valkey.stop()
        for _ in range(3):
            await a.read(PUBLIC, None)
        assert len(origin.asked) == 1
        for _ in range(3):
            await a.read(PUBLIC, ADA)
        assert len(origin.asked) == 1
        for _ in range(3):
            await a.read(TAGGED, ADA)
        assert len(origin.asked) == 4
        for _ in range(3):
            await a.read(shelf.thing(), ADA)
        assert len(origin.asked) == 5
        await a.invalidations.invalidate_after_command(ADA.id, ["things"])
        with pytest.raises(StoreUnavailable):
            await a.invalidations.invalidate(["things"])


async def test_a_frozen_redis_delays_one_read_by_the_wait_and_not_every_read(own_valkey: Valkey) -> None:
    import signal

    origin = Origin()
    async with replica(own_valkey.url, origin, wait=3.0, timeout=10) as a:
        own_valkey.send(signal.SIGSTOP)
        began = time.monotonic()
        for number in range(20):
            await a.read(shelf.thing(str(number)))
        assert time.monotonic() - began < 30, "each of them alone would have waited three seconds"
        own_valkey.send(signal.SIGCONT)


async def test_an_answer_cached_for_another_model_is_fetched_again(redis_url: str) -> None:
    class Wide(BaseModel):
        name: str
        size: int

    async with two(redis_url) as (a, b, origin):
        await a.read()
        await a.settled()
        origin.headers = {"content-type": "application/json"}
        wide: Call[Wide] = Call(shelf.owner, "Shelf.wide", "GET", "/things/{id}", "/things/1", Wide).fresh(30)
        await b.runner.run(wide, b.scope())
        assert len(origin.asked) == 2


async def test_only_reads_declared_fresh_are_cached(redis_url: str) -> None:
    async with two(redis_url) as (a, _, origin):
        plain: Call[Thing] = Call(shelf.owner, "Shelf.plain", "GET", "/p", "/p", Thing)
        for call in (plain, plain, shelf.make(), shelf.make()):
            await a.runner.run(call, a.scope())
        assert len(origin.asked) == 4
        assert len(a.memory) == 0


async def test_detached_tasks_are_bounded(redis_url: str) -> None:
    origin = Origin()
    async with replica(redis_url, origin, background=0) as a:
        await a.read()
        a.ahead = 31
        assert await a.read() == "one"
        assert len(origin.asked) == 1
        assert a.tasks == []


def test_a_packed_entry_reads_back_and_foreign_bytes_are_ignored() -> None:
    entry = CacheEntry({"etag": '"ü"'}, b"\n{}\n", 1.5, 2, 3, 4, 5, 6)
    assert unpack(pack(entry)) == entry
    for strange in (b"", b"[]\n", b"[2, {}]\nx", b"[1, {}]\nx", b'[1, {"a": 1}]\nx', b"\xff\n", b"7\n"):
        assert unpack(strange) is None
    assert unpack_change(b'5 ["tag", "a b"]') is not None
    for strange in (b"", b"5", b'x ["tag", "a"]', b'5 ["no", "a"]', b"5 7", b"5 [1, 2]"):
        assert unpack_change(strange) is None


async def test_stamps_grow_even_when_the_clock_does_not(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis:
        store = CacheStore(redis, wait=2.0)
        stamps = [(await store.invalidate(["a"]))["a"] for _ in range(50)]
        assert stamps == sorted(set(stamps))
        own = [await store.invalidate_for_owner("ada", ["a", "b"]) for _ in range(50)]
        assert own == sorted(set(own))
        found = await store.read(None, ["a", "c"], "ada")
        assert found.tag_stamps == {"a": stamps[-1], "c": 0}
        assert found.owner_stamps == {"a": own[-1], "c": 0}
        assert found.read_at >= stamps[-1]
        for key in await redis.call("KEYS", "*"):
            assert 0 < await redis.call("TTL", key) <= 2 * 86_400
