"""Full garbage collections by memory. The collector counts objects, so a few large ones would wait for long.

Guarantees a full collection soon after the process has grown by the factor `GROWTH` since the last one; memory that the
C library has free goes back to the system then. A collection stops the loop: about 10 ms for each 100,000 objects that
were made after the start. Nothing is done where the system does not report the size of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("bff.server")

GROWTH = 1.15
LEAST = 8_000_000
"""Bytes that never count as growth."""
EVERY = 1.0
"""Seconds between two checks."""

_STATM = Path("/proc/self/statm")


def resident() -> int | None:
    """Bytes of memory this process holds; None where that is not known (anywhere but on Linux)."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def collect() -> None:
    """A full collection, which also returns freed memory to the system where the C library can do that (glibc)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class MemoryWatch:
    """size: gives the bytes the process holds, None where that is not known; full: collects."""

    def __init__(self, size: Callable[[], int | None] = resident, full: Callable[[], None] = collect) -> None:
        self._size = size
        self._full = full
        self._floor = 0

    async def run(self) -> None:
        """Check for ever. Returns at once where the size is not known."""
        self._floor = self._size() or 0
        while self._floor:
            await asyncio.sleep(EVERY)
            self.check()

    def check(self) -> None:
        """Check once, and collect if the process has grown."""
        size = self._size() or 0
        if size <= self._floor * GROWTH + LEAST:
            self._floor = min(self._floor, size)
            return
        self._full()
        self._floor = self._size() or 0
        log.debug("a full collection: from %d to %d MB", size // 1_000_000, self._floor // 1_000_000)
