"""The seats of this process's streams: those of clients who left are freed, and the other processes hear that it lives.

Promises that a seat which was left is freed at once, together with all others that were left meanwhile; one that cannot
be freed is left to its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from ..stores.processes import ALIVE
from ..stores.redis.client import StoreUnavailable
from ..stores.stream_slots import StreamSlots
from .stream import Stream

log = logging.getLogger("bff.live")

_BEAT = ALIVE / 4
_AGAIN = 0.25


class SlotRenewer:
    """The hub runs `run()`. lost: called when others may have given the seats of this process away."""

    def __init__(self, seats: StreamSlots, lost: Callable[[], None]) -> None:
        self._seats = seats
        self._lost = lost
        self._left: dict[str, list[str]] = {}
        self._leaving = asyncio.Event()

    def vacate(self, stream: Stream) -> None:
        """It needs its seat no more."""
        if stream.seated:
            stream.seated = False
            self._left.setdefault(stream.owner, []).append(stream.seat)
            self._leaving.set()

    async def run(self) -> None:
        """For ever; nothing here waits longer for Redis than one command may take."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._leaving.wait()
            if loop.time() >= due:
                due = loop.time() + await self._say()
            if self._leaving.is_set():
                await self._free()

    async def _say(self) -> float:
        """That this process lives; seconds until the next time."""
        try:
            if not await self._seats.processes.heartbeat():
                self._lost()
            return _BEAT
        except StoreUnavailable as error:
            log.debug("nobody was told that this process lives: %s", error)
            return _AGAIN

    async def _free(self) -> None:
        self._leaving.clear()
        left, self._left = self._left, {}
        try:
            await self._seats.release(left)
        except StoreUnavailable as error:
            log.debug("seats are left to their lease: %s", error)
