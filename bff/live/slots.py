"""The slots of this process's streams: frees those of clients that left, and tells the other processes that this one is
alive.

Promises that a slot which is no longer used is freed at once, together with all others that are free by then; one that
cannot be freed expires with its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from ..stores.processes import ALIVE
from ..stores.redis.client import StoreUnavailable
from ..stores.stream_slots import StreamSlots
from .stream import Stream, StreamListener

log = logging.getLogger("bff.live")

_HEARTBEAT = ALIVE / 4
_RETRY = 0.25


class SlotRenewer:
    """The hub runs `run()`. listener: told when other processes may have taken the slots of this one."""

    def __init__(self, slots: StreamSlots, listener: StreamListener) -> None:
        self._slots = slots
        self._listener = listener
        self._unused: dict[str, list[str]] = {}
        self._wake = asyncio.Event()

    def release(self, stream: Stream) -> None:
        """It needs its slot no more."""
        if stream.has_slot:
            stream.has_slot = False
            self._unused.setdefault(stream.owner, []).append(stream.slot)
            self._wake.set()

    async def run(self) -> None:
        """For ever; nothing here waits longer for Redis than one command may take."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            if loop.time() >= due:
                due = loop.time() + await self._report_alive()
            if self._wake.is_set():
                await self._free()

    async def _report_alive(self) -> float:
        """Seconds until the next time."""
        try:
            if not await self._slots.processes.heartbeat():
                self._listener.on_slots_expired()
            return _HEARTBEAT
        except StoreUnavailable as error:
            log.debug("other processes could not be told that this one is alive: %s", error)
            return _RETRY

    async def _free(self) -> None:
        self._wake.clear()
        unused, self._unused = self._unused, {}
        try:
            await self._slots.release(unused)
        except StoreUnavailable as error:
            log.debug("slots are left to expire with their lease: %s", error)
