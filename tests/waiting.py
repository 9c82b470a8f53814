"""How a test waits: for the thing it awaits, under a bound that only guards against hanging.

A test must not depend on being fast: a busy machine makes any single step late. So a test polls or awaits what it is
waiting for, and its bound is long enough that only a fault reaches it. What measures speed has the mark `alone`.
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
"""Seconds after which a test that still waits is taken to hang. No assertion about speed."""


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
    """`until` for a test without a loop; what cannot be reached yet does not hold."""
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
"""A test that asks how long something took only where nothing else runs beside it."""
