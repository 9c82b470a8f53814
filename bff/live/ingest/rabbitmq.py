"""RabbitMQ as a broker: every partition is a durable queue, which one exclusive consumer reads and acknowledges after
the effects.

Messages that a reader did not acknowledge return to the head of their queue, in order, when its channel closes. The
queue accepts no other consumer before that: the successor of a reader that froze waits until the server closes the
frozen connection. Each queue is one partition; events of one saga must always go to the same queue. The adapter notices
that a queue was missing and had to be declared. It cannot notice what a queue drops by a length limit or a time to
live, because RabbitMQ does not report that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.connection import make_url
from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError, AMQPError
from yarl import URL

from ...network import Network, Proxy, open_connection
from ...network.probe import certificate_end
from ...stores.events import BrokerEvent
from .broker import MAX_BATCH, Address, BrokerUnavailable, OnLoss, current_url, error_text

TIMEOUT = 5.0
"""Seconds for connecting, and for a reply of the server, where the settings name no others."""
HEARTBEAT = 10
"""Seconds; the server closes a connection that was silent for two heartbeats."""

# RuntimeError: the library raises it when a channel was lost.
_BROKEN = (AMQPError, aio_pika.exceptions.AMQPException, OSError, TimeoutError, RuntimeError)


# Options in the query of an address that replace the trusted certificates.
_CERTIFICATES = {"cafile", "capath", "cadata", "certfile", "keyfile", "no_verify_ssl"}


class _TransportFactory(TransportFactory):
    """Opens the connections of the client, through the proxy where it applies."""

    def __init__(self, proxy: Proxy | None) -> None:
        self._proxy = proxy
        self.certificate_until: datetime | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = await kwargs["ssl_context_provider"].get_context() if url.scheme == "amqps" else None
        try:
            reader, writer = await open_connection(self._proxy, url.host or "", url.port or 0, tls=context)
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        self.certificate_until = certificate_end(writer)
        return reader, writer


class RabbitMq:
    """Reads some queues.

    url       amqp:// or amqps://; read at each `open`, because its password may change
    queues    their names; declared durable
    exchange  the queues are bound to it with the routing keys `keys`; None: they are bound outside the gateway
    block     seconds that a read waits for messages
    timeout   seconds for connecting, and for a reply of the server
    network   trusted certificates and the proxy. Certificates that the query of the address names (`cafile`, …) are
              used instead
    """

    name = "rabbitmq"

    def __init__(
        self,
        url: Address,
        queues: Sequence[str],
        *,
        exchange: str | None = None,
        keys: Sequence[str] = ("#",),
        block: float = 1.0,
        timeout: float = TIMEOUT,
        network: Network | None = None,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._network = network or Network()
        self._factory = _TransportFactory(self._network.proxy)
        self._queues = list(queues)
        self._exchange = exchange
        self._keys = list(keys)
        self._block = block
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._prefetch = max(1, MAX_BATCH // len(self._queues))
        self._arrived: asyncio.Queue[tuple[str, AbstractIncomingMessage]] = asyncio.Queue()
        self._unacked: dict[str, dict[str, AbstractIncomingMessage]] = {}
        self._consumer_cancelled = False

    async def open(self, on_loss: OnLoss) -> None:
        # Each queue's consumer may have this many unacknowledged messages.
        self._arrived, self._unacked = asyncio.Queue(self._prefetch * len(self._queues)), {}
        self._consumer_cancelled = False
        try:
            async with asyncio.timeout(2 * self._timeout):
                self._connection = connection = self._new_connection()
                await connection.connect(timeout=self._timeout)
                missing = [name for name in self._queues if not await _exists(connection, name)]
        except _BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ: {error_text(error)}") from error
        if missing:
            await on_loss(f"{', '.join(missing)}: the queue did not exist, its messages are lost")
        try:
            async with asyncio.timeout(2 * self._timeout):
                self._channel = await connection.channel()
                await self._channel.set_qos(prefetch_count=self._prefetch)
                underlay = await self._channel.get_underlay_channel()
                underlay.on_consumer_cancel_callbacks.add(self._on_cancel)
                for name in self._queues:
                    queue = await self._channel.declare_queue(name, durable=True)
                    if self._exchange is not None:
                        for key in self._keys:
                            await queue.bind(self._exchange, key)
                    await queue.consume(self._consumer(name), exclusive=True)
        except _BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ: {error_text(error)}") from error

    def _new_connection(self) -> AbstractConnection:
        url = make_url(current_url(self._url), heartbeat=HEARTBEAT)
        trust = None if url.query.keys() & _CERTIFICATES else self._network.trust.context
        made = aio_pika.Connection(url, ssl_context=trust)
        made.kwargs["transport_factory"] = self._factory
        return made

    async def check(self) -> datetime | None:
        """Connect and disconnect; nothing is declared or read. Returns the end of the server's certificate, None
        without TLS. Raises BrokerUnavailable."""
        try:
            self._connection = connection = self._new_connection()
            await connection.connect(timeout=self._timeout)
            return self._factory.certificate_until
        except _BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ: {error_text(error)}") from error
        finally:
            await self.close()

    async def publish(self, body: bytes, key: str) -> None:
        """Connect, publish one persistent message, wait for its confirmation, and disconnect. key: the routing key; of
        an adapter without an exchange, the queue. Raises BrokerUnavailable, also where no queue gets the message."""
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        try:
            async with asyncio.timeout(2 * self._timeout):
                self._connection = connection = self._new_connection()
                await connection.connect(timeout=self._timeout)
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                to = channel.default_exchange
                if self._exchange is not None:
                    to = await channel.get_exchange(self._exchange)
                await to.publish(message, key, mandatory=True)
        except _BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ: {error_text(error)}") from error
        finally:
            await self.close()

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        if self._channel is None or self._channel.is_closed:
            raise BrokerUnavailable("RabbitMQ: the connection was lost")
        if self._consumer_cancelled:
            raise BrokerUnavailable("RabbitMQ: the server ended a consumer: its queue was deleted or moved")
        read: dict[str, list[BrokerEvent]] = {}
        try:
            async with asyncio.timeout(self._block):
                self._add(read, *await self._arrived.get())
        except TimeoutError:
            return read
        while not self._arrived.empty():
            self._add(read, *self._arrived.get_nowait())
        return read

    async def ack(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        unacked = self._unacked.get(partition, {})
        try:
            # The client waits for ever where its connection breaks off while it writes.
            async with asyncio.timeout(self._timeout):
                for event in events:
                    await unacked.pop(event.id).ack()
        except _BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ: {error_text(error)}") from error

    async def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(*_BROKEN):
                async with asyncio.timeout(self._timeout):
                    await connection.close()

    def _on_cancel(self, _: object) -> None:
        self._consumer_cancelled = True

    def _consumer(self, name: str):  # type: ignore[no-untyped-def]  # aio-pika's own callback type is private
        arrived = self._arrived

        async def on_message(message: AbstractIncomingMessage) -> None:
            # The queue has room for every message that may be unacknowledged.
            arrived.put_nowait((name, message))

        return on_message

    def _add(self, read: dict[str, list[BrokerEvent]], queue: str, message: AbstractIncomingMessage) -> None:
        id = str(message.delivery_tag)
        self._unacked.setdefault(queue, {})[id] = message
        # The publisher's time, in whole seconds: the server has none of its own.
        at = None if message.timestamp is None else message.timestamp.timestamp()
        read.setdefault(queue, []).append(BrokerEvent(queue, id, message.body, self.name, at))


async def _exists(connection: AbstractConnection, queue: str) -> bool:
    # The server closes the channel of a passive declaration that fails.
    channel = await connection.channel()
    try:
        await channel.declare_queue(queue, passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return False
    await channel.close()
    return True
