"""Tasks that belong to the gateway and not to a request: they go on when their client has left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ...calls.shutdown import cancel_tasks
from ...stores.redis.client import StoreUnavailable
from ..problem import Problem

log = logging.getLogger("bff.edge")

# Seconds that tasks get to finish when the gateway stops.
FINISH = 5.0


class BackgroundTasks:
    """`spawn` starts a task, `finish` ends all of them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task. A failure that no caller got is logged under the task's name."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self) -> None:
        """Wait for the tasks to finish, and cancel those that take longer than `FINISH`."""
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=FINISH)
        except asyncio.CancelledError:
            for task in self._tasks:
                task.cancel()
            raise
        if late := list(self._tasks):
            log.warning("cancelled when the gateway ended: %s", ", ".join(task.get_name() for task in late))
            await cancel_tasks(late, 1.0)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # The Redis client logs once that Redis is away. Another failure has reached its caller, if there is one; if
        # there is none, this line is its only trace.
        expected = Problem | StoreUnavailable
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, expected):
            log.error("%s failed", task.get_name(), exc_info=error)
