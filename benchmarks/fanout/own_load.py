"""The load generator: keep-alive connections on one uvloop, a protocol of its own, answers read by length.

Closed (`rate` 0): each connection sends its next request once it has its answer. Open (`rate` above 0): requests are
due at fixed moments whether or not answers have come, and an answer's time counts from the moment at which its request
was due, so that a contender that stops for a while is not spared. Requests that are due while no connection is free
wait in order. In both, requests under way at the end are waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import deque
from pathlib import Path

import uvloop

from .load import Load, Loaded

AT_MOST = 30.0
"""Seconds that an answer may take."""


class Requests:
    """The bytes of request after request."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._number = load.first
        self._head = load.head.encode()
        self._body = load.body.encode()

    def next(self) -> bytes:
        load, number = self._load, self._number
        self._number += 1
        item = number % load.products if load.products else number
        made = self._head.replace(b"{sku}", b"p%09d" % item)
        if load.routes > 1:
            made = made.replace(b"{route}", b"%d" % (number % load.routes))
        if load.tokens:
            made = made.replace(b"{token}", load.tokens[number % len(load.tokens)].encode())
        if load.etags:
            made = made.replace(b"{etag}", load.etags[item].encode())
        return made.replace(b"{key}", b"k%09d" % item) + self._body


class Run:
    """took: seconds for each answer; wrong: answers with another status or length, and broken connections; enough: set
    after `count` answers, and when no connection is left; done: set when requests under way at the end are answered."""

    def __init__(self, load: Load) -> None:
        self.took: list[float] = []
        self.wrong = 0
        self.load = load
        self.requests = Requests(load)
        self.free: deque[_Connection] = deque()
        self.due: deque[float] = deque()
        self.waited = 0
        self.enough = asyncio.Event()
        self.done = asyncio.Event()
        self.ended = False

    def answered(self, connection: _Connection) -> None:
        """The connection has its answer: it sends the next request, or is free."""
        self.waited -= 1
        if len(self.took) == self.load.count:
            self.ended = True
            self.enough.set()
        if self.load.rate:
            self.free.append(connection)
            self.send_due()
        elif not self.ended:
            self.waited += 1
            connection.send(self.requests.next(), time.perf_counter())
        self._finish()

    def lost(self) -> None:
        """A connection broke; if every one has, the run is over."""
        self.wrong += 1
        self.waited -= 1
        if self.waited <= 0:
            self.enough.set()
        self._finish()

    def end(self) -> None:
        self.ended = True
        self._finish()

    def _finish(self) -> None:
        if self.ended and self.waited <= 0 and not self.due:
            self.done.set()

    def send_due(self) -> None:
        while self.due and self.free:
            self.waited += 1
            self.free.popleft().send(self.requests.next(), self.due.popleft())


class _Connection(asyncio.Protocol):
    def __init__(self, run: Run) -> None:
        self._run = run
        self._began = 0.0
        self._data = b""
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a TCP client

    def send(self, request: bytes, began: float) -> None:
        self._began, self._busy = began, True
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data if self._data else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = data[:end].lower()
        size: int | None
        if b"transfer-encoding: chunked" in head:
            size = _unchunked(data[end + 4 :])
        else:
            size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
            if head.startswith(b"http/1.1 304"):
                size = 0
            elif len(data) < end + 4 + size:
                size = None
        if size is None:
            return
        run = self._run
        run.took.append(time.perf_counter() - self._began)
        run.wrong += int(head[9:12]) != run.load.status or size != run.load.length
        self._data, self._busy = b"", False
        run.answered(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy:
            self._busy = False
            self._run.lost()


def _unchunked(data: bytes) -> int | None:
    """The length of a whole chunked body; None while there is more to come."""
    size = at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        chunk = int(data[at:end], 16)
        at = end + 2 + chunk + 2
        if not chunk:
            return size if len(data) >= at else None
        size += chunk
    return None


async def apply(load: Load) -> Loaded:
    """Run the load."""
    run, loop = Run(load), asyncio.get_running_loop()
    connections = []
    for _ in range(load.connections):
        _, one = await loop.create_connection(lambda: _Connection(run), "127.0.0.1", load.port)
        connections.append(one)
    began = time.perf_counter()
    if load.rate:
        run.free.extend(connections)
        await _at_rate(run, began)
    else:
        for one in connections:
            run.waited += 1
            one.send(run.requests.next(), time.perf_counter())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(load.seconds or None):
                await run.enough.wait()
    run.end()
    try:
        async with asyncio.timeout(AT_MOST):
            await run.done.wait()
    except TimeoutError:
        run.wrong += run.waited + len(run.due)
    took = time.perf_counter() - began
    for one in connections:
        one.transport.abort()
    ranked = sorted(run.took) or [0.0]
    return Loaded(
        answers=len(run.took),
        rate=round(len(run.took) / took, 1),
        p50=ranked[len(ranked) // 2] * 1000,
        p99=ranked[len(ranked) * 99 // 100] * 1000,
        p999=ranked[len(ranked) * 999 // 1000] * 1000,
        wrong=run.wrong,
    )


async def _at_rate(run: Run, began: float) -> None:
    """Make requests due, one every 1/rate seconds, for so many seconds."""
    made, load = 0, run.load
    while (now := time.perf_counter() - began) < load.seconds:
        while made / load.rate <= now:
            run.due.append(began + made / load.rate)
            made += 1
        run.send_due()
        await asyncio.sleep(max(0.0, made / load.rate - (time.perf_counter() - began)))


if __name__ == "__main__":
    given = Load(**json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(vars(uvloop.run(apply(given)))))
