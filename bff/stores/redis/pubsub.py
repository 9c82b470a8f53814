"""One pub/sub connection to one server, which notices its own death.

Promises to say what is confirmed, what this server has given away, and when the connection is gone. Refuses to trust a
silent connection: it pings every `beat` seconds and gives up after `dead_after` without a byte. Messages are handed on
from the socket's own callback, without a task between; who takes them must not block.
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

_CHUNK = 500  # channels named in one SUBSCRIBE; a sharded one names one
RETRY_PAUSE = 0.5
"""Seconds before a channel that nobody carries is asked for again."""
_PING = hiredis.pack_command(("PING",))

OnMessage = Callable[[str, bytes], None]
"""Told the channel, and what was published to it."""


class PubSubObserver(Protocol):
    """Who holds an ear: told that a channel is confirmed, that a connection is gone or could not be made, and which
    channels this server does not carry: ask for them elsewhere after `pause` seconds."""

    def on_confirmed(self, channel: str) -> None: ...

    def on_lost(self, ear: PubSubConnection) -> None: ...

    def on_moved(self, channels: Sequence[str], pause: float) -> None: ...


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


class PubSubConnection:
    """Subscriptions on one connection. `run()` is the owner's to start and to cancel.

    dial              a client with one connection of its own
    era               another number when its server is the wrong one by now
    listeners         who is told what a channel says; read at each message, changed by whoever holds the ear
    sharded           whether a channel is one of a slot that this server has (SSUBSCRIBE)
    beat, dead_after  seconds; a lost connection is opened again after 0.025–1 s, growing with each failure
    wanted            channels asked for;  away  the last thing that happened to the connection is that there is none
    """

    def __init__(
        self,
        dial: Callable[[], Redis],
        hears: PubSubObserver,
        listeners: Mapping[str, OnMessage],
        *,
        sharded: Callable[[str], bool],
        beat: float,
        dead_after: float,
        era: Callable[[], int] = lambda: 0,
    ) -> None:
        self.wanted: dict[str, None] = {}
        self.away = False
        self._dial = dial
        self._era = era
        self._hears = hears
        self._listeners = listeners
        self._sharded = sharded
        self._beat = beat
        self._dead_after = dead_after
        self._unconfirmed: dict[str, int] = {}
        self._leaving: dict[str, int] = {}
        # Everybody who comes within one turn of the loop shares a command, or a write.
        self._outbox: list[tuple[str, str]] = []
        self._transport: asyncio.WriteTransport | None = None
        self._whole = False
        self._told_lost = False
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
        """Unsubscribe."""
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
        """Hold a connection for ever; cancel it to stop."""
        failures = 0
        while True:
            try:
                await self._connected()
            except (RedisError, OSError) as lost:
                failures = 0 if self._whole else failures + 1
                # Told once until there is a whole one again, and at its end.
                level = logging.DEBUG if self._told_lost else logging.WARNING
                self._told_lost = True
                log.log(level, "the pub/sub connection was lost, opening another: %s", lost)
            await asyncio.sleep(backoff(failures, 0.05, 1.0))

    async def _connected(self) -> None:
        """One connection's life. Raises OSError or RedisError when it is over."""
        self._unconfirmed.clear()
        self._leaving.clear()
        self._outbox.clear()
        self._whole = False
        wire = _Wire(self._told)
        era = self._era()
        client = self._dial()
        connection: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py leaves connections untyped
        try:
            # The driver knows addresses, TLS and passwords; reading message by message through it costs ten times
            # what the hub does with one.
            await connection.connect()
            wire.heard_at = asyncio.get_running_loop().time()
            transport = connection._writer.transport
            transport.set_protocol(wire)
            self._transport = transport
            self.away = False
            for channel in self.wanted:
                self._command("SUBSCRIBE", channel)
            self._settled()
            await self._mind(wire, transport, era)
        finally:
            self._transport = None
            self.away = True
            wire.lost.cancel()
            self._hears.on_lost(self)
            await connection.disconnect(nowait=True)
            await client.aclose()

    async def _mind(self, wire: _Wire, transport: asyncio.WriteTransport, era: int) -> None:
        while True:
            done, _ = await asyncio.wait([wire.lost], timeout=self._beat)
            if done:
                wire.lost.result()
            if self._era() != era:
                transport.abort()
                raise ConnectionAbortedError("another is the master")
            silent = asyncio.get_running_loop().time() - wire.heard_at
            if silent > self._dead_after:
                transport.abort()
                raise TimeoutError(f"not a byte for {silent:.1f} s, not even an answer to a ping")
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
            asked = self._leaving if "UNSUB" in command else self._unconfirmed
            for name in names:
                asked[name] = asked.get(name, 0) + 1
            packed.append(hiredis.pack_command((command, *names)))  # type: ignore[arg-type]  # its stub knows pairs only
            start = end
        transport.write(b"".join(packed))

    # ---- what comes ------------------------------------------------------------------------------------------

    def _told(self, answer: Any) -> None:
        if isinstance(answer, hiredis.ReplyError):
            self._refused(str(answer))
            return
        if not isinstance(answer, list) or len(answer) != 3:
            return  # a pong
        kind, name, data = answer
        channel = name.decode()
        if kind in (b"message", b"smessage"):
            listener = self._listeners.get(channel)
            if listener is None:
                return  # it was left meanwhile
            try:
                listener(channel, data)
            except Exception:
                # One message that cannot be taken must not deafen every stream of the process; what it said is in
                # the journal, and the next comparison of positions finds it.
                log.exception("a message on %s could not be taken", channel)
        elif kind in (b"subscribe", b"ssubscribe"):
            # An unsubscribe may stand between two subscriptions on their way: only the last answer counts.
            if _one_less(self._unconfirmed, channel):
                return
            if channel in self.wanted:
                self._refusal = ""
                self._hears.on_confirmed(channel)
            self._settled()
        elif channel in self._leaving:
            _one_less(self._leaving, channel)
        elif channel in self.wanted:
            # Unsubscribed by nobody here: the slot is another's now.
            self._gone([channel], 0.0)

    def _refused(self, error: str) -> None:
        """A subscription failed; which, the error says by its slot or not at all."""
        word, _, rest = error.partition(" ")
        if word != "MOVED":
            log.log(
                logging.DEBUG if word == self._refusal else logging.WARNING,
                *("channels are not subscribed: %s", error),
            )
            self._refusal = word
        slot = rest.partition(" ")[0]
        asked = [name for name in self._unconfirmed if self._sharded(name)]
        if word == "MOVED":
            asked = [name for name in asked if str(slot_of(name.encode())) == slot]
            for name in [name for name in self._leaving if str(slot_of(name.encode())) == slot]:
                del self._leaving[name]
        for name in asked:
            del self._unconfirmed[name]
        self._gone([name for name in asked if name in self.wanted], PAUSE if word == "MOVED" else RETRY_PAUSE)
        self._settled()

    def _gone(self, channels: Sequence[str], pause: float) -> None:
        for channel in channels:
            del self.wanted[channel]
        if channels:
            self._hears.on_moved(channels, pause)

    def _settled(self) -> None:
        if not self._whole and not self._unconfirmed and not self._outbox:
            self._whole = True
            if self._told_lost:
                self._told_lost = False
                log.info("there is a pub/sub connection again")


def _one_less(counts: dict[str, int], name: str) -> int:
    left = counts.get(name, 1) - 1
    if left:
        counts[name] = left
    else:
        counts.pop(name, None)
    return left
