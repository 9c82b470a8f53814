"""The parent of the workers: holds their sockets, starts, replaces and ends them.

Guarantees:
- It never imports the user's application: each worker is a fresh interpreter that does. At the first start one worker
  comes first; if it ends before it is ready, it has said why, and nothing else is started.
- Later a worker that dies is started again after 1, 2, 4, … 30 s. Until its successor is ready, another worker accepts
  from its socket, so that no connection waits for it.
- Each worker has a public socket of its own (SO_REUSEPORT), and the kernel spreads connections over them. The parent
  holds all of them open: what waits in a socket's queue when its worker ends is not lost; the next one accepts it.
- A rolling restart (SIGHUP) replaces one worker after the other, each only when its successor is ready, and stops at
  the first successor that is not ready in time.
- No worker outlives the parent, and no process that has ended stays a zombie: as process 1 of a container it also reaps
  the processes that others left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ...calls import DeclarationError
from ...calls.shutdown import cancel_tasks
from ...edge.observe.log_lines import log_to_stderr
from ...edge.observe.worker_metrics import WorkerMetrics
from ...edge.server import GRACE, RETIRE, admin_server, linger_of, listen
from ...edge.settings import Settings
from .admin import WorkersAdmin
from .process import WorkerProcess, ending

log = logging.getLogger("bff.server")

# Seconds before a worker that died is started again: the first time, and at most.
FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
# Seconds that a worker must have lived for its death to count as the first one.
STEADY = 60.0
# Seconds for a worker to end, beyond linger, drain window and open requests, until it is killed; after a second signal,
# in all.
END, HARD_END = 20.0, 8.0
# Bytes of the path of a Unix socket that every operating system supports.
LONGEST_PATH = 100


def listeners_of(host: str, port: int, count: int) -> list[socket.socket]:
    """So many sockets at one address, over which the kernel spreads connections. Raises DeclarationError when something
    else listens there."""
    # Sockets that share a port do not notice another gateway that shares it, too; this one does.
    with listen(host, port) as probe:
        port = probe.getsockname()[1]
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(listen(host, port, shared=True))
    except DeclarationError:
        for one in opened:
            one.close()
        raise
    return opened


class Supervisor:
    """`run` serves until a signal. folder: a private one, for the workers' Unix sockets."""

    def __init__(
        self,
        target: str,
        settings: Settings,
        listeners: Sequence[socket.socket],
        admin: socket.socket,
        folder: Path,
        terminal: bool,
    ) -> None:
        self._target = target
        self._listeners = listeners
        self._folder = folder
        self._start_within = settings.worker_start
        linger = linger_of(settings, terminal)
        self._end_within = max(linger, RETIRE) + settings.live.drain + GRACE + END
        count = len(listeners)
        self._current: list[WorkerProcess | None] = [None] * count
        # Every process that has not been reaped, those with a successor among them.
        self._processes: dict[int, WorkerProcess] = {}
        self._starts = 0
        self._locks = [asyncio.Lock() for _ in range(count)]
        self._deaths = [asyncio.Event() for _ in range(count)]
        # By the index of a worker that has died: the worker that accepts from its socket meanwhile.
        self._substitutes: dict[int, WorkerProcess] = {}
        self._stop = asyncio.Event()
        self._roll = asyncio.Event()
        self._signals = 0
        self._hard_end: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._metrics = WorkerMetrics(count)
        self._admin = admin
        private = WorkersAdmin(lambda: self._current, self._retiring, self._metrics)
        self._server = admin_server(private.application(settings.public_url), settings)

    async def run(self) -> int:
        """Start all workers and serve until a signal; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._roll.set)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._server.serve_on(self._admin))
            try:
                return await self._supervise()
            finally:
                await self._end_all()
                self._server.should_exit = True

    async def _supervise(self) -> int:
        if not await self._start_all():
            return 0 if self._stop.is_set() else 1
        log.info(
            "%d workers serve on http://%s:%s", len(self._current), *self._listeners[0].getsockname()[:2]
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._restart_when_dead(index)) for index in range(len(self._current))]
            tasks.append(group.create_task(self._roll_on_request()))
            await self._stop.wait()
            for task in tasks:
                task.cancel()
        return 0

    # ---- starting ------------------------------------------------------------------------------------------------

    async def _start_all(self) -> bool:
        """Start one worker and then, when it is ready, the others; False when one ended before that, or on a signal."""
        if not await self._start(0):
            return False
        others = [asyncio.create_task(self._start(index)) for index in range(1, len(self._current))]
        try:
            for started in asyncio.as_completed(others):
                if not await started:
                    return False
        finally:
            await cancel_tasks(others)
        return True

    async def _start(self, index: int, seconds: float | None = None) -> bool:
        """Start a worker and make it the current one as soon as it is ready. False when it has ended before, when it
        was not ready within so many seconds, and on a signal to stop."""
        self._starts += 1
        process = WorkerProcess(self._target, index, self._listeners, self._folder, self._starts)
        self._processes[process.pid] = process
        stop = asyncio.create_task(self._stop.wait())
        ready = asyncio.create_task(process.until_ready())
        try:
            await asyncio.wait(
                (stop, ready, process.ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            is_ready = ready.done() and process.is_alive
        finally:
            await cancel_tasks([stop, ready])
        if is_ready:
            self._replace(index, process)
            return True
        if not self._stop.is_set():
            if not process.is_alive:
                # One that ends with code 1 has printed its mistakes.
                how = ending(process.ended.result())
                (log.debug if how == "with code 1" else log.error)(
                    "worker %d ended %s at its start", index, how
                )
            else:
                log.error("worker %d was not ready within %g s", index, seconds or 0.0)
            process.kill()
        return False

    def _replace(self, index: int, successor: WorkerProcess) -> None:
        before, self._current[index] = self._current[index], successor
        log.info("worker %d is ready (process %d)", index, successor.pid)
        self._assign_sockets()
        if before is not None and before.is_alive:
            before.has_successor = True
            before.send("retire")
            asyncio.get_running_loop().call_later(self._end_within, before.kill)

    def _assign_sockets(self) -> None:
        """Let some worker accept from each socket whose own worker has died, and no longer than that."""
        count = len(self._current)
        for index in range(count):
            if self._is_serving(index):
                substitute = self._substitutes.pop(index, None)
                if substitute is not None:
                    substitute.send(f"release {index}")
            elif self._substitutes.get(index) not in (None, *self._serving()):
                del self._substitutes[index]
            if not self._is_serving(index) and index not in self._substitutes:
                nearest = [(index + step) % count for step in range(1, count)]
                substitute = next((self._current[one] for one in nearest if self._is_serving(one)), None)
                if substitute is not None:
                    self._substitutes[index] = substitute
                    substitute.send(f"accept {index}")

    def _serving(self) -> list[WorkerProcess]:
        return [one for one in self._current if one is not None and one.is_alive]

    def _is_serving(self, index: int) -> bool:
        process = self._current[index]
        return process is not None and process.is_alive

    def _retiring(self) -> list[WorkerProcess]:
        """Those that have a successor."""
        return [one for one in self._processes.values() if one.has_successor]

    # ---- keeping and replacing -----------------------------------------------------------------------------------

    async def _restart_when_dead(self, index: int) -> None:
        """Start a worker again whenever it has died."""
        delay = FIRST_DELAY
        while True:
            await self._deaths[index].wait()
            async with self._locks[index]:
                self._deaths[index].clear()
                process = self._current[index]
                if process is None or process.is_alive:
                    # It has a successor.
                    continue
                if time.monotonic() - process.started >= STEADY:
                    delay = FIRST_DELAY
                log.error(
                    "worker %d (process %d) ended %s; it is started again in %g s",
                    *(index, process.pid, ending(process.ended.result()), delay),
                )
                while True:
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, LONGEST_DELAY)
                    if await self._start(index, self._start_within):
                        self._metrics.count_restart(index)
                        break
                    log.error("worker %d is not ready; it is started again in %g s", index, delay)

    async def _roll_on_request(self) -> None:
        while True:
            await self._roll.wait()
            # A signal that comes during the restart begins another one: the application may have changed meanwhile.
            self._roll.clear()
            log.info("rolling restart: %d workers, one after the other", len(self._current))
            for index in range(len(self._current)):
                async with self._locks[index]:
                    if not await self._start(index, self._start_within):
                        log.error(
                            "the rolling restart ended at worker %d, whose successor is not ready: the workers from %d "
                            "on stay as they are; correct the mistake and send SIGHUP again",
                            *(index, index),
                        )
                        break
            else:
                log.info("the rolling restart is complete")

    # ---- ending --------------------------------------------------------------------------------------------------

    def _on_stop(self) -> None:
        self._signals += 1
        if self._signals == 1:
            self._stop.set()
        elif self._signals == 2:
            for process in self._processes.values():
                process.stop(now=True)
            self._hard_end = asyncio.get_running_loop().call_later(HARD_END, self._kill_all)
        else:
            self._kill_all()

    def _kill_all(self) -> None:
        for process in self._processes.values():
            process.kill()

    async def _end_all(self) -> None:
        """End every worker gently; those that have not ended in time are killed."""
        for process in self._processes.values():
            if not process.has_successor:
                process.stop()
        ends = [process.ended for process in self._processes.values()]
        if ends:
            _, late = await asyncio.wait(ends, timeout=self._end_within)
            if late:
                log.error("%d workers have not ended within %g s and are killed", len(late), self._end_within)
                self._kill_all()
                await asyncio.wait(late)
        if self._hard_end is not None:
            self._hard_end.cancel()
        if self._closing:
            await asyncio.wait(self._closing)

    def _reap(self) -> None:
        """Take note of every process that has ended, also of those that this one did not start."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                process = self._processes.get(found[0])
                if process is not None:
                    process.on_exit(os.waitstatus_to_exitcode(found[1]))
                    closing = asyncio.create_task(self._close(process), name="bff-worker-close")
                    self._closing.add(closing)
                    closing.add_done_callback(self._closing.discard)
                    if process is self._current[process.index] and not self._stop.is_set():
                        self._deaths[process.index].set()
                        self._assign_sockets()

    async def _close(self, process: WorkerProcess) -> None:
        """Read the last figures of a process that has ended, and forget it."""
        await process.close()
        # In one step, so that a page has its figures once.
        del self._processes[process.pid]
        process.is_retained = True
        self._metrics.retain(process.figures)


def serve_workers(target: str, settings: Settings, terminal: bool) -> int:
    """Serve with `settings.workers` processes until a signal; returns the exit code. Raises DeclarationError when it
    cannot start. terminal: whether a person waits for the end."""
    if sys.platform != "linux":
        raise DeclarationError(
            f"{settings.workers} workers need Linux, whose kernel spreads connections over them; here set BFF_WORKERS "
            "to 1, and run several gateways behind a proxy"
        )
    log_to_stderr(settings.telemetry)
    listeners = listeners_of(settings.host, settings.port, settings.workers)
    with contextlib.ExitStack() as stack:
        for one in listeners:
            stack.enter_context(one)
        admin = stack.enter_context(listen(settings.admin_host, settings.admin_port))
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bff-")))
        except OSError as error:
            raise DeclarationError(
                f"no folder for the workers' sockets can be made ({error.strerror}); set TMPDIR to one that can be "
                "written to"
            ) from None
        if len(str(folder / "1000000.sock").encode()) > LONGEST_PATH:
            raise DeclarationError(f"{folder} is too long for Unix sockets; set TMPDIR to a shorter path")
        with asyncio.Runner() as runner:
            supervisor = Supervisor(target, settings, listeners, admin, folder, terminal)
            return runner.run(supervisor.run())
