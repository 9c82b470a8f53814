"""Redis loses confirmed data: killed, restored from a copy, replaced by a lagging replica, emptied."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bff.calls import Principal, SagaStatus
from bff.live import ValueTopic
from bff.stores.journal import Position
from bff.stores.keys import redis_key
from bff.stores.progress import Positions
from bff.stores.redis.client import RedisClient, StoreUnavailable

from ..conftest import Valkey, free_port
from ..waiting import GUARD
from ..wire.test_stream import AT, World, client, person, world

ADA = person("ada").id


class Forgetful:
    """A server that can be reset to an earlier state."""

    def __init__(self, valkey: Valkey) -> None:
        self.valkey = valkey
        self._saved = valkey.folder.with_name("saved")

    def remember(self) -> None:
        """Copy its data, like a disk, a replica or a backup."""
        shutil.rmtree(self._saved, ignore_errors=True)
        shutil.copytree(self.valkey.folder / "appendonlydir", self._saved)

    def die(self) -> None:
        """Kill it with SIGKILL and lose the data that it confirmed since `remember`."""
        self.valkey.stop(signal.SIGKILL)
        shutil.rmtree(self.valkey.folder / "appendonlydir")
        shutil.copytree(self._saved, self.valkey.folder / "appendonlydir")

    async def live(self, one: World) -> None:
        """Start it and wait until the hub's client has a connection."""
        self.valkey.start()
        async with asyncio.timeout(GUARD):
            while True:
                with contextlib.suppress(StoreUnavailable):
                    return await one.redis.ping()
                await asyncio.sleep(0.01)


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Forgetful]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    valkey = Valkey(folder, args=("--appendonly", "yes", "--appendfsync", "always")).start()
    yield Forgetful(valkey)
    valkey.stop()


async def position(one: World) -> Position:
    found = (await one.journal.open(ADA, None, make=True)).position
    assert found is not None
    return found


async def beginning(one: World, cursor: Position) -> str:
    """The first event for a browser that resumes with this cursor."""
    async with client(one, after=str(cursor)) as late:
        event = await late.next(beats=True)
        assert event is not None
        return event.name


async def test_a_lost_position_is_never_given_to_another_event(forgetful: Forgetful) -> None:
    async with world(forgetful.valkey.url) as one, client(one) as ada:
        await ada.until("snapshot")
        cursors = []
        for version in range(1, 9):
            await one.tell("lost", version)
            await ada.until("saga")
            cursors.append(await position(one))
            if version == 5:
                forgetful.remember()
        forgetful.die()
        await forgetful.live(one)
        # More events than were lost, before any comparison: they get the offsets of the lost ones.
        for version in range(1, 11):
            await one.tell("other", version)
        now = await position(one)
        for cursor in cursors:
            assert await beginning(one, cursor) == "reset"
            assert (cursor.epoch, now.offset) != (now.epoch, cursor.offset)
        async with asyncio.timeout(GUARD):
            while ada.cursor != str(now):
                event = await ada.next()
                assert event is not None
                if event.name == "reset":
                    view = {row["id"]: row["version"] for row in event.data["sagas"]}
                else:
                    assert view.get(event.data["id"], 0) + 1 == event.data["version"], (
                        "nothing before the reset"
                    )
                    view[event.data["id"]] = event.data["version"]
        assert view == {"lost": 5, "other": 10}


async def test_a_journal_without_loss_continues_at_its_position(forgetful: Forgetful) -> None:
    async with world(forgetful.valkey.url) as one, client(one) as ada:
        await one.tell("o1", 1)
        await one.tell("o1", 2)
        top = await position(one)
        forgetful.valkey.stop(signal.SIGKILL)
        await forgetful.live(one)
        # Before the next event a reader gets no `reset`; with that event every stream gets one.
        async with client(one, after=f"{top.epoch}-1") as late:
            event = await late.next()
            assert event is not None and (event.name, event.id) == ("saga", str(top))
        for version in (3, 4, 5):
            await one.tell("o1", version)
        names = []
        async with asyncio.timeout(GUARD):
            while not names or event.data.get("version") != 5:
                event = await ada.next()
                assert event is not None
                names.append(event.name)
                if event.name == "reset" and [row["version"] for row in event.data["sagas"]] == [5]:
                    break
        assert names.count("reset") == 1


async def test_a_lost_event_is_restored_from_its_service(forgetful: Forgetful) -> None:
    restores, now = itertools.count(), datetime.now(UTC).isoformat()

    async def restore(principal: Principal) -> list[SagaStatus]:
        next(restores)
        return [SagaStatus(id="o1", type="order", status="COMPLETED", version=3, at=now)] if broken else []

    broken = False
    async with world(forgetful.valkey.url, restore=restore) as one, client(one) as ada:
        await ada.until("snapshot")
        await one.tell("o1", 1)
        forgetful.remember()
        await one.tell("o1", 2)
        await one.tell("o1", 3, status="COMPLETED")
        while (await ada.until("saga")).data["version"] != 3:
            pass
        broken = True
        forgetful.die()
        await forgetful.live(one)
        async with asyncio.timeout(GUARD):
            rows = (await ada.until("reset")).data["sagas"]
        assert [(row["status"], row["version"]) for row in rows] == [("COMPLETED", 3)]
        async with client(one) as another, client(one) as third:
            await another.until("snapshot")
            await third.until("snapshot")
        assert next(restores) == 2, "once under each replication id"


async def test_a_value_that_redis_lost_is_written_back_by_a_gateway(forgetful: Forgetful) -> None:
    topics = [ValueTopic("stock/{sku}", public=True)]
    async with (
        world(forgetful.valkey.url, topics=topics) as one,
        client(one, "/bff/live?value=stock/mug") as ada,
    ):
        await ada.until("snapshot")
        await one.values.put("stock/mug", 4, 4, AT)
        forgetful.remember()
        await one.values.put("stock/mug", 5, 5, AT)
        assert [(await ada.until("value")).data["version"] for _ in range(2)] == [4, 5]
        forgetful.die()
        await forgetful.live(one)
        async with asyncio.timeout(GUARD), RedisClient(forgetful.valkey.url) as redis:
            while await redis.call("HGET", redis_key("value:stock/mug"), "version") != b"5":
                await asyncio.sleep(0.02)
        assert not await one.values.put("stock/mug", 4, "old", AT)
        await one.values.put("stock/mug", 6, 6, AT)
        assert (await ada.until("value")).data["version"] == 6


# ---- a lagging replica -------------------------------------------------------------------------------------------


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[list[tuple[Valkey, World]]]:
    """Two servers, each with its own hub; the second is a replica of the first."""
    async with AsyncExitStack() as stack:
        both = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            valkey = Valkey(
                folder / name, args=("--appendonly", "no", "--repl-diskless-sync-delay", "0")
            ).start()
            stack.callback(valkey.stop)
            both.append((valkey, await stack.enter_async_context(world(valkey.url, timeout=5))))
        await follow(both[1], both[0])
        yield both


async def follow(one: tuple[Valkey, World], other: tuple[Valkey, World]) -> None:
    # Over a separate connection: the gateway closes its own when a server stops being the master.
    async with Redis.from_url(one[0].url) as server, asyncio.timeout(GUARD):
        await server.replicaof("127.0.0.1", other[0].port)
        while (await server.info("replication"))["master_link_status"] != "up":
            await asyncio.sleep(0.02)


async def level(one: World, other: World) -> None:
    async with asyncio.timeout(GUARD):
        while True:
            # A connection to a server that stops being the master is closed once.
            with contextlib.suppress(StoreUnavailable):
                if await position(one) == (await other.journal.heads([ADA]))[ADA].position:
                    return
            await asyncio.sleep(0.02)


async def test_a_lagging_replica_that_is_promoted_gives_no_position_twice(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        (_, one), (_, two) = both
        await one.tell("o1", 1)
        await level(one, two)
        # Disconnected from its master: it never gets the next event.
        async with Redis.from_url(both[1][0].url) as server:
            await server.replicaof("127.0.0.1", free_port())
        await one.tell("o1", 2)
        lost = await position(one)
        await two.redis.call("REPLICAOF", "NO", "ONE")
        positions = (await two.journal.heads([ADA]))[ADA].position
        assert positions == Position(lost.epoch, lost.offset - 1)
        # And back again, before any write: the same server, with other data.
        await follow(both[0], both[1])
        await level(two, one)
        await one.redis.call("REPLICAOF", "NO", "ONE")
        await one.tell("o2", 1)
        now = await position(one)
        assert now.offset == lost.offset and now.epoch != lost.epoch
        assert await beginning(one, lost) == "reset"


async def test_an_emptied_server_gives_no_position_twice(redis_url: str) -> None:
    async with world(redis_url) as one, client(one) as ada:
        await ada.until("snapshot")
        for version in (1, 2, 3):
            await one.tell("o1", version)
        old = await position(one)
        await one.redis.call("FLUSHALL")
        for version in range(1, 6):
            await one.tell("o2", version)
        assert await beginning(one, old) == "reset"
        # The journal may be read between the loss and the first event: then the first state is empty.
        sagas: list[str] = []
        while sagas != ["o2"]:
            event = await ada.until("reset")
            sagas = [saga["id"] for saga in event.data["sagas"]]
        assert ada.cursor == event.id


async def test_a_position_is_not_saved_under_another_replication_id(forgetful: Forgetful) -> None:
    async with world(forgetful.valkey.url) as one:
        positions = Positions(one.redis)
        assert await positions.load(["events:a:0"]) == {"events:a:0": None}
        await positions.save("events:a:0", "5-0")
        forgetful.remember()
        await positions.save("events:a:0", "7-0")
        forgetful.die()
        await forgetful.live(one)
        # The effects of 6-0 and 7-0 are lost, though no command of the reader, now at 8-0, has failed.
        with pytest.raises(StoreUnavailable):
            await positions.save("events:a:0", "8-0")
        assert await positions.load(["events:a:0"]) == {"events:a:0": "5-0"}
        await positions.save("events:a:0", "6-0")
