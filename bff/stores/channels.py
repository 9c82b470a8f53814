"""One pub/sub connection for a whole process, which notices its own death and says when it has missed something.

Promises: `ready(channel)` returns only after the server confirmed the subscription, and `on_up` is called after every
(re)connect once all channels are confirmed, because whatever was published in between is gone. Refuses to trust a
silent connection: it pings every `beat` seconds and gives up after `dead_after` without a byte. Messages are handed to
`on_message` on the event loop; it must not block.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from .link import RedisLink, StoreUnavailable

log = logging.getLogger("bff.stores")

_CHUNK = 500  # channels named in one SUBSCRIBE


class Channels:
    """Subscriptions counted per channel. `run()` is the owner's to start and to cancel.

    beat, dead_after  seconds;  a lost connection is opened again after 0.05–1 s, growing with each failure
    """

    def __init__(
        self,
        link: RedisLink,
        on_message: Callable[[str, bytes], None],
        on_up: Callable[[], None],
        *,
        beat: float = 1.0,
        dead_after: float = 3.0,
    ) -> None:
        self._link = link
        self._on_message = on_message
        self._on_up = on_up
        self._beat = beat
        self._dead_after = dead_after
        self._wanted: dict[str, int] = {}
        self._confirmed: set[str] = set()
        self._unconfirmed: dict[str, int] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        # Only the sender writes: a cancelled write would take the shared connection down with it.
        self._outbox: list[tuple[str, str]] = []
        self._outgoing = asyncio.Event()
        self._resynced = False
        self.up = False

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
        if self.up:
            self._outbox.append((command, channel))
            self._outgoing.set()

    async def run(self) -> None:
        """Hold a connection for ever; cancel it to stop."""
        failures = 0
        while True:
            try:
                await self._connected()
            except* (RedisError, OSError) as lost:
                failures = 0 if self._resynced else failures + 1
                log.warning("pub/sub connection lost, opening another: %s", lost.exceptions[0])
            await asyncio.sleep(random.uniform(0.5, 1) * min(1.0, 0.05 * 2 ** min(failures, 6)))  # noqa: S311 - jitter

    async def _connected(self) -> None:
        self._confirmed.clear()
        self._unconfirmed.clear()
        self._outbox.clear()
        self._resynced = False
        client = self._link.dedicated(timeout=self._dead_after)
        connection: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py leaves connections untyped
        try:
            await connection.connect()
            self.up = True
            for channel in self._wanted:
                self._command("SUBSCRIBE", channel)
            if not self._wanted:
                self._resync()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(connection))
                group.create_task(self._read(connection))
        finally:
            self.up = False
            self._confirmed.clear()
            await connection.disconnect(nowait=True)
            await client.aclose()

    def _resync(self) -> None:
        self._resynced = True
        self._on_up()

    async def _send(self, connection: Any) -> None:
        while True:
            try:
                async with asyncio.timeout(self._beat):
                    await self._outgoing.wait()
            except TimeoutError:
                await self._write(connection, "PING")
                continue
            self._outgoing.clear()
            batch, self._outbox = self._outbox, []
            while batch:
                command = batch[0][0]
                names: list[str] = []
                while batch and batch[0][0] == command and len(names) < _CHUNK:
                    names.append(batch.pop(0)[1])
                if command == "SUBSCRIBE":
                    for name in names:
                        self._unconfirmed[name] = self._unconfirmed.get(name, 0) + 1
                await self._write(connection, command, *names)

    async def _write(self, connection: Any, *command: str) -> None:
        # The driver would silently connect again here, and nobody would hear what was missed.
        if not connection.is_connected:
            raise ConnectionResetError("the connection is gone")
        await connection.send_command(*command, check_health=False)

    async def _read(self, connection: Any) -> None:
        while True:
            # Only this class disconnects: the driver doing it under a write would fail in odd ways.
            answer = await connection.read_response(timeout=self._dead_after, disconnect_on_error=False)
            if answer is None:
                raise TimeoutError(f"not a byte for {self._dead_after} s, not even an answer to a ping")
            if not isinstance(answer, list) or len(answer) != 3:
                continue  # a pong
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
