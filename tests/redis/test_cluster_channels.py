"""Channels in a cluster: subscribed at the node of their slot, also after it was away or the slot has moved."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from bff.live import ValueTopic
from bff.live.control import CONTROL
from bff.stores.journal import channel_of
from bff.stores.keys import redis_key
from bff.stores.redis.client import RedisClient, StoreUnavailable
from bff.stores.redis.cluster import slot_of
from bff.stores.stream_slots import StreamSlots
from bff.stores.values import value_channel

from ..conftest import Valkey
from ..waiting import GUARD
from ..wire.test_stream import AT, Client, World, client, person, world
from .conftest import THIRDS, cluster_client

PEOPLE = [f"person-{number}" for number in range(30)]
TOPICS = [ValueTopic("stock/{sku}", public=True)]


def node_of(channel: str) -> int:
    slot = slot_of(channel.encode())
    return next(index for index, (first, last) in enumerate(THIRDS) if first <= slot <= last)


def home_of(name: str) -> int:
    return node_of(channel_of(person(name).id))


@asynccontextmanager
async def ends_of(nodes: Sequence[Valkey]) -> AsyncIterator[list[RedisClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(RedisClient(node.url, timeout=10)) for node in nodes]


@asynccontextmanager
async def opened(
    one: World, names: Sequence[str], path: str = "/bff/live"
) -> AsyncIterator[dict[str, Client]]:
    """A stream for each person, after its snapshot."""
    async with AsyncExitStack() as stack:
        streams = {name: await stack.enter_async_context(client(one, path, who=name)) for name in names}
        await asyncio.gather(*(stream.until("snapshot") for stream in streams.values()))
        yield streams


async def persist(step: Callable[[], Awaitable[object]]) -> None:
    """Repeat a step until the cluster allows it."""
    while True:
        try:
            await step()
            return
        except StoreUnavailable:
            await asyncio.sleep(0.02)


async def versions(stream: Client, count: int, *, seen: int = 0, resets: int = 0) -> list[int]:
    """The next `count` versions after `seen` of the stream's one saga, from its events or from at most `resets` states.
    The end of the stream is a failure."""
    received: list[int] = []
    while len(received) < count:
        event = await stream.next()
        assert event is not None
        if event.name == "reset":
            resets -= 1
            assert resets >= 0, event
            # A killed server may have confirmed writes that are not on its disk, so its journals may be empty.
            newest = max((saga["version"] for saga in event.data["sagas"]), default=0)
            received += range(max(received, default=seen) + 1, newest + 1)
        elif event.name == "saga":
            received.append(event.data["version"])
    return received


async def nothing() -> None:
    pass


async def hand_over(
    ends: Sequence[RedisClient],
    nodes: Sequence[Valkey],
    slot: int,
    source: int,
    to: int,
    *,
    meanwhile: Callable[[], Awaitable[object]] = nothing,
) -> None:
    """Move a slot key by key, as the tools of the cluster do. meanwhile: awaited when its keys have moved and the slot
    has not."""
    ids = [(await end.call("CLUSTER", "MYID")).decode() for end in ends]
    await ends[to].call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    await ends[source].call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to])
    while keys := await ends[source].call("CLUSTER", "GETKEYSINSLOT", slot, 100):
        for key in keys:
            await ends[source].call("MIGRATE", "127.0.0.1", nodes[to].port, key, 0, 5000)
    await meanwhile()
    for index in (to, source, 3 - to - source):
        await ends[index].call("CLUSTER", "SETSLOT", slot, "NODE", ids[to])


async def holders(end: RedisClient, slot: int) -> list[int]:
    """Ports of the servers that have the slot, according to this node."""
    ranges = await end.call("CLUSTER", "SLOTS")
    return [where[1] for first, last, where, *_ in ranges if first <= slot <= last]


async def hand_over_whole(
    ends: Sequence[RedisClient], nodes: Sequence[Valkey], slot: int, source: int, to: int
) -> None:
    """Move a slot in one step."""
    target = (await ends[to].call("CLUSTER", "MYID")).decode()
    await ends[source].call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target)
    for end in ends:
        while (await holders(end, slot)) != [nodes[to].port]:
            await asyncio.sleep(0.01)


async def forwarded(ends: Sequence[RedisClient]) -> list[int]:
    """Numbers of pub/sub messages that each node has sent to other nodes."""
    infos = [(await end.call("CLUSTER", "INFO")).decode() for end in ends]
    return [sum(map(int, re.findall(r"messages_publish\w*_sent:(\d+)", info))) for info in infos]


@pytest.mark.slow
async def test_events_reach_their_streams_through_the_owners_node_only(nodes: list[Valkey]) -> None:
    async with (
        cluster_client(nodes) as redis,
        ends_of(nodes) as ends,
        world(redis.url, timeout=5, topics=TOPICS) as one,
        opened(one, PEOPLE, "/bff/live?value=stock/mug") as streams,
    ):
        channels = {name: channel_of(person(name).id) for name in PEOPLE} | {"": value_channel("stock/mug")}
        for index, end in enumerate(ends):
            here = {channel for channel in channels.values() if node_of(channel) == index}
            subscribed = {name.decode() for name in await end.call("PUBSUB", "SHARDCHANNELS")}
            assert {name for name in subscribed if not name.startswith(redis_key("process:")[:-1])} == here
            for channel in here:
                assert await end.call("PUBSUB", "SHARDNUMSUB", channel) == [channel.encode(), 1]
            clients = await end.call("CLIENT", "LIST", "TYPE", "pubsub")
            assert clients.count(b"id=") == 1, (
                "one pub/sub connection per node, for sharded and other channels"
            )
        plain = [name for end in ends for name in await end.call("PUBSUB", "CHANNELS")]
        assert plain == [CONTROL.encode()], "a channel for all is not sharded, and is subscribed once"
        assert {home_of(name) for name in PEOPLE} == {0, 1, 2}
        before = await forwarded(ends)
        for name, stream in streams.items():
            await one.tell("o1", 1, owner=name)
            assert await versions(stream, 1) == [1]
        assert await one.values.put("stock/mug", 1, {"left": 3}, AT)
        for stream in streams.values():
            assert (await stream.until("value")).data["data"] == {"left": 3}
        assert await forwarded(ends) == before, "no message went from node to node"
        await one.hub.end_session("nobody's")
        assert sum(await forwarded(ends)) > sum(before), "but messages for all do"
    async with ends_of(nodes) as ends, asyncio.timeout(10):
        while any([await end.call("PUBSUB", "SHARDCHANNELS") for end in ends]):
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("move", [hand_over, hand_over_whole])
async def test_a_slot_moved_under_open_streams_loses_nothing(
    nodes: list[Valkey], move: Callable[..., Awaitable[None]]
) -> None:
    total = 200
    async with (
        cluster_client(nodes) as redis,
        ends_of(nodes) as ends,
        world(redis.url, timeout=5, topics=TOPICS) as one,
        opened(one, PEOPLE[:6], "/bff/live?value=stock/mug") as streams,
    ):
        moving = [(channel_of(person("person-0").id)), value_channel("stock/mug")]
        done = asyncio.Event()

        async def publish() -> None:
            for version in range(1, total + 1):
                for name in streams:
                    await persist(lambda name=name, version=version: one.tell("o1", version, owner=name))  # type: ignore[misc]  # its defaults
                await asyncio.sleep(0.005)
            await done.wait()
            await persist(lambda: one.values.put("stock/mug", 2, 2, AT))

        async def rearrange() -> None:
            for channel in moving:
                slot, source = slot_of(channel.encode()), node_of(channel)
                to = (source + 1) % 3
                await move(ends, nodes, slot, source, to)
                while (await ends[to].call("PUBSUB", "SHARDNUMSUB", channel))[1] != 1:
                    await asyncio.sleep(0.01)
                if channel == moving[0]:
                    await move(ends, nodes, slot, to, source)
            done.set()

        async def read(stream: Client) -> list[int]:
            # Moving the slot changes the replication id of its journals: once there, once back.
            seen = await versions(stream, total, resets=2)
            assert (await stream.until("value")).data["version"] == 2
            return seen

        async with asyncio.timeout(60):
            reading = [asyncio.create_task(read(stream)) for stream in streams.values()]
            await asyncio.gather(publish(), rearrange())
            for seen in await asyncio.gather(*reading):
                assert seen == list(range(1, total + 1))
        slot, source = slot_of(moving[1].encode()), node_of(moving[1])
        await move(ends, nodes, slot, (source + 1) % 3, source)


@pytest.mark.slow
async def test_messages_before_the_subscription_are_recovered_at_once(nodes: list[Valkey]) -> None:
    async with (
        cluster_client(nodes) as redis,
        ends_of(nodes) as ends,
        world(redis.url, timeout=5, topics=TOPICS) as one,
        opened(one, PEOPLE[:3], "/bff/live?value=stock/mug") as streams,
    ):
        assert await one.values.put("stock/mug", 1, 1, AT)
        for stream in streams.values():
            assert (await stream.until("value")).data["version"] == 1
        channel = value_channel("stock/mug")
        slot, source = slot_of(channel.encode()), node_of(channel)
        to = (source + 1) % 3
        async with asyncio.timeout(15):
            # Positions are compared every 25 s without this.
            await hand_over(
                ends, nodes, slot, source, to, meanwhile=lambda: one.values.put("stock/mug", 2, 2, AT)
            )
            for stream in streams.values():
                assert (await stream.until("value")).data["version"] == 2
        await hand_over(ends, nodes, slot, to, source)


@pytest.mark.slow
async def test_streams_stay_open_while_a_node_is_away_and_catch_up(nodes: list[Valkey]) -> None:
    async with (
        cluster_client(nodes) as redis,
        ends_of(nodes) as ends,
        world(redis.url, timeout=2) as one,
        opened(one, PEOPLE) as streams,
    ):
        for end in ends:
            await end.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
        for name in PEOPLE:
            await one.tell("o1", 1, owner=name)
        nodes[2].stop()
        near = [name for name in PEOPLE if home_of(name) != 2]
        far = [name for name in PEOPLE if home_of(name) == 2]
        for name in near:
            await persist(lambda name=name: one.tell("o1", 2, owner=name))  # type: ignore[misc]  # its default
            assert await versions(streams[name], 2) == [1, 2]
        async with opened(one, near[:3]) as others:
            await persist(lambda: one.tell("o2", 1, owner=near[0]))
            assert await versions(others[near[0]], 1) == [1], "new streams are served meanwhile"
        # A connection that is closed meanwhile, and an event that is lost with it: the open streams recover it.
        first = next(name for name in PEOPLE if home_of(name) == 0)
        await ends[0].call("CLIENT", "KILL", "TYPE", "PUBSUB")
        await persist(lambda: one.tell("o1", 3, owner=first))
        async with asyncio.timeout(20):
            assert (await versions(streams[first], 2 if first == near[0] else 1))[-1] == 3
        nodes[2].start()
        async with asyncio.timeout(60):
            # Some events come before the channels are subscribed there again.
            for name in far:
                await persist(lambda name=name: one.tell("o1", 2, owner=name))  # type: ignore[misc]  # its default
            for name in far:
                # One `reset` each: the node that is back cannot know that it lost nothing.
                assert await versions(streams[name], 2, resets=1) == [1, 2]
        for name in PEOPLE:
            await one.tell("o3", 1, owner=name)
            async with asyncio.timeout(20):
                while (await streams[name].until("saga")).data["id"] != "o3":
                    pass
        assert one.hub.count == len(PEOPLE)


@pytest.mark.slow
async def test_stream_slots_find_live_processes_on_every_node(nodes: list[Valkey]) -> None:
    """More processes than nodes: each process's channel is on another node than most people's slots."""
    async with cluster_client(nodes) as redis, AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(world(redis.url, timeout=5, streams=5)) for _ in range(4)]
        for name in PEOPLE[:9]:
            dead = StreamSlots(redis)
            await dead.hold(person(name).id, 5, [dead.new_slot(1e6), dead.new_slot(4e9)])
            streams = []
            for one in [*worlds, *worlds[:2]]:
                streams.append(await stack.enter_async_context(client(one, who=name)))
                await streams[-1].until("snapshot")
                # The order of opening is known to the millisecond.
                await asyncio.sleep(0.002)
            # The first is evicted by the sixth stream of the live processes.
            assert (await streams[0].until("bye")).data["reason"] == "limit"
        assert sum(one.hub.count for one in worlds) == 9 * 5


async def test_streams_do_not_wait_for_those_of_an_unresponsive_node(nodes: list[Valkey]) -> None:
    """A frozen node: each command to it takes longer than any limit here."""
    people = [f"p{number}" for number in range(120)]
    far = [name for name in people if home_of(name) == 2]
    near = [name for name in people if home_of(name) != 2][:20]
    async with (
        cluster_client(nodes) as redis,
        ends_of(nodes) as ends,
        world(redis.url, timeout=GUARD) as one,
        opened(one, near[:1]),
        AsyncExitStack() as stack,
    ):
        for end in ends:
            await end.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
        # Its channels are confirmed, so that the journals are read.
        before = await stack.enter_async_context(client(one, who=far[0]))
        await before.until("snapshot")
        nodes[2].send(signal.SIGSTOP)
        try:
            waiting = [await stack.enter_async_context(client(one, who=name)) for name in far[1:]]
            async with opened(one, near) as served:
                assert len(served) == len(near)
        finally:
            nodes[2].send(signal.SIGCONT)
        assert (await waiting[0].until("snapshot")).data["sagas"] == []
