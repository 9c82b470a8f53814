"""Reads at intervals how many sagas of each declared type are open, in all gateways together, for metrics.

While Redis is away the last states stay.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from ..stores.background import Background
from ..stores.redis.client import StoreUnavailable
from ..stores.sagas import OpenSagas, SagaStates

EVERY = 5.0
"""Seconds between two looks."""


class SagaWatch(Background):
    """Use `start()` and `stop()`. types: names of the declared sagas; states: what was read last, by type."""

    def __init__(self, sagas: OpenSagas, types: Iterable[str], *, every: float = EVERY) -> None:
        super().__init__("saga watch", "the states of sagas are not read any more")
        self._sagas = sagas
        self._types = tuple(types)
        self._every = every
        self.states: Mapping[str, SagaStates] = {}

    async def _run(self, started: asyncio.Event) -> None:
        started.set()
        while True:
            with contextlib.suppress(StoreUnavailable):
                self.states = await self._sagas.states(self._types)
            await asyncio.sleep(self._every)
