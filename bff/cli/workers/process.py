"""One worker as the parent sees it: its process, the channel to it, and its private admin port.

Guarantees that no question waits longer than `ANSWER` seconds, and that the last figures of a worker are kept: those it
sent at its end, or else those of its last answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

# Seconds for a worker to answer a question for its health or metrics.
ANSWER = 2.0
# Bytes of the last figures at most.
FIGURES = 32_000_000
# Headers of an answer that the parent passes on.
PASSED_ON = ("content-type", "cache-control")
# Seconds between two questions whether a worker that accepts connections is ready.
ASK_AGAIN = 0.05
# Seconds for what a worker has sent to be read after its end.
READ_REST = 2.0


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """What a worker's admin port answered. headers: the names that are passed on."""

    status: int
    headers: dict[str, str]
    body: bytes


class WorkerProcess:
    """A worker that was started. The supervisor calls `on_exit` when the process has ended.

    index          its number, 0 to N-1; a successor has the same one
    ended          the exit code, negative for a signal
    accepting      set when it accepts connections
    figures        its last metrics page, "" before the first one
    has_successor  it was told to retire
    is_retained   it has ended, and its figures are kept elsewhere
    """

    def __init__(
        self, target: str, index: int, listeners: Sequence[socket.socket], folder: Path, serial: int
    ) -> None:
        """Start the process. Raises OSError. folder: a private one; serial: of all workers that were started."""
        self.index = index
        self.started = time.monotonic()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.accepting = asyncio.Event()
        self.figures = ""
        self.has_successor = self.is_retained = False
        self._has_sent_last = False
        self._path = folder / f"{serial}.sock"
        self._ours, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as admin:
            admin.bind(str(self._path))
            files = [one.fileno() for one in (admin, theirs, *listeners)]
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "bff.cli.workers.worker", target, str(index), *map(str, files)],
                pass_fds=files,
                # Ctrl-C reaches only the parent, which ends the workers in order.
                process_group=0,
            )
        self.pid = self._process.pid
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: list[str] = []
        self._reading = asyncio.create_task(self._read(), name=f"bff-worker-{index}")

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return not self.ended.done()

    # ---- the channel -------------------------------------------------------------------------------------------

    def send(self, line: str) -> None:
        """Send a line; a worker that has ended gets none."""
        if self._writer is None:
            self._waiting.append(line)
        elif not self._writer.is_closing():
            self._writer.write(f"{line}\n".encode())

    async def _read(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(sock=self._ours)
        for line in self._waiting:
            self.send(line)
        # A worker that was killed sends half of it.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while words := (await reader.readline()).decode().split():
                match words:
                    case ["ready"]:
                        self.accepting.set()
                    case ["figures", size] if int(size) <= FIGURES:
                        self.figures = (await reader.readexactly(int(size))).decode()
                        self._has_sent_last = True

    # ---- questions ---------------------------------------------------------------------------------------------

    async def ask(self, path: str, accept: str = "*/*") -> WorkerAnswer | None:
        """GET this path of the worker's admin port; None when it does not answer in time, or has ended. accept: the
        header."""
        if self._is_closed:
            return None
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(self._path)),
                timeout=aiohttp.ClientTimeout(total=ANSWER),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.get(f"http://worker{path}", headers={"accept": accept}) as answer:
                headers = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
                return WorkerAnswer(answer.status, headers, await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def ask_figures(self, accept: str = "*/*") -> bool:
        """Bring `figures` up to date, in the format that the Accept header asks for; False when the worker does not
        answer."""
        answer = await self.ask("/metrics", accept)
        if answer is None or answer.status != 200:
            return False
        if not self._has_sent_last:
            self.figures = answer.body.decode()
        return True

    async def until_ready(self) -> None:
        """Return when it accepts connections and says at `/readyz` that it is ready."""
        await self.accepting.wait()
        while (answer := await self.ask("/readyz")) is None or answer.status != 200:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(ASK_AGAIN)

    # ---- its end -----------------------------------------------------------------------------------------------

    def stop(self, *, now: bool = False) -> None:
        """Ask it to end, gently or at once. One that does not accept connections yet has nothing to end gently."""
        if self.accepting.is_set():
            self.send("stop-now" if now else "stop")
        else:
            self.kill(signal.SIGTERM)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, unless it has ended."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def on_exit(self, code: int) -> None:
        """The process was reaped."""
        # It cannot be waited for any more.
        self._process.returncode = code
        if not self.ended.done():
            self.ended.set_result(code)

    async def close(self) -> None:
        """Read what it has sent, and close what belongs to it. Call it after its end."""
        self._is_closed = True
        await asyncio.wait([self._reading], timeout=READ_REST)
        self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        if self._session is not None:
            await self._session.close()
        self._path.unlink(missing_ok=True)


def ending(code: int) -> str:
    """How a process has ended, for people: `by SIGKILL`, `with code 1`."""
    if code >= 0:
        return f"with code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
