"""Redis' clock, estimated without a round trip, for times that several processes compare.

After `synchronise()` the error is at most half a round trip, and changes of this machine's wall clock do not matter.
Before that it is this machine's time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from .client import RedisClient, store_errors


class ServerClock:
    """A call of it returns Unix seconds. wall: this machine's Unix seconds; monotonic: seconds."""

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
        """Ask Redis for its time. Raises StoreUnavailable."""
        asked = self._monotonic()
        with store_errors("time"):
            seconds, micros = await self._client.call("TIME")
        self._ahead = int(seconds) + int(micros) / 1e6 - (asked + self._monotonic()) / 2
