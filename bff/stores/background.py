"""What goes on beside the requests for as long as a process serves: one task, and whether it is still there.

Promises that a task that ended though nobody stopped it is logged as critical and seen by `alive`, and that `stop`
returns once it is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from typing import Self


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
        """Begin; does not wait for anything outside this process."""
        if self._main is None:
            started = asyncio.Event()
            self._main = asyncio.create_task(self._run(started), name=self._name)
            self._main.add_done_callback(self._over)
            await started.wait()

    @property
    def alive(self) -> bool:
        """False when its work ended though nobody stopped it: such a process can only be replaced."""
        return self._main is not None and not self._main.done()

    async def stop(self) -> None:
        """End it at once."""
        main, self._main = self._main, None
        if main is not None:
            main.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await main

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def _over(self, main: asyncio.Task[None]) -> None:
        if not main.cancelled() and main.exception() is not None:
            logging.getLogger("bff").critical("%s until a restart", self._without, exc_info=main.exception())
