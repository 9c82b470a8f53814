"""How a test waits: for the event itself, with a time limit that is only a guard against hanging.

A test must not depend on speed, because a busy machine delays any single step. So a test polls or awaits the event,
with a limit so long that only a fault reaches it. Tests that measure speed have the mark `alone`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

GUARD = 60.0
"""Seconds after which a waiting test counts as hanging. It says nothing about speed."""


async def until(
    holds: Callable[[], bool] | Callable[[], Awaitable[bool]],
    what: str = "what was awaited did not happen",
    *,
    seconds: float = GUARD,
) -> None:
    """Return as soon as `holds()` is true; it may be async. Raises AssertionError with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if await found if inspect.isawaitable(found) else found:
            return
        assert time.monotonic() < end, what
        await asyncio.sleep(0.01)


def eventually(holds: Callable[[], bool], seconds: float = GUARD) -> None:
    """`until` for a test without an event loop; a connection error counts as false."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, httpx.TransportError):
            if holds():
                return
        assert time.monotonic() < end, "what was awaited did not happen"
        time.sleep(0.02)


IN_ANY_TIME_AND_TIMED = pytest.mark.parametrize(
    "timed",
    [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.alone])],
    ids=["in any time", "alone"],
)
"""A test that measures time only where nothing else runs beside it."""


async def close_listener(listener: asyncio.AbstractServer) -> None:
    """Close a listener of asyncio. A connection that is just being accepted is open before, so that its end is seen:
    asyncio makes its transport in the next turn of the loop, and after the closing forgets it, open."""
    loop = asyncio.get_running_loop()
    for sock in getattr(listener, "sockets", ()):
        with contextlib.suppress(NotImplementedError):
            loop.remove_reader(sock.fileno())
    for _ in range(3):
        await asyncio.sleep(0)
    listener.close()
