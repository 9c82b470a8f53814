"""A gateway's process under `bff serve --workers N`, which starts it as

    python -m bff.cli.workers.worker TARGET INDEX ADMIN CONTROL PUBLIC…

ADMIN and CONTROL are file descriptors: of the Unix socket at which the parent asks for health and metrics, and of the
channel between both. PUBLIC are those of all public sockets; the worker accepts from the one at INDEX. Mistakes are
printed to standard error, one in each line, and the exit code is 1.

The channel has one word in each line. The worker sends `ready` when it accepts connections, and at its end `figures`
with a number of bytes and so many bytes of metrics. The parent sends `stop` and `stop-now` in place of signals: a
service manager may send its signal to every process, and a second one would end a worker at once. It sends `retire`
when a successor is ready, and `accept` or `release` with an index, to take over another worker's socket for a while.
When the parent has ended for any reason, the channel closes: the worker retires, and is killed if it has not ended in
time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence

import uvicorn

from ...calls import DeclarationError
from ...edge import settings as settings_file
from ...edge.app.build import App
from ...edge.gateway import Gateway
from ...edge.observe.log_lines import log_to_stderr
from ...edge.server import Server, run, with_file_limit
from ...edge.settings import Settings
from .. import check
from ..target import load

# Seconds for the last figures to be taken by the parent.
HAND_OVER = 2.0
# Seconds beyond linger and drain window in which a worker without a parent must have ended.
WITHOUT_PARENT = 20.0


class Control:
    """The worker's side of the channel. listeners: the public sockets of all workers."""

    def __init__(self, channel: socket.socket, listeners: Sequence[socket.socket]) -> None:
        self._channel = channel
        self._listeners = listeners
        self._substituted: dict[int, asyncio.Server] = {}

    def ready(self) -> None:
        """Report that connections are accepted."""
        # The parent may have ended; `run` notices that.
        with contextlib.suppress(OSError):
            self._channel.send(b"ready\n")

    async def run(self, server: Server, app: App) -> None:
        """Do what the parent sends, until this is cancelled; then hand over the last figures."""
        reader, writer = await asyncio.open_unix_connection(sock=self._channel)
        try:
            while line := await reader.readline():
                await self._on_message(server, line.decode().split())
            server.retire()
            # Until the server has ended.
            await asyncio.Event().wait()
        finally:
            page = app.metrics.text()
            writer.transport.set_write_buffer_limits(0)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(HAND_OVER):
                    writer.write(b"figures %d\n%b" % (len(page), page))
                    await writer.drain()
            writer.close()

    async def _on_message(self, server: Server, words: list[str]) -> None:
        match words:
            case ["stop"]:
                server.stop()
            case ["stop-now"]:
                server.stop_now()
            case ["retire"]:
                self._substituted.clear()
                server.retire()
            case ["accept", index] if int(index) not in self._substituted:
                # The server closes its socket; the one that this process has inherited stays.
                listener = self._listeners[int(index)].dup()
                self._substituted[int(index)] = await server.accept_from(listener)
            case ["release", index] if int(index) in self._substituted:
                self._substituted.pop(int(index)).close()


def prepare(target: str) -> tuple[Gateway, Settings]:
    """The gateway and its settings. Raises a DeclarationError with every mistake in a separate line."""
    gateway = load(target)
    settings = settings_file.load()
    if found := list(dict.fromkeys(check.mistakes(gateway, settings))):
        raise DeclarationError("\n".join(found))
    # Each worker is one of the gateways that share the limits.
    replicas = settings.limits.replicas * settings.workers
    return gateway, settings.model_copy(
        update={"limits": settings.limits.model_copy(update={"replicas": replicas})}
    )


class ParentWatch:
    """Kills this process when its parent has ended and it has not ended by itself in time: a loop that a user's
    function blocks does not read the channel. A thread, which also runs while the application is imported."""

    def __init__(self, channel: socket.socket) -> None:
        # Never closed: a closed one would look like the end of the parent.
        self._channel = os.dup(channel.fileno())
        self.seconds_to_end = 0.0
        """Seconds for this process to end by itself; 0 while it is starting."""

    def start(self) -> None:
        """Watch from now on."""
        threading.Thread(target=self._watch, name="bff-parent-watch", daemon=True).start()

    def _watch(self) -> None:
        hung_up = select.poll()
        # Without a wanted event: only the end of the other side is reported.
        hung_up.register(self._channel, 0)
        hung_up.poll()
        if self.seconds_to_end:
            threading.Event().wait(self.seconds_to_end)
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal or until the parent says so; returns the exit code."""
    target, index = arguments[0], int(arguments[1])
    admin, channel, *public = (socket.socket(fileno=int(number)) for number in arguments[2:])
    for one in (admin, channel, *public):
        # Programs that the application starts must not hold the sockets open.
        one.set_inheritable(False)
    watch = ParentWatch(channel)
    watch.start()
    try:
        gateway, settings = prepare(target)
        log_to_stderr(settings.telemetry)
        settings = with_file_limit(settings)
        watch.seconds_to_end = WITHOUT_PARENT + settings.live.drain + (settings.http.linger or 0.0)
        control = Control(channel, public)
        loop = uvicorn.Config(gateway, loop="uvloop", log_config=None).get_loop_factory()
        with asyncio.Runner(loop_factory=loop) as runner:
            # The server closes its socket; the inherited one stays, so that this worker can accept from it again.
            listeners = public[index].dup(), admin
            runner.run(run(gateway, settings, ready=control.ready, listeners=listeners, control=control.run))
    except DeclarationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
