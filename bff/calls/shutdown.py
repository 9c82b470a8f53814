"""How tasks and connections are ended: bounded in time, every failure logged, and no cancellation swallowed.

Promises that whoever is cancelled while it ends something is cancelled; that one failure does not keep the rest open;
that a task which does not end in its time is named in the log and left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

log = logging.getLogger("bff")

SECONDS = 5.0
"""For a task to end once it is cancelled, and for one thing to close."""

Closing = tuple[str, Callable[[], Awaitable[Any]]]
"""What is closed, as the log names it, and how."""


async def cancel_tasks(tasks: Collection[asyncio.Task[Any]], seconds: float = SECONDS) -> None:
    """Cancel those that run and wait for them. What they raise then is logged; a cancellation of the caller passes
    through."""
    running = [task for task in tasks if not task.done()]
    if not running:
        return
    for task in running:
        task.cancel()
    done, pending = await asyncio.wait(running, timeout=seconds)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed when it was ended", task.get_name(), exc_info=error)
    for task in pending:
        log.error("%s has not ended within %g s of being cancelled", task.get_name(), seconds)


async def close_all(closings: Iterable[Closing], seconds: float = SECONDS) -> None:
    """Close one after the other, each in at most so many seconds. A failure is logged, and the next one is closed.

    A cancellation of the caller passes through once the rest has been closed: it ends the wait for the one that is
    being closed.
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
