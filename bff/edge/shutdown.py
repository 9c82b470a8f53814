"""How a gateway under another ASGI server notices that its process was told to stop.

uvicorn, gunicorn and granian run the lifespan's shutdown only after every connection has ended, and hypercorn cuts
connections off before it: an open stream would hold the process, or end without a `bye`. Two things tell of it earlier
under every server. The signals that end a process are heard here as well, and then by the server's own handlers, as
before. And the socket that requests came in by is looked at: when this process has closed it, its server is about to
end, whatever the reason (`--max-requests`, a reload, a supervisor that sends no signal to its workers).

Refuses to change what a signal does: where nobody handles one, and outside the main thread, nothing is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from ..calls.ending import end_tasks

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGQUIT", "SIGBREAK") if hasattr(signal, name)
)
LOOK = 0.2
"""Seconds between two looks at the listening sockets."""

# Where a process finds its own open files; where there is neither, signals have to do.
_FILES = ("/proc/self/fd", "/dev/fd")


class ShutdownWatch:
    """told: called once, on the running loop, when the process is told to stop. `start()` once the server has installed
    its own handlers, which it has when it begins the lifespan; `look()` with the first request; `close()` puts back
    what was there."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._was_told = False
        self._loop = asyncio.get_running_loop()
        self._before: dict[int, Any] = {}
        self._watching: asyncio.Task[None] | None = None
        self.looks = False

    def start(self) -> None:
        """Hear signals from now on."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            before = signal.getsignal(number)
            # The default handler of SIGINT raises KeyboardInterrupt: nobody handles it.
            if not callable(before) or before is signal.default_int_handler:
                continue
            self._before[number] = before
            # A loop calls the handlers that were given to it whatever is installed here.
            signal.signal(number, self._heard)
            if hasattr(signal, "siginterrupt"):
                signal.siginterrupt(number, False)

    def look(self, port: int | None) -> None:
        """Look at the sockets that listen on this port from now on; None: at those of no port."""
        self.looks = True
        listening = _listening(port)
        if listening:
            self._watching = self._loop.create_task(self._watch(listening), name="bff-listening-watch")

    async def close(self) -> None:
        """Hear and look no more."""
        for number, before in self._before.items():
            # Whoever has installed another one since keeps it.
            if signal.getsignal(number) == self._heard:
                signal.signal(number, before)
        self._before.clear()
        if self._watching is not None:
            await end_tasks([self._watching])

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)
        before = self._before.get(number)
        if before is not None:
            before(number, frame)

    async def _watch(self, listening: dict[int, int]) -> None:
        while any(_inode(number) == inode for number, inode in listening.items()):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(LOOK)
        self._tell()

    def _tell(self) -> None:
        if not self._was_told:
            self._was_told = True
            self._told()


def _inode(number: int) -> int | None:
    """What the open file of this number is; a number is soon another file's."""
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else None


def _listening(port: int | None) -> dict[int, int]:
    """This process's listening sockets of that port: number and inode."""
    folder = next((one for one in map(Path, _FILES) if one.is_dir()), None)
    found: dict[int, int] = {}
    for file in folder.iterdir() if folder is not None else ():
        with contextlib.suppress(OSError, ValueError):
            number = int(file.name)
            inode = _inode(number)
            if inode is None:
                continue
            with socket.socket(fileno=os.dup(number)) as one:
                listens = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                at = one.getsockname()
            if listens and (at[1] if isinstance(at, tuple) else None) == port:
                found[number] = inode
    return found
