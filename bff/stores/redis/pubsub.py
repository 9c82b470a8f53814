"""One pub/sub connection to one server, which detects its own failure.

It reports confirmed channels, channels that this server does not serve any more, and the loss of the connection. The
connection is pinged every `beat` seconds and closed after `dead_after` seconds without data. Listeners are called from
the socket's callback, without a task in between, so they must not block.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import hiredis
from redis.asyncio import Redis
from redis.exceptions import RedisError

from .backoff import backoff
from .cluster import PAUSE, slot_of

log = logging.getLogger("bff.stores")

_CHUNK = 500  # channels in one SUBSCRIBE; an SSUBSCRIBE has one
RETRY_PAUSE = 0.5
"""Seconds before a channel that no node serves is subscribed again."""
_PING = hiredis.pack_command(("PING",))

OnMessage = Callable[[str, bytes], None]
"""Called with the channel and the published data."""


class PubSubObserver(Protocol):
    """The owner of a connection. on_confirmed: a channel is subscribed; on_lost: the connection ended or could not be
    opened; on_moved: this server does not serve these channels, try another one after `pause` seconds."""

    def on_confirmed(self, channel: str) -> None: ...

    def on_lost(self, connection: PubSubConnection) -> None: ...

    def on_moved(self, channels: Sequence[str], pause: float) -> None: ...


class _PubSubProtocol(asyncio.Protocol):
    """Parses replies as they arrive. `lost` is done when the connection has ended."""

    def __init__(self, on_reply: Callable[[Any], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_reply = on_reply
        self._reader = hiredis.Reader()
        self._time = loop.time
        self.lost: asyncio.Future[None] = loop.create_future()
        self.last_data_at = loop.time()

    def data_received(self, data: bytes) -> None:
        self.last_data_at = self._time()
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._on_reply(reply)
        except hiredis.ProtocolError as error:
            self._end(ConnectionResetError(f"not Redis: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionResetError(f"the server closed the connection: {exc}"))

    def _end(self, error: OSError) -> None:
        if not self.lost.done():
            self.lost.set_exception(error)


class PubSubConnection:
    """Subscriptions on one connection. The owner starts and cancels `run()`.

    open_client       returns a client with a dedicated connection
    generation        returns another value when the connection leads to the wrong server, or its login expires soon
    listeners         by channel; read at each message, changed by the owner
    sharded           whether a channel belongs to a slot of this server (SSUBSCRIBE)
    beat, dead_after  seconds; a lost connection is opened again after 0.025–1 s, growing with each failure
    wanted            the channels to subscribe
    away              True when the connection was lost or could not be opened
    """

    def __init__(
        self,
        open_client: Callable[[], Redis],
        observer: PubSubObserver,
        listeners: Mapping[str, OnMessage],
        *,
        sharded: Callable[[str], bool],
        beat: float,
        dead_after: float,
        generation: Callable[[], object] = lambda: 0,
    ) -> None:
        self.wanted: dict[str, None] = {}
        self.away = False
        self._open_client = open_client
        self._generation = generation
        self._observer = observer
        self._listeners = listeners
        self._sharded = sharded
        self._beat = beat
        self._dead_after = dead_after
        self._unconfirmed: dict[str, int] = {}
        self._unsubscribing: dict[str, int] = {}
        # All commands of one turn of the event loop share a write.
        self._outbox: list[tuple[str, str]] = []
        self._transport: asyncio.WriteTransport | None = None
        self._complete = False
        self._loss_logged = False
        self._refusal = ""

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._transport is not None

    def subscribe(self, channel: str) -> None:
        """Subscribe now or as soon as there is a connection."""
        if channel not in self.wanted:
            self.wanted[channel] = None
            self._command("SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe now; without a connection there is nothing to send."""
        if channel in self.wanted:
            del self.wanted[channel]
            self._command("UNSUBSCRIBE", channel)

    def _command(self, command: str, channel: str) -> None:
        if self._transport is not None:
            if not self._outbox:
                asyncio.get_running_loop().call_soon(self._flush)
            self._outbox.append((f"S{command}" if self._sharded(channel) else command, channel))

    # ---- the connection --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection open, for ever; cancel it to stop."""
        failures = 0
        while True:
            try:
                await self._run_once()
            except (RedisError, OSError) as lost:
                failures = 0 if self._complete else failures + 1
                # Logged once until all channels are subscribed again, and then once more.
                level = logging.DEBUG if self._loss_logged else logging.WARNING
                self._loss_logged = True
                log.log(level, "the pub/sub connection was lost, opening another: %s", lost)
            await asyncio.sleep(backoff(failures, 0.05, 1.0))

    async def _run_once(self) -> None:
        """Open a connection and use it until it ends. Raises OSError or RedisError then."""
        self._unconfirmed.clear()
        self._unsubscribing.clear()
        self._outbox.clear()
        self._complete = False
        protocol = _PubSubProtocol(self._on_reply)
        generation = self._generation()
        client = self._open_client()
        connection: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py leaves connections untyped
        try:
            # The driver opens the connection, with TLS and password. Messages are read without it, because that would
            # cost ten times the hub's work with a message.
            await connection.connect()
            protocol.last_data_at = asyncio.get_running_loop().time()
            transport = connection._writer.transport
            transport.set_protocol(protocol)
            self._transport = transport
            self.away = False
            for channel in self.wanted:
                self._command("SUBSCRIBE", channel)
            self._check_complete()
            await self._supervise(protocol, transport, generation)
        finally:
            self._transport = None
            self.away = True
            protocol.lost.cancel()
            self._observer.on_lost(self)
            await connection.disconnect(nowait=True)
            await client.aclose()

    async def _supervise(
        self, protocol: _PubSubProtocol, transport: asyncio.WriteTransport, generation: object
    ) -> None:
        while True:
            done, _ = await asyncio.wait([protocol.lost], timeout=self._beat)
            if done:
                protocol.lost.result()
            if self._generation() != generation:
                transport.abort()
                raise ConnectionAbortedError("another server is the master, or the login expires soon")
            silent = asyncio.get_running_loop().time() - protocol.last_data_at
            if silent > self._dead_after:
                transport.abort()
                raise TimeoutError(f"no data for {silent:.1f} s, not even a reply to a ping")
            transport.write(_PING)

    def _flush(self) -> None:
        batch, self._outbox = self._outbox, []
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        packed: list[bytes] = []
        start = 0
        while start < len(batch):
            command, end = batch[start][0], start
            most = start + (1 if command.startswith("SS") or command.startswith("SUN") else _CHUNK)
            while end < min(most, len(batch)) and batch[end][0] == command:
                end += 1
            names = [name for _, name in batch[start:end]]
            waiting = self._unsubscribing if "UNSUB" in command else self._unconfirmed
            for name in names:
                waiting[name] = waiting.get(name, 0) + 1
            packed.append(hiredis.pack_command((command, *names)))  # type: ignore[arg-type]  # its stub knows pairs only
            start = end
        transport.write(b"".join(packed))

    # ---- replies ---------------------------------------------------------------------------------------------

    def _on_reply(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            self._on_error_reply(str(reply))
            return
        if not isinstance(reply, list) or len(reply) != 3:
            return  # a pong
        kind, name, data = reply
        channel = name.decode()
        if kind in (b"message", b"smessage"):
            listener = self._listeners.get(channel)
            if listener is None:
                return  # it was unsubscribed meanwhile
            try:
                listener(channel, data)
            except Exception:
                # One bad message must not end all subscriptions of the process. Its content is in the journal, where
                # the next comparison of positions finds it.
                log.exception("a message on %s could not be handled", channel)
        elif kind in (b"subscribe", b"ssubscribe"):
            # There may be an unsubscribe between two pending subscriptions, so only the last reply counts.
            if _decrement(self._unconfirmed, channel):
                return
            if channel in self.wanted:
                self._refusal = ""
                self._observer.on_confirmed(channel)
            self._check_complete()
        elif channel in self._unsubscribing:
            _decrement(self._unsubscribing, channel)
        elif channel in self.wanted:
            # The server ended the subscription, because the slot has moved to another node.
            self._drop_channels([channel], 0.0)

    def _on_error_reply(self, error: str) -> None:
        """A subscription failed. A MOVED error names the slot; other errors do not say which subscription failed."""
        word, _, rest = error.partition(" ")
        if word != "MOVED":
            log.log(
                logging.DEBUG if word == self._refusal else logging.WARNING,
                *("channels are not subscribed: %s", error),
            )
            self._refusal = word
        slot = rest.partition(" ")[0]
        waiting = [name for name in self._unconfirmed if self._sharded(name)]
        if word == "MOVED":
            waiting = [name for name in waiting if str(slot_of(name.encode())) == slot]
            for name in [name for name in self._unsubscribing if str(slot_of(name.encode())) == slot]:
                del self._unsubscribing[name]
        for name in waiting:
            del self._unconfirmed[name]
        self._drop_channels(
            [name for name in waiting if name in self.wanted], PAUSE if word == "MOVED" else RETRY_PAUSE
        )
        self._check_complete()

    def _drop_channels(self, channels: Sequence[str], pause: float) -> None:
        for channel in channels:
            del self.wanted[channel]
        if channels:
            self._observer.on_moved(channels, pause)

    def _check_complete(self) -> None:
        if not self._complete and not self._unconfirmed and not self._outbox:
            self._complete = True
            if self._loss_logged:
                self._loss_logged = False
                log.info("the pub/sub connection is open again")


def _decrement(counts: dict[str, int], name: str) -> int:
    left = counts.get(name, 1) - 1
    if left:
        counts[name] = left
    else:
        counts.pop(name, None)
    return left
