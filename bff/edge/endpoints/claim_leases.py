"""The leases of claims: renewed while a command runs, and released when a claim may have been made for nothing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ...stores.claims import Claims, Ticket
from ...stores.redis.client import StoreUnavailable

MAX_ABANDONED = 1000
PAUSE = 0.1
"""Seconds between two attempts while Redis is away."""

Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]
"""Starts a task that belongs to the gateway and outlives the request; the text is its name in the log."""


class LeaseHeartbeat:
    """Renews a claim's lease while the command runs inside it. lost: another holder has taken the claim over, and the
    command's task was cancelled."""

    def __init__(self, claims: Claims, ticket: Ticket) -> None:
        self.lost = False
        self._claims = claims
        self._ticket = ticket

    async def __aenter__(self) -> None:
        self._command = asyncio.current_task()
        self._task = asyncio.create_task(self._renew())

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._ticket.lease / 3)
            try:
                held = await self._claims.heartbeat(self._ticket)
            except StoreUnavailable:
                continue
            if not held and self._command is not None:
                self.lost = True
                self._command.cancel()
                return


class AbandonedClaims:
    """Claims that may exist although the request has ended, because Redis answered too late or the client left. They
    are released when Redis is back, so that a client that was told "nothing was done" can retry with the same key.

    Bounded: the newest `MAX_ABANDONED`, each until its lease has expired.
    """

    def __init__(self, claims: Claims, spawn: Spawn) -> None:
        self._claims = claims
        self._spawn = spawn
        self._tickets: deque[tuple[float, Ticket]] = deque(maxlen=MAX_ABANDONED)
        self._releasing = False
        self._stopped = False

    def add(self, ticket: Ticket) -> None:
        """Release this claim as soon as Redis answers."""
        self._tickets.append((time.monotonic() + ticket.lease, ticket))
        if not self._releasing and not self._stopped:
            self._releasing = True
            self._spawn(self._release(), "release of abandoned claims")

    def stop(self) -> None:
        """Leave the rest to their leases."""
        self._stopped = True

    async def _release(self) -> None:
        try:
            while self._tickets and not self._stopped:
                expires, ticket = self._tickets[0]
                if time.monotonic() < expires:
                    try:
                        await self._claims.release(ticket)
                    except StoreUnavailable:
                        await asyncio.sleep(PAUSE)
                        continue
                self._tickets.popleft()
        finally:
            self._releasing = False
