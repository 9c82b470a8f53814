"""A cluster of three nodes: every store works as on one node, and slots may move under it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.calls import SagaStatus
from bff.policies.rate import Bucket, Quota
from bff.stores.cache import CacheStore
from bff.stores.claims import Claims, Limited, New, Replay, StoredAnswer, Ticket
from bff.stores.events import StreamReader
from bff.stores.journal import Entry, Journal
from bff.stores.keys import owner_tag, redis_key
from bff.stores.rates import RateStore
from bff.stores.redis.address import parse_address
from bff.stores.redis.client import RedisClient, StoreUnavailable
from bff.stores.redis.cluster import key_of, parse_cluster_address, slot_of
from bff.stores.sessions import SessionStore, StoredSession
from bff.stores.values import Values

from ..conftest import Valkey
from ..unit.edge.access.issuing import ISSUER
from ..wire.gateway import bearer, keyed, running
from .conftest import THIRDS, cluster_client


def test_the_address_names_nodes_and_secrets() -> None:
    places, first = parse_cluster_address("redis+cluster://app:s3%2Fcret@a:1,b,[::1]:7")
    assert places == [("a", 1), ("b", 6379), ("::1", 7)]
    assert parse_address(first).handshake == (("AUTH", "app", "s3/cret"), ("PING",))
    assert parse_address(parse_cluster_address("redis+cluster://a:1")[1]).handshake == (("PING",),)
    assert (
        parse_address(parse_cluster_address("rediss+cluster://a:1,b?ssl_check_hostname=no")[1]).tls
        is not None
    )
    with pytest.raises(ValueError, match="some of its nodes"):
        parse_cluster_address("redis+cluster:///0")


def test_slots_and_keys_are_those_of_the_specification() -> None:
    assert slot_of(b"123456789") == 0x31C3
    assert slot_of(b"bff:1:{user1000}:a") == slot_of(b"{user1000}:b") == slot_of(b"user1000")
    assert slot_of(b"foo{}{bar}") != slot_of(b"bar"), "an empty hash tag does not count"
    assert key_of(("EVALSHA", "x", 1, "k", "a")) == b"k"
    assert key_of(("XREAD", "COUNT", 5, "STREAMS", "s", "0")) == b"s"
    assert key_of(("PING",)) is None and key_of(("EVAL", "return 1", 0)) is None
    assert key_of(("SET", "k", 1)) == b"k"


async def test_a_silent_cluster_delays_a_read_by_no_more_than_its_wait() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(1000):
                pass
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, RedisClient(f"redis+cluster://127.0.0.1:{port}", timeout=60) as redis:
        for tags in ((), ("a", "b")):
            async with asyncio.timeout(20):
                with pytest.raises(StoreUnavailable, match="which slots they serve"):
                    await CacheStore(redis, wait=0.1).read("0" * 64, tags, None)


@given(st.binary(max_size=30))
def test_a_key_of_any_bytes_has_a_slot(key: bytes) -> None:
    assert 0 <= slot_of(key) < 16_384


@pytest.mark.slow
async def test_commands_reach_their_nodes_and_batches_return_in_order(nodes: list[Valkey]) -> None:
    async with cluster_client(nodes) as redis:
        await asyncio.gather(*(redis.call("SET", f"k{number}", number) for number in range(300)))
        replies = await redis.batch([("GET", f"k{number}") for number in range(300)])
        assert [int(one) for one in replies] == list(range(300))
        assert await redis.batch([("INCR", "{t}a")] * 2) == [1, 2]
        held = []
        for node in nodes:
            async with RedisClient(node.url) as one:
                held.append(len(await one.call("KEYS", "*")))
        assert all(held) and sum(held) == 301


@pytest.mark.slow
async def test_moved_slots_are_followed(nodes: list[Valkey]) -> None:
    async with cluster_client(nodes) as redis:
        await redis.call("SET", "foo", "1")
        slot, ends = slot_of(b"foo"), [RedisClient(node.url) for node in nodes]
        ids = [(await end.call("CLUSTER", "MYID")).decode() for end in ends]
        source = next(index for index, (first, last) in enumerate(THIRDS) if first <= slot <= last)
        target = (source + 1) % 3
        await ends[target].call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        await ends[source].call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        await redis.call("SET", "{foo}new", "asked")
        assert await ends[target].batch([("ASKING",), ("GET", "{foo}new")]) == [b"OK", b"asked"]
        await ends[source].call("MIGRATE", "127.0.0.1", nodes[target].port, "foo", 0, 5000)
        assert await redis.call("GET", "foo") == b"1", "ASK"
        for index in (target, source):
            await ends[index].call("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        assert await redis.call("GET", "foo") == b"1", "MOVED"
        assert await redis.batch([("GET", "foo"), ("GET", "k")]) == [b"1", None]
        script = redis.script("lease")
        assert await script(["{foo}lease"], ["me", 1000]) == 1
        for index in (source, target):
            await ends[index].call(
                "CLUSTER",
                "SETSLOT",
                slot,
                "IMPORTING" if index == source else "MIGRATING",
                ids[target] if index == source else ids[source],
            )
        for key in ("foo", "{foo}new", "{foo}lease"):
            await ends[target].call("MIGRATE", "127.0.0.1", nodes[source].port, key, 0, 5000)
        for index in (source, target):
            await ends[index].call("CLUSTER", "SETSLOT", slot, "NODE", ids[source])
        assert await redis.call("GET", "foo") == b"1"
        for end in ends:
            await end.close()


@pytest.mark.slow
async def test_the_stores_work_as_on_one_node(nodes: list[Valkey]) -> None:
    async with cluster_client(nodes) as redis:
        journal, owner = Journal(redis), "https://id.example|ada"
        claims = Claims(redis, journal)

        def buckets(near: int, far: int) -> list[Bucket]:
            keys = {
                redis_key(owner_tag(owner), "rate:a"): near,
                redis_key("tenant", "rate:b"): far,
                redis_key("x", "rate:c"): 99,
            }
            return [Bucket(key, Quota(key, amount, 3600)) for key, amount in keys.items()]

        def ticket(key: str) -> Ticket:
            return Ticket(owner, key, "print", f"holder {key}", lease=10, ttl=3600)

        async def claim(key: str, **limits: Any) -> object:
            answer, _ = await claims.claim(ticket(key), safe=True, **limits)
            return answer

        assert isinstance(await claim("k1", new=buckets(9, 2)), New)
        saga = SagaStatus(id="o1", type="order", status="RUNNING", version=1, at="2026-01-01T00:00:00Z")
        done = await claims.complete(ticket("k1"), StoredAnswer(202, (), b"{", b"}"), saga)
        assert done is not None and done.cursor is not None
        assert isinstance(await claim("k1"), Replay)
        assert isinstance(await claim("k2", new=buckets(9, 2)), New)
        assert await claim("k3", new=buckets(9, 2)) == Limited(), "the tenant's limit, in another slot"
        assert isinstance(await claim("k3"), New), "and the claim was released"
        spent = await RateStore(redis, wait=5).spend(buckets(9, 2))
        assert [one.allowed for one in spent] == [True, False, True]
        opened = await journal.open(owner, None)
        assert len(opened.entries) == 1 and opened.position is not None
        assert not (await journal.heads([owner]))[owner].complete, "nobody has restored it"
        values = Values(redis)
        for number in range(20):
            assert await values.put(f"stock/{number}", 1, number, "now")
        assert len(await values.get([f"stock/{number}" for number in range(20)])) == 20
        reader = StreamReader(redis, block=0.2)
        streams = {f"events:orders:{number}": "0-0" for number in range(16)}
        assert await reader.read(streams, count=5) == {}
        for stream, number in itertools.product(streams, range(3)):
            await redis.call("XADD", stream, "*", "event", str(number))
        read = await reader.read(streams, count=5)
        assert {stream: [event.body for event in events] for stream, events in read.items()} == {
            stream: [b"0", b"1", b"2"] for stream in streams
        }
        extents = await reader.extents([*streams, "events:orders:none"])
        assert {stream: (one.added, one.length) for stream, one in extents.items()} == dict.fromkeys(
            streams, (3, 3)
        )
        await reader.close()
        owners = [f"owner{number}" for number in range(30)]
        await asyncio.gather(*(journal.seed(one, []) for one in owners))
        assert all(head.complete for head in (await journal.heads(owners)).values())
        assert await journal.mark_incomplete() == 31, "on every node"
        assert not any(head.complete for head in (await journal.heads(owners)).values())


@pytest.mark.slow
async def test_a_node_that_is_away_affects_only_its_slots_and_is_used_again(nodes: list[Valkey]) -> None:
    async with cluster_client(nodes) as redis:
        async with RedisClient(nodes[0].url) as end:
            await end.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
        async with RedisClient(nodes[1].url) as end:
            await end.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
        await asyncio.gather(*(redis.call("SET", f"k{number}", number) for number in range(30)))
        nodes[2].stop()
        there, gone = [], []
        for number in range(30):
            try:
                there.append(await redis.call("GET", f"k{number}", limit=0.5))
            except StoreUnavailable:
                gone.append(slot_of(b"k%d" % number))
        assert there and gone and all(slot >= THIRDS[2][0] for slot in gone)
        assert not redis.away
        nodes[2].start()
        limit = time.monotonic() + 60
        while True:
            try:
                replies = [await redis.call("GET", f"k{number}") for number in range(30)]
                break
            except StoreUnavailable:
                assert time.monotonic() < limit
                await asyncio.sleep(0.1)
        assert [int(one) for one in replies] == list(range(30))


@pytest.mark.slow
async def test_a_whole_gateway_runs_on_it(nodes: list[Valkey]) -> None:
    async with cluster_client(nodes) as redis, running(redis.url) as world:
        cart = {"lines": [{"name": "mug"}]}
        first = await world.client.post("/api/jobs", headers=keyed("k"), json=cart)
        again = await world.client.post("/api/jobs", headers=keyed("k"), json=cart)
        assert (first.status_code, again.content) == (202, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        state = (await world.get("/bff/live/snapshot")).json()
        assert [saga["id"] for saga in state["sagas"]] == ["j1"]
        assert (await world.get("/api/open/ok")).status_code == 200
        report = (await world.get("/readyz")).json()["dependencies"]["redis"]
        # Warnings are looked up in the background, so they may come later.
        report.pop("warnings", None)
        assert report == {"state": "up", "kind": "cluster", "tls": False, "nodes": 3, "away": 0}
        spent = [(await world.client.get("/api/search")).status_code for _ in range(4)]
        assert spent == [200, 200, 200, 429]
        async with world.client.stream("GET", "/bff/live", headers=bearer()) as stream:
            lines = stream.aiter_lines()
            while "snapshot" not in await anext(lines):
                pass
            # A saga's next event, published by the node that has its owner's journal.
            entry = Entry.of(
                SagaStatus(id="j1", type="job", status="RUNNING", version=1, at="2026-01-01T00:00:00Z"),
                now_ms=0,
            )
            assert await Journal(redis).append(f"{ISSUER}|ada", entry) == "appended"
            async with asyncio.timeout(10):
                while '"RUNNING"' not in await anext(lines):
                    pass


@pytest.mark.slow
async def test_sessions_and_sign_ins_work_across_nodes(nodes: list[Valkey]) -> None:
    async with cluster_client(nodes) as redis:
        store = SessionStore(redis)

        async def put(id: str, sid: str) -> StoredSession:
            given = {"issuer": ISSUER, "subject": "ada", "sid": sid, "lifetime": 600.0, "idle": 600.0}
            return await store.put(id, b"sealed", **given)  # type: ignore[arg-type]

        every = [f"s{number}" for number in range(30)]
        stored = {id: await put(id, f"sid{number % 3}") for number, id in enumerate(every)}
        assert await store.still_open(every) == set(every)
        for id in every:
            known = await store.open(id, idle=600)
            assert known is not None and known.sealed == b"sealed" and known.subject == stored[id].subject
            again = await store.open(id, idle=600, known=known)
            assert again is not None and again.sealed is None
        assert await store.end("s0") == b"sealed"
        assert sorted(await store.end_all(ISSUER, sid="sid1")) == sorted(every[1::3])
        assert await store.still_open(every) == set(every[2::3]) | set(every[3::3])
        assert set(await store.end_all(ISSUER, subject="ada")) >= set(every[2::3])
        assert await store.still_open(every) == set()
        assert await store.open("s2", idle=600, known=stored["s2"]) is None
        assert await store.claim_login(ISSUER, "state", "h", keep=60) is not None
        assert await store.claim_login(ISSUER, "state", "h", keep=60) is None
        await store.release_login(ISSUER, "state", "h")
        assert await store.claim_login(ISSUER, "state", "h", keep=60) is not None
        await store.put_logout_redirect("id", b"x", keep=60)
        assert (
            await store.take_logout_redirect("id") == b"x" and await store.take_logout_redirect("id") is None
        )
