"""Faults that only JetStream has: restarted sequences, a dropped consumer, dropped events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from bff.live.ingest import BrokerUnavailable, EventDispatcher, Ingester
from bff.live.ingest import nats as nats_broker
from bff.live.ingest.nats import NatsJetStream
from bff.network import open_connection
from bff.stores.keys import redis_key
from bff.stores.progress import Positions
from bff.stores.redis.client import RedisClient

from ..waiting import GUARD, close_listener
from .conftest import STREAM, NatsRig, until
from .servers import Nats
from .test_contract import event, new_dispatcher, top


@pytest.fixture
async def rig(redis_url: str, nats_server: Nats) -> NatsRig:
    made = NatsRig(redis_url, nats_server)
    await made.prepare()
    return made


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


@pytest.fixture
async def server(nats_server: Nats) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


def reader(
    link: RedisClient, dispatcher: EventDispatcher, nats_server: Nats, subject: str | None = None
) -> Ingester:
    return Ingester(
        link, dispatcher, NatsJetStream(Positions(link), nats_server.url, STREAM, subject=subject, block=0.1)
    )


async def reached(link: RedisClient, count: int) -> None:
    async def there() -> bool:
        return await top(link) >= count

    await until(there)


async def test_a_stream_that_was_created_again_is_read_from_its_first_event(
    rig: NatsRig, link: RedisClient, server: Client, nats_server: Nats
) -> None:
    dispatcher = new_dispatcher(link)
    async with reader(link, dispatcher, nats_server):
        await rig.publish(*(event("before", version) for version in range(1, 21)))
        await reached(link, 20)
    await server.jetstream().delete_stream(STREAM)
    await server.jetstream().add_stream(name=STREAM, subjects=["events.>"])
    await rig.publish(*(event("after", version) for version in range(1, 6)))
    assert dispatcher.losses == 0
    async with reader(link, dispatcher, nats_server):
        await reached(link, 25)
        assert dispatcher.losses == 1
        # Once more, while it is read, and now it has more events than before.
        await server.jetstream().delete_stream(STREAM)
        await server.jetstream().add_stream(name=STREAM, subjects=["events.>"])
        await rig.publish(*(event("anew", version) for version in range(1, 31)))
        await reached(link, 55)
        assert dispatcher.losses == 2


async def test_a_consumer_that_the_server_dropped_is_created_again(
    rig: NatsRig, link: RedisClient, server: Client, nats_server: Nats
) -> None:
    dispatcher = new_dispatcher(link)
    async with reader(link, dispatcher, nats_server):
        await rig.publish(event("o1", 1))
        await reached(link, 1)
        for one in await server.jetstream().consumers_info(STREAM):
            await server.jetstream().delete_consumer(STREAM, one.name)
        await rig.publish(event("o1", 2))
        await reached(link, 2)
    assert dispatcher.losses == 0


async def test_events_dropped_unread_are_a_loss_and_those_dropped_after_are_none(
    rig: NatsRig, link: RedisClient, server: Client, nats_server: Nats
) -> None:
    dispatcher = new_dispatcher(link)
    await rig.publish(*(event("o1", version) for version in range(1, 4)))
    async with reader(link, dispatcher, nats_server):
        await reached(link, 3)
    await server.jetstream().purge_stream(STREAM)
    async with reader(link, dispatcher, nats_server):
        await rig.publish(event("o1", 4))
        await reached(link, 4)
    assert dispatcher.losses == 0, "all events had been read"
    await rig.publish(*(event("o1", version) for version in range(5, 9)))
    await server.jetstream().purge_stream(STREAM, keep=1)
    async with reader(link, dispatcher, nats_server):
        await rig.publish(event("o2", 1))
        await reached(link, 5)
    assert dispatcher.losses == 1


async def test_dropped_events_of_other_subjects_are_no_loss(
    rig: NatsRig, link: RedisClient, server: Client, nats_server: Nats
) -> None:
    dispatcher = new_dispatcher(link)
    async with reader(link, dispatcher, nats_server, "events.orders"):
        await rig.publish(event("o1", 1))
        await reached(link, 1)
        for _ in range(5):
            await server.jetstream().publish("events.other", b"{}")
        # The check runs once a second.
        place = redis_key("ingest:nats:EVENTS", "position")
        last = (await server.jetstream().stream_info(STREAM)).state.last_seq

        async def passed() -> bool:
            return (await link.call("GET", place) or b"").startswith(b"%d " % last)

        await until(passed)
    await server.jetstream().purge_stream(STREAM)
    async with reader(link, dispatcher, nats_server, "events.orders"):
        await rig.publish(event("o1", 2))
        await reached(link, 2)
    assert dispatcher.losses == 0


INFO = b'INFO {"server_id":"x","version":"2.12.0","proto":1,"max_payload":1048576,"auth_required":true}\r\n'


@dataclass
class Refusing:
    """A server that refuses every user. opened: the connections to it; a writer that nobody holds closes its
    connection by itself, and warns of that."""

    url: str = ""
    refused: int = 0
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    async def open(self, *given: Any, **more: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await open_connection(*given, **more)
        self.opened.append(writer)
        return reader, writer

    async def serve(self, there: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            back.write(INFO)
            await there.readuntil(b"PING\r\n")
            back.write(b"-ERR 'Authorization Violation'\r\n")
            self.refused += 1
            await there.read()
        back.transport.abort()

    def all_end(self) -> bool:
        return all(writer.is_closing() for writer in self.opened)


@pytest.fixture
async def refusing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Refusing]:
    server = Refusing()
    monkeypatch.setattr(nats_broker, "open_connection", server.open)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"nats://me:wrong@127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    yield server
    await close_listener(listener)


async def test_a_stop_at_any_moment_of_a_refused_sign_in_ends_at_once_and_leaves_no_connection(
    link: RedisClient, refusing: Refusing, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = new_dispatcher(link)
    for turns in range(40):
        before = refusing.refused
        ingester = Ingester(link, dispatcher, NatsJetStream(Positions(link), refusing.url, STREAM))
        await ingester.start()
        await turn(lambda before=before: refusing.refused > before)
        await turn(times=turns)
        await ingester.stop()
        assert refusing.all_end(), turns
        assert not [one for one in caplog.messages if "did not end" in one], turns
    assert len(refusing.opened) >= 40


async def test_a_close_that_is_cancelled_leaves_no_connection(link: RedisClient, refusing: Refusing) -> None:
    for turns in range(10):
        broker = NatsJetStream(Positions(link), refusing.url, STREAM)
        with pytest.raises(BrokerUnavailable, match="Authorization Violation"):
            await broker.open(_no_loss)
        closing = asyncio.ensure_future(broker.close())
        await turn(times=turns)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await turn(times=3)
        assert turns == 0 or refusing.all_end(), turns
        await broker.close()


async def turn(holds: Callable[[], bool] = lambda: True, *, times: int = 0) -> None:
    """Let the loop turn so many times, and until it holds."""
    for _ in range(times):
        await asyncio.sleep(0)
    async with asyncio.timeout(GUARD):
        while not holds():
            await asyncio.sleep(0)


async def _no_loss(why: str) -> None:
    raise AssertionError(why)
