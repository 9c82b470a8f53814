"""RabbitMQ as a bus: every partition is a durable queue, read by one exclusive consumer and acknowledged after the
effects.

What a reader did not acknowledge goes back to the head of its queue when its channel closes, in its old order; nobody
else is let in before that, so who takes over from one that stands still waits until the server gives that one up.
Several queues keep partitions apart; events of one saga must always go to the same one. That a queue had to be made is
noticed; what a queue drops by itself (a length limit, a time to live) is not: RabbitMQ says so to nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import AMQPError

from ...stores.events import BrokerEvent
from .broker import TOGETHER, BrokerUnavailable, Lost, words

PATIENCE = 5.0
"""Seconds for connecting, and for an answer of the server's."""
HEARTBEAT = 10
"""Seconds; the server gives a reader up that was silent for two of them."""

# RuntimeError: so the library says that a channel has been lost under it.
_BROKEN = (AMQPError, aio_pika.exceptions.AMQPException, OSError, TimeoutError, RuntimeError)


class RabbitMq:
    """url: amqp:// or amqps://; queues: declared durable; exchange: where they are bound, with these routing keys, None
    when somebody else binds them; block: seconds a read waits."""

    name = "rabbitmq"

    def __init__(
        self,
        url: str,
        queues: Sequence[str],
        *,
        exchange: str | None = None,
        keys: Sequence[str] = ("#",),
        block: float = 1.0,
    ) -> None:
        self._url = url
        self._queues = list(queues)
        self._exchange = exchange
        self._keys = list(keys)
        self._block = block
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._prefetch = max(1, TOGETHER // len(self._queues))
        self._come: asyncio.Queue[tuple[str, AbstractIncomingMessage]] = asyncio.Queue()
        self._open: dict[str, dict[str, AbstractIncomingMessage]] = {}
        self._cancelled = False

    async def begin(self, lost: Lost) -> None:
        # Each queue's consumer may have as many unacknowledged.
        self._come, self._open = asyncio.Queue(self._prefetch * len(self._queues)), {}
        self._cancelled = False
        try:
            async with asyncio.timeout(2 * PATIENCE):
                self._connection = await aio_pika.connect(self._url, timeout=PATIENCE, heartbeat=HEARTBEAT)
                missing = [name for name in self._queues if not await _exists(self._connection, name)]
        except _BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ: {words(error)}") from error
        if missing:
            await lost(f"{', '.join(missing)}: no such queue, what was in it is gone")
        try:
            async with asyncio.timeout(2 * PATIENCE):
                self._channel = await self._connection.channel()
                await self._channel.set_qos(prefetch_count=self._prefetch)
                underlay = await self._channel.get_underlay_channel()
                underlay.on_consumer_cancel_callbacks.add(self._cancel)
                for name in self._queues:
                    queue = await self._channel.declare_queue(name, durable=True)
                    if self._exchange is not None:
                        for key in self._keys:
                            await queue.bind(self._exchange, key)
                    await queue.consume(self._taker(name), exclusive=True)
        except _BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ: {words(error)}") from error

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        if self._channel is None or self._channel.is_closed:
            raise BrokerUnavailable("RabbitMQ: the connection was lost")
        if self._cancelled:
            raise BrokerUnavailable("RabbitMQ: the server ended a consumer: its queue was deleted or moved")
        read: dict[str, list[BrokerEvent]] = {}
        try:
            async with asyncio.timeout(self._block):
                self._add(read, *await self._come.get())
        except TimeoutError:
            return read
        while not self._come.empty():
            self._add(read, *self._come.get_nowait())
        return read

    async def done(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        waiting = self._open.get(partition, {})
        try:
            for event in events:
                await waiting.pop(event.id).ack()
        except _BROKEN as error:
            raise BrokerUnavailable(f"RabbitMQ: {words(error)}") from error

    async def end(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(*_BROKEN):
                async with asyncio.timeout(PATIENCE):
                    await connection.close()

    def _cancel(self, _: object) -> None:
        self._cancelled = True

    def _taker(self, name: str):  # type: ignore[no-untyped-def]  # aio-pika's own callback type is private
        come = self._come

        async def take(message: AbstractIncomingMessage) -> None:
            # There is room for as many as may be unacknowledged.
            come.put_nowait((name, message))

        return take

    def _add(self, read: dict[str, list[BrokerEvent]], queue: str, message: AbstractIncomingMessage) -> None:
        id = str(message.delivery_tag)
        self._open.setdefault(queue, {})[id] = message
        read.setdefault(queue, []).append(BrokerEvent(queue, id, message.body, self.name))


async def _exists(connection: AbstractConnection, queue: str) -> bool:
    # A question that is answered no costs its channel.
    channel = await connection.channel()
    try:
        await channel.declare_queue(queue, passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return False
    await channel.close()
    return True
