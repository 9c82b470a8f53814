"""Many people's streams in one cheap process, so that the gateways are what is measured: `python -m tests.wire.riders`.

The clients follow as browsers do behind a load balancer: from the last id, after the last `retry`, on the gateway with
the fewest streams, and not on the one that ended the stream. Commands come on standard input, a line of JSON each, and
get one line as answer: `open` (subjects with their tokens, and the ports), `freeze` (numbers: stop reading), `thaw`
(close them and connect again), `busy` (processes whose time waiting for a CPU is subtracted from an event's latency,
where the event has `cpu_wait`), `clear` (forget what was measured), `report`.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import random
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ..conftest import ROOT

_SENT = re.compile(rb'"name":"(\d+\.\d+) (?:cpu_wait (\d+\.\d+))?')
_BLOCK = re.compile(rb"event: (\w+)\n(?:id: (\S+)\n)?")
_RETRY = re.compile(rb"retry: (\d+)\n")
TOGETHER = 100


def cpu_wait(pids: list[int]) -> float:
    """Seconds for which the first threads of these processes were ready but the CPU was busy with other processes."""
    return sum(int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) for pid in pids) / 1e9


class Rider:
    """One person's browser. ended: when its stream ended or broke, until it has the next one; left: the gateway of that
    stream."""

    __slots__ = ("avoid", "cursor", "ended", "events", "left", "live", "port", "rest", "retry", "sock", "who")

    def __init__(self, who: tuple[str, str]) -> None:
        self.who = who
        self.sock: socket.socket | None = None
        self.port = self.avoid = self.left = self.events = 0
        self.cursor = b""
        self.rest = b""
        self.retry = 1.0
        self.ended = 0.0
        self.live = False


class Riders:
    """gaps: seconds from an end to the next stream's first bytes; opened: when a stream was requested after the gateway
    had ended one; took: seconds each event was on its way; wrong: errors."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.on: Counter[int] = Counter()
        self.all: list[Rider] = []
        self.by_fd: dict[int, Rider] = {}
        self.due: list[tuple[float, int, Rider]] = []
        self.waiting: list[Rider] = []
        self.poll = select.epoll()
        self.poll.register(0, select.EPOLLIN)
        self.gaps: list[float] = []
        self.opened: dict[int, list[float]] = {}
        self.took: list[float] = []
        self.wrong: list[str] = []
        self.resets = 0
        self.busy: list[int] = []
        self.coming = 0

    # ---- one connection --------------------------------------------------------------------------------------

    def connect(self, rider: Rider) -> None:
        port = min(
            (one for one in self.ports if one != rider.avoid), key=self.on.__getitem__, default=rider.avoid
        )
        if rider.left:
            self.opened.setdefault(rider.left, []).append(time.monotonic())
        sock = socket.socket()
        try:
            sock.connect(("127.0.0.1", port))
        except OSError:
            sock.close()
            rider.avoid = port
            self.later(rider, random.uniform(0.05, 0.2))
            return
        rider.sock, rider.port, rider.rest = sock, port, b""
        self.on[port] += 1
        _, token = rider.who
        resume = b"Last-Event-ID: %b\r\n" % rider.cursor if rider.cursor else b""
        head = f"GET /bff/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode()
        sock.send(head + resume + b"\r\n")
        sock.setblocking(False)
        self.by_fd[sock.fileno()] = rider
        self.poll.register(sock.fileno(), select.EPOLLIN)

    def later(self, rider: Rider, seconds: float) -> None:
        heapq.heappush(self.due, (time.monotonic() + seconds, id(rider), rider))

    def hang_up(self, rider: Rider) -> None:
        if rider.sock is not None:
            fd = rider.sock.fileno()
            with contextlib.suppress(OSError):
                self.poll.unregister(fd)
            del self.by_fd[fd]
            rider.sock.close()
            rider.sock = None
            self.on[rider.port] -= 1
        rider.ended = rider.ended or time.monotonic()
        rider.live = False
        self.later(rider, rider.retry)
        rider.retry = random.uniform(0.1, 1.0)

    def read(self, rider: Rider) -> None:
        try:
            data = rider.sock.recv(65536) if rider.sock else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.hang_up(rider)
            return
        data = rider.rest + data
        end = data.rfind(b"\n\n") + 2
        if end > 1:
            # A chunk's last line end may still be on its way, and the first line of a head is not a block.
            rider.rest = data[end:]
            self.take(rider, data[:end])
        else:
            rider.rest = data
        if rider.rest.endswith(b"0\r\n\r\n"):
            self.hang_up(rider)

    def take(self, rider: Rider, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 200"):
            self.wrong.append(data[:200].decode("latin-1"))
        if found := _RETRY.findall(data):
            rider.retry = int(found[-1]) / 1000
        now = time.monotonic()
        left = False
        for name, id in _BLOCK.findall(data):
            if name == b"saga":
                epoch, _, offset = rider.cursor.rpartition(b"-")
                if id != b"%b-%d" % (epoch, int(offset or 0) + 1):
                    self.wrong.append(f"{rider.who[0]}: {id!r} after {rider.cursor!r}")
                rider.cursor = id
                rider.events += 1
            elif name in (b"snapshot", b"reset"):
                if name == b"snapshot" and rider.cursor:
                    self.wrong.append(f"{rider.who[0]}: a snapshot although it sent {rider.cursor!r}")
                self.resets += name == b"reset"
                rider.cursor = id
            elif name == b"bye":
                rider.avoid = rider.left = rider.port
                rider.ended, rider.live, left = now, False, True
        for sent, before in _SENT.findall(data):
            self.took.append(now - float(sent))
            if before:
                # Time that other processes took from the riders does not count.
                self.took[-1] -= cpu_wait(self.busy) - float(before)
        if not left and not rider.live:
            rider.live, rider.avoid, rider.left = True, 0, 0
            self.coming -= rider.ended == 0
            if rider.ended:
                self.gaps.append(now - rider.ended)
                rider.ended = 0.0

    # ---- all of them -----------------------------------------------------------------------------------------

    def run(self) -> None:
        while True:
            wait = 0.05
            if self.due:
                wait = max(0.0, min(wait, self.due[0][0] - time.monotonic()))
            for fd, _ in self.poll.poll(wait):
                if fd == 0:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    print(json.dumps(self.obey(json.loads(line))), flush=True)
                elif fd in self.by_fd:
                    self.read(self.by_fd[fd])
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                self.connect(heapq.heappop(self.due)[2])
            while self.waiting and self.coming < TOGETHER:
                self.coming += 1
                self.connect(self.waiting.pop())

    def obey(self, told: dict[str, Any]) -> object:
        if "open" in told:
            self.ports = told["ports"]
            self.waiting = [Rider((subject, token)) for subject, token in told["open"]]
            self.all += self.waiting
            self.waiting = self.waiting[::-1]
        elif "freeze" in told:
            for number in told["freeze"]:
                sock = self.all[number].sock
                if sock is not None:
                    self.poll.unregister(sock.fileno())
        elif "thaw" in told:
            for number in told["thaw"]:
                self.hang_up(self.all[number])
        elif "busy" in told:
            self.busy = told["busy"]
        elif "clear" in told:
            self.took, self.gaps, self.opened = [], [], {}
        else:
            return {
                "live": sum(one.live for one in self.all),
                "events": {one.who[0]: one.events for one in self.all},
                "on": [one.port for one in self.all],
                "gaps": self.gaps,
                "opened": self.opened,
                "took": self.took,
                "wrong": self.wrong,
                "resets": self.resets,
            }
        return None


class RiderProcess:
    """The other side: sends commands to that process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def send(self, **command: object) -> Any:
        """Send one command; returns its answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the riders have no pipes")
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return json.loads(await self._process.stdout.readline())

    async def live(self, count: int, seconds: float) -> None:
        """Return once that many streams are live."""
        async with asyncio.timeout(seconds):
            while (await self.send(report=True))["live"] < count:
                await asyncio.sleep(0.3)


@contextlib.asynccontextmanager
async def riders() -> AsyncIterator[RiderProcess]:
    """The process; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.wire.riders"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=2**27,
    )
    try:
        yield RiderProcess(process)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


def many_files() -> None:
    """Raise the limit of open files, for this process and its children, as far as the machine allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    Riders().run()
