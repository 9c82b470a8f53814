"""What goes on beside the requests for as long as a process serves: one task, and whether it is still there.

Promises that a task that ended though nobody stopped it is logged as critical and seen by `alive`; that `start` fails
when the work ends or does not begin within `START` seconds, and `stop` returns once it is over, or has been waited for
long enough.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Self

from ..calls.ending import end_tasks

START = 30.0
"""Seconds for work to begin, which waits for nothing outside this process."""


class Background(ABC):
    """`async with one:`, or `start()` and `stop()`. name: the task's; without: what the log says when it is missing."""

    def __init__(self, name: str, without: str) -> None:
        self._name = name
        self._without = without
        self._main: asyncio.Task[None] | None = None

    @abstractmethod
    async def _run(self, started: asyncio.Event) -> None:
        """For ever. Sets `started` once whoever waits for the start may go on."""

    async def start(self) -> None:
        """Begin; does not wait for anything outside this process. Raises RuntimeError when it ends at once,
        TimeoutError when it does not begin."""
        if self._main is not None:
            return
        started = asyncio.Event()
        self._main = main = asyncio.create_task(self._run(started), name=self._name)
        main.add_done_callback(self._over)
        main.add_done_callback(lambda _: started.set())
        try:
            async with asyncio.timeout(START):
                await started.wait()
        except BaseException:
            self._main = None
            main.cancel()
            raise
        if main.done():
            self._main = None
            raise RuntimeError(f"{self._name} ended before it had begun") from (
                None if main.cancelled() else main.exception()
            )

    @property
    def alive(self) -> bool:
        """False when its work ended though nobody stopped it: such a process can only be replaced."""
        return self._main is not None and not self._main.done()

    async def stop(self) -> None:
        """End it at once. Cancelled itself, it does not wait."""
        main, self._main = self._main, None
        if main is not None:
            await end_tasks([main])

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _over(self, main: asyncio.Task[None]) -> None:
        if not main.cancelled() and main.exception() is not None:
            logging.getLogger("bff").critical("%s until a restart", self._without, exc_info=main.exception())
