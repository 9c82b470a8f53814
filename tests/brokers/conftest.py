"""One rig for each broker: how a service publishes to it, and the adapter that reads it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aio_pika
import nats
import pytest
from redis.asyncio import Redis

from bff.live.ingest import Broker, RedisStreams
from bff.live.ingest.nats import NatsJetStream
from bff.live.ingest.rabbitmq import RabbitMq
from bff.stores.progress import Positions
from bff.stores.redis.client import RedisClient

from ..conftest import Valkey
from .servers import Nats, Rabbit

STREAM = "EVENTS"


class Rig(ABC):
    """A broker with its server."""

    def __init__(self, redis_url: str) -> None:
        self.redis_url = redis_url

    @abstractmethod
    def broker(self, link: RedisClient) -> Broker:
        """A new adapter that reads it."""

    @abstractmethod
    async def publish(self, *bodies: bytes) -> None:
        """Publish as a service does; returns when the server has stored the events."""

    @abstractmethod
    def kill(self) -> None:
        """Kill the server with SIGKILL."""

    @abstractmethod
    def start(self) -> None:
        """Start the server again with its data on disk."""


class RedisRig(Rig):
    def __init__(self, server: Valkey) -> None:
        super().__init__(server.url)
        self._server = server

    def broker(self, link: RedisClient) -> Broker:
        return RedisStreams(link, ["events:orders:0"], block=0.1)

    async def publish(self, *bodies: bytes) -> None:
        async with Redis.from_url(self.redis_url) as redis:
            for body in bodies:
                await redis.xadd("events:orders:0", {"event": body})

    def kill(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()


class NatsRig(Rig):
    def __init__(self, redis_url: str, server: Nats) -> None:
        super().__init__(redis_url)
        self._server = server

    def broker(self, link: RedisClient) -> Broker:
        return NatsJetStream(Positions(link), self._server.url, STREAM, subject="events.>", block=0.1)

    async def publish(self, *bodies: bytes) -> None:
        async with contextlib.AsyncExitStack() as stack:
            client = await nats.connect(self._server.url)
            stack.push_async_callback(client.close)
            stream = client.jetstream()
            for body in bodies:
                await stream.publish("events.orders", body)

    async def prepare(self) -> None:
        client = await nats.connect(self._server.url)
        stream = client.jetstream()
        with contextlib.suppress(nats.js.errors.NotFoundError):
            await stream.delete_stream(STREAM)
        await stream.add_stream(name=STREAM, subjects=["events.>"])
        await client.close()

    def kill(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()


class RabbitRig(Rig):
    def __init__(self, redis_url: str, server: Rabbit) -> None:
        super().__init__(redis_url)
        self._server = server
        self._queue = f"events-{time.monotonic_ns()}"

    def broker(self, link: RedisClient) -> Broker:
        return RabbitMq(self._server.url, [self._queue], block=0.1)

    async def publish(self, *bodies: bytes) -> None:
        connection = await aio_pika.connect(self._server.url)
        async with connection:
            channel = await connection.channel(publisher_confirms=True)
            await channel.declare_queue(self._queue, durable=True)
            for body in bodies:
                message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(message, self._queue)

    def kill(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    server = Nats(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    server = Rabbit(tmp_path_factory.mktemp("rabbit"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def kept_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A server that has stored on disk everything that it confirmed."""
    folder = tmp_path / "kept"
    folder.mkdir()
    server = Valkey(folder, args=("--appendonly", "yes", "--appendfsync", "always")).start()
    yield server
    server.stop()


@pytest.fixture(
    params=["redis", "nats", pytest.param("rabbitmq", marks=pytest.mark.slow)],
)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "redis":
        yield RedisRig(request.getfixturevalue("kept_valkey"))
        return
    redis_url = request.getfixturevalue("redis_url")
    if request.param == "nats":
        made = NatsRig(redis_url, request.getfixturevalue("nats_server"))
        await made.prepare()
        yield made
    else:
        yield RabbitRig(redis_url, request.getfixturevalue("rabbit_server"))


async def until(holds: Any, *, seconds: float = 60.0) -> None:
    """Wait until the check is true, at most this many seconds."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)
