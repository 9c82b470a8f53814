"""Ends tasks and connections in bounded time, logs every failure, and swallows no cancellation.

Guarantees that a caller which is cancelled while it closes something is cancelled; that after a failure the others are
still closed; and that a task which does not end in time is named in the log and no longer waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

log = logging.getLogger("bff")

SECONDS = 5.0
"""Seconds that a cancelled task may take to end, and that closing one thing may take."""

Closing = tuple[str, Callable[[], Awaitable[Any]]]
"""The name of a thing in the log, and the function that closes it."""


async def cancel_tasks(tasks: Collection[asyncio.Task[Any]], seconds: float = SECONDS) -> None:
    """Cancel the tasks that run and wait for them, at most `seconds` (default 5). What they raise is logged; a
    cancellation of the caller is raised."""
    running = [task for task in tasks if not task.done()]
    if not running:
        return
    for task in running:
        task.cancel()
    done, pending = await asyncio.wait(running, timeout=seconds)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed when it was cancelled", task.get_name(), exc_info=error)
    for task in pending:
        log.error("%s did not end within %g s after it was cancelled", task.get_name(), seconds)


async def close_all(closings: Iterable[Closing], seconds: float = SECONDS) -> None:
    """Close one after the other, each in at most `seconds` (default 5). A failure is logged, and the next one is
    closed.

    A cancellation of the caller ends the wait for the one that is being closed. It is raised after the others have been
    closed.
    """
    cancelled: asyncio.CancelledError | None = None
    for name, close in closings:
        try:
            async with asyncio.timeout(seconds):
                await close()
        except asyncio.CancelledError as error:
            cancelled = error
        except TimeoutError:
            log.error("%s could not be closed within %g s", name, seconds)
        except Exception:
            log.exception("%s could not be closed", name)
    if cancelled is not None:
        raise cancelled
