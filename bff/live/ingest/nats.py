"""NATS JetStream as a bus: one stream, read in its own order from a sequence kept in the gateway's Redis.

Nothing is acknowledged: an acknowledgement lost with its reader would come again only after a wait, behind newer events
of the same saga. The stream must keep what it has been given for a while (retention by limits, not a work queue); what
it has dropped meanwhile is restored from the services, as after any loss.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from ...stores.events import BusEvent, Positions
from ...stores.link import RedisLink
from .bus import BusUnavailable

COUNT = 100
"""Events fetched at once."""
PATIENCE = 5
"""Seconds for connecting, and for an answer of the server's."""
FORGOTTEN = 60.0
"""Seconds after which the server drops the consumer of a reader that died."""


class NatsJetStream:
    """url: of a server, or of several with commas between; stream: its name; subject: only events of these, None for
    all of them; block: seconds a read waits."""

    name = "nats"

    def __init__(
        self, link: RedisLink, url: str, stream: str, *, subject: str | None = None, block: float = 1.0
    ) -> None:
        self._url = url
        self._stream = stream
        self._subject = subject
        self._block = block
        self._positions = Positions(link)
        self._place = f"nats:{stream}"
        self._client: Client | None = None
        self._reading: JetStreamContext.PullSubscription | None = None
        self._lost = ""

    async def begin(self) -> None:
        place = (await self._positions.of([self._place]))[self._place]
        start = int(place) + 1 if place else 1
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
                stream = client.jetstream(timeout=PATIENCE)
                config = ConsumerConfig(
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=start,
                    ack_policy=AckPolicy.NONE,
                    filter_subject=self._subject,
                    inactive_threshold=FORGOTTEN,
                )
                made = await stream.add_consumer(self._stream, config=config)
                self._reading = await stream.pull_subscribe_bind(consumer=made.name, stream=self._stream)
        except (NatsError, OSError, TimeoutError) as error:
            raise BusUnavailable(f"NATS, stream {self._stream!r}: {_words(error)}") from error

    async def read(self) -> Mapping[str, Sequence[BusEvent]]:
        if self._reading is None or self._client is None or not self._client.is_connected:
            raise BusUnavailable(f"NATS, stream {self._stream!r}: {self._lost or 'the connection was lost'}")
        try:
            messages = await self._reading.fetch(COUNT, timeout=self._block)
        except TimeoutError:
            return {}
        except (NatsError, OSError) as error:
            raise BusUnavailable(f"NATS, stream {self._stream!r}: {_words(error)}") from error
        events = [
            BusEvent(self._place, str(one.metadata.sequence.stream), one.data, self.name) for one in messages
        ]
        return {self._place: events} if events else {}

    async def done(self, partition: str, events: Sequence[BusEvent]) -> None:
        await self._positions.save(partition, events[-1].id)

    async def end(self) -> None:
        client, self._client, self._reading = self._client, None, None
        if client is not None:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await client.close()

    async def _failed(self, error: Exception) -> None:
        self._lost = _words(error)

    async def _cut(self) -> None:
        self._lost = self._lost or "the connection was lost"


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
