"""Claims that may have been made although nobody heard of it, because Redis answered too late: given back when it is
there again, so that who was told "nothing was done" can send the same key at once.

Bounded: the newest `MOST`, and none for longer than its lease, after which it is over by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ...stores.claims import Claims, Ticket
from ...stores.redis.client import StoreUnavailable

MOST = 1000
PAUSE = 0.1
"""Seconds between two attempts while Redis is away."""


class AbandonedClaims:
    """spawn: makes a task that the gateway looks after."""

    def __init__(self, claims: Claims, spawn: Callable[[Coroutine[Any, Any, None], str], Any]) -> None:
        self._claims = claims
        self._spawn = spawn
        self._tickets: deque[tuple[float, Ticket]] = deque(maxlen=MOST)
        self._at_it = False
        self._stopped = False

    def add(self, ticket: Ticket) -> None:
        """Nobody will carry it out."""
        self._tickets.append((time.monotonic() + ticket.lease, ticket))
        if not self._at_it and not self._stopped:
            self._at_it = True
            self._spawn(self._release(), "claims nobody heard of")

    def stop(self) -> None:
        """Leave them to their leases."""
        self._stopped = True

    async def _release(self) -> None:
        try:
            while self._tickets and not self._stopped:
                over, ticket = self._tickets[0]
                if time.monotonic() < over:
                    try:
                        await self._claims.release(ticket)
                    except StoreUnavailable:
                        await asyncio.sleep(PAUSE)
                        continue
                self._tickets.popleft()
        finally:
            self._at_it = False
