"""Files that may change while the gateway runs: certificates, keys.

Guarantees that changed files are in use within `every` seconds, all of them or none. A change that cannot be used is
logged once and has no effect. The files are checked in a thread, so that the event loop is never blocked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from ..calls.shutdown import cancel_tasks

log = logging.getLogger("bff.network")

Fingerprint: TypeAlias = tuple[tuple[int, int, int] | None, ...]


def fingerprint(paths: Sequence[Path]) -> Fingerprint:
    """Changes when one of the files was written or replaced, also through a link. None for a file that cannot be
    read."""
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

    what      their name in the log
    every     seconds between two checks
    read      reads all of them and puts the content into use; called in a thread; raises ValueError or OSError when the
              content cannot be used
    last_read their fingerprint just before they were read for the first time
    """

    def __init__(
        self,
        what: str,
        paths: Sequence[Path],
        every: float,
        read: Callable[[], None],
        last_read: Fingerprint,
    ) -> None:
        self._what = what
        self._paths = tuple(paths)
        self._every = every
        self._read = read
        self._last_read = last_read
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Check until `close`; without files there is nothing to check."""
        if self._task is None and self._paths:
            self._task = asyncio.create_task(self._watch(), name=f"files of {self._what}")

    async def check(self) -> None:
        """Check once, now."""
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        now = fingerprint(self._paths)
        if now == self._last_read:
            return
        # Set before reading, so that the next check finds what is written during the read.
        self._last_read = now
        try:
            self._read()
        except (OSError, ValueError) as error:
            log.warning(
                "changed files cannot be used; their last content stays in use",
                extra={"fields": {"what": self._what, "why": str(error)}},
            )
        else:
            log.info("changed files are in use", extra={"fields": {"what": self._what}})

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.check()
            except Exception:
                # The last content stays in use, and the next check may succeed.
                log.exception("files could not be checked", extra={"fields": {"what": self._what}})

    async def close(self) -> None:
        """Stop checking."""
        task, self._task = self._task, None
        if task is not None:
            await cancel_tasks([task])
