"""Redis' clock, estimated without a round trip, for what several processes order or lease by time.

After `synchronise()` the time is right within half a round trip, and changes of this machine's wall clock do not affect
it. Before that it is this machine's time.
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
