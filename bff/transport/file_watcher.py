"""Files that may change under a running gateway: certificates, keys.

Promises that what is read from them is replaced within `every` seconds of a change, and only by something whole: what
cannot be used is told once in the log and changes nothing. Nothing blocks the loop; files are looked at in a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from ..calls.ending import end_tasks

log = logging.getLogger("bff.transport")

Mark: TypeAlias = tuple[tuple[int, int, int] | None, ...]


def mark(paths: Sequence[Path]) -> Mark:
    """Differs once one of the files has been written or replaced, also through a link."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            state = path.stat()
            found.append((state.st_ino, state.st_mtime_ns, state.st_size))
        except OSError:
            found.append(None)
    return tuple(found)


class FileWatcher:
    """Reads `paths` again when they change.

    what   names them in the log
    every  seconds between two looks
    read   reads them all and takes what it read into use; called in a thread; raises ValueError or OSError when it
           cannot be used
    seen   their mark from just before they were read for the first time
    """

    def __init__(
        self, what: str, paths: Sequence[Path], every: float, read: Callable[[], None], seen: Mark
    ) -> None:
        self._what = what
        self._paths = tuple(paths)
        self._every = every
        self._read = read
        self._seen = seen
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look until `close`."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name=f"files of {self._what}")

    async def look(self) -> None:
        """Look once, now."""
        await asyncio.to_thread(self._look)

    def _look(self) -> None:
        now = mark(self._paths)
        if now == self._seen:
            return
        # Marked first: what is written while it is being read is read again with the next look.
        self._seen = now
        try:
            self._read()
        except (OSError, ValueError) as error:
            log.warning(
                "changed files cannot be used; what was read before stays",
                extra={"fields": {"what": self._what, "why": str(error)}},
            )
        else:
            log.info("changed files are in use", extra={"fields": {"what": self._what}})

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.look()
            except Exception:
                # Whatever it is, what was read before stays, and the next look may do.
                log.exception("files could not be looked at", extra={"fields": {"what": self._what}})

    async def close(self) -> None:
        """Look no more."""
        watching, self._watching = self._watching, None
        if watching is not None:
            await end_tasks([watching])
