"""Redis's clock, as far as a process can know it without asking each time: what several processes order or lease by.

Promises a time that is right within half of a round trip after `set()`, and that this machine's wall clock, wrong or
set meanwhile, has no part in it. Before the first answer it is this machine's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .client import RedisClient, store_errors


class ServerClock:
    """Call it: Unix seconds. wall: Unix seconds here; monotonic: seconds."""

    def __init__(
        self,
        client: RedisClient,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._monotonic = monotonic
        self._ahead = wall() - monotonic()

    def __call__(self) -> float:
        return self._monotonic() + self._ahead

    async def synchronise(self) -> None:
        """Ask Redis. Raises StoreUnavailable."""
        asked = self._monotonic()
        with store_errors("time"):
            seconds, micros = await self._client.call("TIME")
        self._ahead = int(seconds) + int(micros) / 1e6 - (asked + self._monotonic()) / 2
