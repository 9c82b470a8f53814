"""Tasks that belong to the gateway and not to a request: they go on when the client that began them has left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ...calls.ending import end_tasks
from ...stores.redis.client import StoreUnavailable
from ..problem import Problem

log = logging.getLogger("bff.edge")

# Seconds that tasks get to come to their end when the gateway ends.
FINISH = 5.0


class BackgroundTasks:
    """`spawn` begins one, `finish` ends all of them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Begin a task. A failure that nobody was told of is logged under its name."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self) -> None:
        """Let tasks come to their end, and cancel those that outlive the bound."""
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=FINISH)
        except asyncio.CancelledError:
            for task in self._tasks:
                task.cancel()
            raise
        if late := list(self._tasks):
            log.warning("cancelled when the gateway ended: %s", ", ".join(one.get_name() for one in late))
            await end_tasks(late, 1.0)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # Of Redis the log says once that it is away. Whoever waited for anything else has been told as well; when
        # nobody did, this line is all there is.
        expected = Problem | StoreUnavailable
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, expected):
            log.error("%s failed", task.get_name(), exc_info=error)
