"""Background work of a process: one task that runs as long as the process serves.

When the task ends without `stop`, that is logged as critical, and `alive` is False. `start` fails when the task ends at
once, or has not started its work within `START` seconds. `stop` returns when the task has ended, or after a bounded
wait.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Self

from ..calls.shutdown import cancel_tasks

START = 30.0
"""Seconds within which the work must have started. It must not wait for anything outside this process."""


class Background(ABC):
    """Use `async with`, or `start()` and `stop()`. name: of the task; without: the text for the log when the task has
    ended, for example "published messages are not received"."""

    def __init__(self, name: str, without: str) -> None:
        self._name = name
        self._without = without
        self._main: asyncio.Task[None] | None = None

    @abstractmethod
    async def _run(self, started: asyncio.Event) -> None:
        """Run for ever. Sets `started` when `start` may return."""

    async def start(self) -> None:
        """Start the task; does not wait for anything outside this process. Raises RuntimeError when the task ends at
        once, TimeoutError when it does not start its work in time."""
        if self._main is not None:
            return
        started = asyncio.Event()
        self._main = main = asyncio.create_task(self._run(started), name=self._name)
        main.add_done_callback(self._on_end)
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
            raise RuntimeError(f"{self._name} ended while it was starting") from (
                None if main.cancelled() else main.exception()
            )

    @property
    def alive(self) -> bool:
        """False when the task ended without `stop`: the process must then be restarted."""
        return self._main is not None and not self._main.done()

    async def stop(self) -> None:
        """Cancel the task and wait for it. Does not wait when it is cancelled itself."""
        main, self._main = self._main, None
        if main is not None:
            await cancel_tasks([main])

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _on_end(self, main: asyncio.Task[None]) -> None:
        if not main.cancelled() and main.exception() is not None:
            logging.getLogger("bff").critical("%s until a restart", self._without, exc_info=main.exception())
