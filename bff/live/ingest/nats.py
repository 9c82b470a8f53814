"""NATS JetStream as a bus: one stream, read in its own order from a place kept in the gateway's Redis.

Nothing is acknowledged: an acknowledgement lost with its reader would come again only after a wait, behind newer events
of the same saga. The stream must keep what it has been given for a while (retention by limits, not a work queue); that
it has dropped events unread, or was made again, is noticed by its first sequence and the time it was created, kept
beside the place. Made again, it is read from the first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo

from ...stores.events import BrokerEvent
from ...stores.progress import Positions
from ...stores.redis.client import RedisClient
from .broker import LOOK, BrokerUnavailable, Lost, Partition, words

PATIENCE = 5
"""Seconds for connecting, and for an answer of the server's."""
FORGOTTEN = 60.0
"""Seconds after which the server drops the consumer of a reader that died."""

_BROKEN = (NatsError, OSError, TimeoutError)


class NatsJetStream:
    """url: of a server, or of several with commas between; stream: its name; subject: only events of these, None for
    all of them; block: seconds a read waits."""

    name = "nats"

    def __init__(
        self, redis: RedisClient, url: str, stream: str, *, subject: str | None = None, block: float = 1.0
    ) -> None:
        self._url = url
        self._stream = stream
        self._subject = subject
        self._block = block
        self._positions = Positions(redis)
        self._place = f"nats:{stream}"
        self._read_to = 0
        self._taken = 0
        self._created = ""
        self._client: Client | None = None
        self._jetstream: JetStreamContext | None = None
        self._consumer = ""
        self._reading: JetStreamContext.PullSubscription | None = None
        self._lost: Lost | None = None
        self._portion = Partition()
        self._next_look = 0.0
        self._why = ""

    async def begin(self, lost: Lost) -> None:
        self._lost, self._why, self._portion, self._taken = lost, "", Partition(), 0
        kept = (await self._positions.load([self._place]))[self._place]
        number, _, self._created = (kept or "").partition(" ")
        self._read_to = int(number or 0)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                # Known before it is connected, so that one that fails on the way is closed, too.
                self._client = client = Client()
                await client.connect(
                    self._url.split(","),
                    allow_reconnect=False,
                    connect_timeout=PATIENCE,
                    error_cb=self._failed,
                    disconnected_cb=self._cut,
                )
                self._jetstream = jetstream = client.jetstream(timeout=PATIENCE)
                stream = await jetstream.stream_info(self._stream)
        except _BROKEN as error:
            raise self._unavailable(error) from error
        await self._compare(stream)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                config = ConsumerConfig(
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=self._read_to + 1,
                    ack_policy=AckPolicy.NONE,
                    filter_subject=self._subject,
                    inactive_threshold=FORGOTTEN,
                )
                self._consumer = (await jetstream.add_consumer(self._stream, config=config)).name
                self._reading = await jetstream.pull_subscribe_bind(
                    consumer=self._consumer, stream=self._stream
                )
        except _BROKEN as error:
            raise self._unavailable(error) from error
        self._next_look = asyncio.get_running_loop().time() + LOOK

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        if self._reading is None or self._client is None or not self._client.is_connected:
            raise BrokerUnavailable(
                f"NATS, stream {self._stream!r}: {self._why or 'the connection was lost'}"
            )
        now = asyncio.get_running_loop().time()
        if now >= self._next_look:
            await self._look()
            self._next_look = now + LOOK
        try:
            messages = await self._reading.fetch(self._portion.count, timeout=self._block)
        except TimeoutError:
            return {}
        except (NatsError, OSError) as error:
            raise self._unavailable(error) from error
        events = [
            BrokerEvent(self._place, str(one.metadata.sequence.stream), one.data, self.name)
            for one in messages
        ]
        self._taken += len(events)
        read = {self._place: events} if events else {}
        self._portion.saw(read)
        return read

    async def _look(self) -> None:
        """Whether everything that was to be read is still there, and who reads it for us."""
        if self._jetstream is None:
            return
        try:
            stream = await self._jetstream.stream_info(self._stream)
            consumer = await self._jetstream.consumer_info(self._stream, self._consumer)
        except _BROKEN as error:
            # The server forgets a consumer that was silent for long, and says nothing to who fetches.
            raise self._unavailable(error) from error
        if _created(stream) != self._created:
            raise BrokerUnavailable(f"NATS, stream {self._stream!r}: it was made again")
        await self._compare(stream)
        given = consumer.delivered.consumer_seq if consumer.delivered else 0
        if consumer.num_pending == 0 and given == self._taken and self._read_to < stream.state.last_seq:
            # What lies between is not of our subjects: once dropped it must not look like a loss.
            await self._move(stream.state.last_seq)

    async def _compare(self, stream: StreamInfo) -> None:
        created, state = _created(stream), stream.state
        if self._created not in ("", created) or state.last_seq < self._read_to:
            read_to, why = 0, "it was made again"
        elif state.first_seq > self._read_to + 1:
            read_to, why = state.first_seq - 1, "it dropped events unread"
        else:
            self._created = created
            return
        if self._lost is not None:
            await self._lost(f"{self._stream}: {why}")
        self._created = created
        await self._move(read_to)

    async def done(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        await self._move(max(self._read_to, int(events[-1].id)))

    async def _move(self, sequence: int) -> None:
        await self._positions.save(self._place, f"{sequence} {self._created}")
        self._read_to = sequence

    async def end(self) -> None:
        client, self._client, self._jetstream, self._reading = self._client, None, None, None
        if client is not None:
            with contextlib.suppress(*_BROKEN):
                async with asyncio.timeout(PATIENCE):
                    await client.close()

    def _unavailable(self, error: BaseException) -> BrokerUnavailable:
        return BrokerUnavailable(f"NATS, stream {self._stream!r}: {words(error)}")

    async def _failed(self, error: Exception) -> None:
        self._why = words(error)

    async def _cut(self) -> None:
        self._why = self._why or "the connection was lost"


def _created(stream: StreamInfo) -> str:
    return stream.created.isoformat() if stream.created else ""
