"""The slots of this process's streams: frees the slots of clients that left, and writes the heartbeat of this process.

Guarantees that an unused slot is freed at once, together with all others that are unused by then. A slot that cannot be
freed expires with its lease.
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
    """The hub runs `run()`. listener: called when other processes may have taken the slots of this one."""

    def __init__(self, slots: StreamSlots, listener: StreamListener) -> None:
        self._slots = slots
        self._listener = listener
        self._unused: dict[str, list[str]] = {}
        self._wake = asyncio.Event()

    def release(self, stream: Stream) -> None:
        """Free the slot of a stream that does not need it any more."""
        if stream.has_slot:
            stream.has_slot = False
            self._unused.setdefault(stream.owner, []).append(stream.slot)
            self._wake.set()

    async def run(self) -> None:
        """Write heartbeats and free slots, for ever. Waits for Redis at most as long as one command may take."""
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
        """Write the heartbeat of this process. Returns the seconds until the next one."""
        try:
            if not await self._slots.processes.heartbeat():
                self._listener.on_slots_expired()
            return _HEARTBEAT
        except StoreUnavailable as error:
            log.debug("the heartbeat of this process could not be written: %s", error)
            return _RETRY

    async def _free(self) -> None:
        self._wake.clear()
        unused, self._unused = self._unused, {}
        try:
            await self._slots.release(unused)
        except StoreUnavailable as error:
            log.debug("slots could not be freed and expire with their lease: %s", error)
