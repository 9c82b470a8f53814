"""One pub/sub connection for a whole process, which notices its own death and says when it has missed something.

Promises: `ready(channel)` returns only after the server confirmed the subscription, and `on_up` is called after every
(re)connect once all channels are confirmed, because whatever was published in between is gone. Refuses to trust a
silent connection: it pings every `beat` seconds and gives up after `dead_after` without a byte. Messages are handed to
`on_message` from the socket's own callback, without a task between; it must not block.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis.exceptions import RedisError

from .link import RedisLink, StoreUnavailable

log = logging.getLogger("bff.stores")

_CHUNK = 500  # channels named in one SUBSCRIBE
_PING = hiredis.pack_command(("PING",))


class _Wire(asyncio.Protocol):
    """Reads answers as they come. `lost` is done when the connection is."""

    def __init__(self, told: Callable[[Any], None]) -> None:
        loop = asyncio.get_running_loop()
        self._told = told
        self._reader = hiredis.Reader()
        self._time = loop.time
        self.lost: asyncio.Future[None] = loop.create_future()
        self.heard_at = loop.time()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._time()
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not False:
                self._told(answer)
        except hiredis.ProtocolError as error:
            self._end(ConnectionResetError(f"not Redis: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionResetError(f"the server closed the connection: {exc}"))

    def _end(self, error: OSError) -> None:
        if not self.lost.done():
            self.lost.set_exception(error)


class Channels:
    """Subscriptions counted per channel. `run()` is the owner's to start and to cancel.

    on_message        called with a channel and what was published to it
    on_up, on_down    called when nothing is missed any more, and when something may be from now on
    beat, dead_after  seconds;  a lost connection is opened again after 0.05–1 s, growing with each failure
    """

    def __init__(
        self,
        link: RedisLink,
        on_message: Callable[[str, bytes], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None] = lambda: None,
        *,
        beat: float = 1.0,
        dead_after: float = 3.0,
    ) -> None:
        self._link = link
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._beat = beat
        self._dead_after = dead_after
        self._wanted: dict[str, int] = {}
        self._confirmed: set[str] = set()
        self._unconfirmed: dict[str, int] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        # Everybody who comes within one turn of the loop shares a command.
        self._outbox: list[tuple[str, str]] = []
        self._transport: asyncio.WriteTransport | None = None
        self._resynced = False

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._transport is not None

    def add(self, channel: str) -> None:
        """Want a channel (counted); it is subscribed now or as soon as there is a connection."""
        count = self._wanted.get(channel, 0)
        self._wanted[channel] = count + 1
        if count == 0:
            self._command("SUBSCRIBE", channel)

    def discard(self, channel: str) -> None:
        """Want it once less; the last one out unsubscribes."""
        count = self._wanted.get(channel, 0)
        if count > 1:
            self._wanted[channel] = count - 1
            return
        self._wanted.pop(channel, None)
        self._confirmed.discard(channel)
        waiting = self._waiting.pop(channel, None)
        if waiting is not None:
            waiting.cancel()
        if count:
            self._command("UNSUBSCRIBE", channel)

    async def ready(self, *channels: str, timeout: float = 1.0) -> None:
        """Return once the server has confirmed all these wanted channels; StoreUnavailable after `timeout` seconds."""
        missing = [channel for channel in channels if channel not in self._confirmed]
        if not missing:
            return
        loop = asyncio.get_running_loop()
        waiting = [self._waiting.setdefault(channel, loop.create_future()) for channel in missing]
        await asyncio.wait(waiting, timeout=timeout)
        if not self._confirmed.issuperset(missing):
            raise StoreUnavailable(f"{len(missing)} channels were not subscribed within {timeout} s")

    def _command(self, command: str, channel: str) -> None:
        if self._transport is not None:
            if not self._outbox:
                asyncio.get_running_loop().call_soon(self._flush)
            self._outbox.append((command, channel))

    async def run(self) -> None:
        """Hold a connection for ever; cancel it to stop."""
        failures = 0
        while True:
            try:
                await self._connected()
            except (RedisError, OSError) as lost:
                failures = 0 if self._resynced else failures + 1
                log.warning("pub/sub connection lost, opening another: %s", lost)
            await asyncio.sleep(random.uniform(0.5, 1) * min(1.0, 0.05 * 2 ** min(failures, 6)))  # noqa: S311 - jitter

    async def _connected(self) -> None:
        """One connection's life. Raises OSError or RedisError when it is over."""
        self._unconfirmed.clear()
        self._outbox.clear()
        self._resynced = False
        wire = _Wire(self._told)
        client = self._link.dedicated(timeout=self._dead_after)
        connection: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py leaves connections untyped
        try:
            # The driver knows addresses, TLS and passwords; reading message by message through it costs ten times
            # what the hub does with one.
            await connection.connect()
            wire.heard_at = asyncio.get_running_loop().time()
            transport = connection._writer.transport
            transport.set_protocol(wire)
            self._transport = transport
            for channel in self._wanted:
                self._command("SUBSCRIBE", channel)
            if not self._wanted:
                self._resync()
            await self._mind(wire, transport)
        finally:
            self._transport = None
            self._confirmed.clear()
            wire.lost.cancel()
            self._on_down()
            await connection.disconnect(nowait=True)
            await client.aclose()

    async def _mind(self, wire: _Wire, transport: asyncio.WriteTransport) -> None:
        while True:
            done, _ = await asyncio.wait([wire.lost], timeout=self._beat)
            if done:
                wire.lost.result()
            silent = asyncio.get_running_loop().time() - wire.heard_at
            if silent > self._dead_after:
                transport.abort()
                raise TimeoutError(f"not a byte for {silent:.1f} s, not even an answer to a ping")
            transport.write(_PING)

    def _resync(self) -> None:
        self._resynced = True
        self._on_up()

    def _flush(self) -> None:
        batch, self._outbox = self._outbox, []
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        start = 0
        while start < len(batch):
            command, end = batch[start][0], start
            while end < len(batch) and batch[end][0] == command and end - start < _CHUNK:
                end += 1
            names = [name for _, name in batch[start:end]]
            if command == "SUBSCRIBE":
                for name in names:
                    self._unconfirmed[name] = self._unconfirmed.get(name, 0) + 1
            packed = hiredis.pack_command((command, *names))  # type: ignore[arg-type]  # its stub knows pairs only
            transport.write(packed)
            start = end

    def _told(self, answer: Sequence[Any]) -> None:
        if not isinstance(answer, list) or len(answer) != 3:
            return  # a pong
        kind, name, data = answer
        channel = name.decode()
        if kind == b"message":
            try:
                self._on_message(channel, data)
            except Exception:
                # One message that cannot be taken must not deafen every stream of the process; what it said is in
                # the journal, and the next comparison of positions finds it.
                log.exception("a message on %s could not be taken", channel)
        elif kind == b"subscribe":
            self._acknowledge(channel)

    def _acknowledge(self, channel: str) -> None:
        # An unsubscribe may stand between two subscriptions on their way: only the last answer counts.
        left = self._unconfirmed.get(channel, 1) - 1
        if left:
            self._unconfirmed[channel] = left
            return
        self._unconfirmed.pop(channel, None)
        if channel in self._wanted:
            self._confirmed.add(channel)
            waiting = self._waiting.pop(channel, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        if not self._resynced and not self._unconfirmed and not self._outbox:
            self._resync()
