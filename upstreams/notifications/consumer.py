"""The consumer of orders' events: one group over all partitions of the stream. Promises that each event is handled at
least once, that what a crashed consumer left is taken over, and that an event failing too often, or no event at all,
ends among the dead letters and holds up nobody; refuses to give up while Redis is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from bff_service import is_away, redis_client, rfc3339
from bff_service.events import PARTITIONS
from redis.exceptions import RedisError, ResponseError

from upstreams.notifications.handler import PoisonError

_log = logging.getLogger(__name__)
GROUP: Final = "notifications"
DEAD: Final = "events:notifications:dead"
MAX_DEAD: Final = 10_000
STREAMS: Final = tuple(f"events:orders:{partition}" for partition in range(PARTITIONS))
_BATCH = 8
_LONGEST_BLOCK_MS = 1000
_LONGEST_WAIT = 2.0

# KEYS: the stream, the dead letters. ARGV: group, entry, most dead letters, then the dead letter's fields.
# Whoever acknowledges the entry writes the dead letter, so two consumers never write it twice.
_BURY = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, 4))
return 1
"""

Fields = dict[bytes, bytes]


class Consumer:
    """Reads, claims, handles and acknowledges, all in one task: it never claims what it is itself handling.

    `handle` gets an event's bytes. `new_bus` is called when Redis lacked a group (a first start, or an emptied
    Redis), `tidy` before each look for abandoned entries, which happens every half of `claim_idle_ms`.
    """

    def __init__(
        self,
        redis_url: str,
        name: str,
        *,
        claim_idle_ms: int,
        max_deliveries: int,
        handle: Callable[[bytes], Awaitable[None]],
        new_bus: Callable[[], Awaitable[None]],
        tidy: Callable[[], Awaitable[None]],
    ) -> None:
        self._name = name
        self._idle_ms = claim_idle_ms
        self._max_deliveries = max_deliveries
        self._handle = handle
        self._new_bus = new_bus
        self._tidy = tidy
        self._emptied = False
        self._block_ms = min(_LONGEST_BLOCK_MS, max(claim_idle_ms // 2, 20))
        self._redis = redis_client(redis_url, timeout=self._block_ms / 1000 + 1.0, connections=4)
        self._bury = self._redis.register_script(_BURY)

    async def run(self) -> None:
        """Consume for ever; with Redis away, wait at most 2 s between tries and go on where it was."""
        wait, away = 0.05, False
        while True:
            try:
                await self._open()
                if away:
                    _log.info("consuming again")
                wait, away = 0.05, False
                await self._consume()
            except Exception as error:
                if not (isinstance(error, RedisError) or is_away(error)):
                    raise
                if not away:
                    _log.warning("waiting for redis or the database", extra={"reason": repr(error)})
                away = True
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _open(self) -> None:
        for stream in STREAMS:
            try:
                # From the first event on: what was published before the group existed counts, too.
                await self._redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
                # Kept until it is told: making the groups, or telling, may break off half way.
                self._emptied = True
            except RedisError as error:
                if not (isinstance(error, ResponseError) and str(error).startswith("BUSYGROUP")):
                    # It may have been made, and only its answer lost.
                    self._emptied = True
                    raise
        if self._emptied:
            await self._new_bus()
            self._emptied = False

    async def _consume(self) -> None:
        streams: dict[Any, Any] = dict.fromkeys(STREAMS, ">")  # redis-py's own key types are invariant
        look = 0.0
        while True:
            if time.monotonic() >= look:
                await self._tidy()
                await self._take_over()
                look = time.monotonic() + self._idle_ms / 2000
            answer: Any = await self._redis.xreadgroup(
                GROUP, self._name, streams, count=_BATCH, block=self._block_ms
            )
            for stream, entries in answer or ():
                for entry, fields in entries:
                    await self._deliver(stream.decode(), entry, fields, 1)

    async def _take_over(self) -> None:
        """Claim what has been with any consumer, this one too, for longer than it may."""
        for stream in STREAMS:
            cursor: Any = "0-0"
            while True:
                answer: Any = await self._redis.xautoclaim(
                    stream, GROUP, self._name, self._idle_ms, start_id=cursor, count=_BATCH
                )
                cursor, entries = answer[0], answer[1]
                for entry, fields in entries:
                    held: Any = await self._redis.xpending_range(stream, GROUP, entry, entry, 1)
                    if held:
                        await self._deliver(stream, entry, fields or {}, int(held[0]["times_delivered"]))
                if cursor in (b"0-0", "0-0"):
                    break

    async def _deliver(self, stream: str, entry: bytes, fields: Fields, deliveries: int) -> None:
        body = fields.get(b"event", b"")
        why = None
        if deliveries > self._max_deliveries:
            # Each of them ended without a word: it may be what kills its consumers.
            why = "its consumers ended while handling it"
        else:
            try:
                await self._handle(body)
            except PoisonError as error:
                why = str(error)
            except Exception as error:  # an event's failure, whatever it is, must not end the consumer
                extra = {"stream": stream, "entry": entry.decode(), "deliveries": deliveries}
                _log.warning("an event failed", extra={**extra, "reason": repr(error)})
                if deliveries < self._max_deliveries:
                    # Not acknowledged: it comes again when it has been left alone for long enough.
                    return
                why = f"{type(error).__name__}: {error}"[:500]
        if why is None:
            await self._redis.xack(stream, GROUP, entry)
            return
        letter: list[Any] = ["event", body, "stream", stream, "id", entry, "why", why]
        letter += ["deliveries", deliveries, "at", rfc3339(datetime.now(UTC))]
        await self._bury(keys=[stream, DEAD], args=[GROUP, entry, MAX_DEAD, *letter])
        _log.error("an event is a dead letter", extra={"stream": stream, "entry": entry.decode(), "why": why})
