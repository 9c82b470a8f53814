"""The waiting side of a bulkhead: callers wait in order, for a bounded time, and a permit is never lost.

A caller that is cancelled just as it was handed a permit hands it on.
"""

from __future__ import annotations

import asyncio
from collections import deque

from ..calls import Limit
from ..policies.bulkhead import Bulkhead, BulkheadRule


class Permits:
    """One upstream's. rule: how many, and how long one waits for them."""

    __slots__ = ("_queue", "bulkhead")

    def __init__(self, rule: BulkheadRule) -> None:
        self.bulkhead = Bulkhead(rule)
        self._queue: deque[asyncio.Future[None]] = deque()

    async def wait(self, limit: Limit) -> bool:
        """To be called when `bulkhead.enter()` said ``wait``: True with a permit, False when the limit is reached."""
        mine = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        try:
            with limit:
                await mine
        except BaseException as error:
            if mine.done() and not mine.cancelled():
                # The permit came at the very moment of giving up: take it where only the time had run out.
                if isinstance(error, TimeoutError):
                    return True
                self.leave()
                raise
            if mine in self._queue:
                self._queue.remove(mine)
                self.bulkhead.give_up()
            if isinstance(error, TimeoutError):
                return False
            raise
        return True

    def leave(self) -> None:
        """Give a permit back; who waits longest gets it."""
        while self._queue:
            first = self._queue.popleft()
            if first.done():
                # Cancelled, and its caller has not run since.
                self.bulkhead.give_up()
            elif self.bulkhead.leave():
                first.set_result(None)
                return
        self.bulkhead.leave()
