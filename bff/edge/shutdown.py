"""How a gateway under another ASGI server notices that its process was told to stop.

uvicorn, gunicorn and granian run the lifespan's shutdown only after every connection has ended, and hypercorn cuts
connections off before it: an open stream would keep the process running, or end without a `bye`. Two signs come earlier
under every server. The signals that end a process are handled here first, and then by the server's own handlers, as
before. And the listening socket is watched: when this process has closed it, its server is about to end, whatever the
reason (`--max-requests`, a reload, a supervisor that sends no signal to its workers).

What a signal does is not changed: where a signal has no handler, and outside the main thread, nothing is installed.
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

from ..calls.shutdown import cancel_tasks

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGQUIT", "SIGBREAK") if hasattr(signal, name)
)
CHECK_INTERVAL = 0.2
"""Seconds between two checks of the listening sockets."""

# Folders that list a process's open files. On a system without them only signals are noticed.
_FILES = ("/proc/self/fd", "/dev/fd")


class ShutdownWatch:
    """on_stop: called once, on the running loop, when the process is told to stop. Call `start()` after the server has
    installed its own handlers, as it has when it begins the lifespan; `watch_sockets()` with the first request;
    `close()` restores the handlers."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._before: dict[int, Any] = {}
        self._watching: asyncio.Task[None] | None = None
        self.is_watching = False

    def start(self) -> None:
        """Handle signals from now on."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            before = signal.getsignal(number)
            # The default handler of SIGINT raises KeyboardInterrupt: no server has installed one.
            if callable(before) and before is not signal.default_int_handler:
                self._before[number] = before
                # The handlers that were given to an event loop are called anyway.
                signal.signal(number, self._on_signal)
                if hasattr(signal, "siginterrupt"):
                    signal.siginterrupt(number, False)

    def watch_sockets(self, port: int | None) -> None:
        """Watch the sockets that listen on this port; None: those without a port."""
        self.is_watching = True
        listening = _listening(port)
        if listening:
            self._watching = self._loop.create_task(self._watch(listening), name="bff-listening-watch")

    async def close(self) -> None:
        """Restore the handlers and end the watching."""
        for number, before in self._before.items():
            # A handler that was installed after this one stays.
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, before)
        if self._watching is not None:
            await cancel_tasks([self._watching])

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._notify)
        self._before[number](number, frame)

    async def _watch(self, listening: dict[int, int]) -> None:
        while any(_inode(number) == inode for number, inode in listening.items()):  # noqa: ASYNC110 - a close has no event
            await asyncio.sleep(CHECK_INTERVAL)
        self._notify()

    def _notify(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._on_stop()


def _inode(number: int) -> int | None:
    """The inode of this open file if it is a socket; a number may soon be another file's."""
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
                at = one.getsockname()
                its_port = at[1] if isinstance(at, tuple) else None
                if its_port == port and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found[number] = inode
    return found
