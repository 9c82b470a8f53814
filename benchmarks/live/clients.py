"""The clients: a separate process that opens many streams and counts what arrives, `python -m benchmarks.live.clients`.

Commands come on standard input, and each line gets one line of JSON: `open <file>` (a list of requests as text;
answered when each stream has its head and the text it waits for), `count`, `lost` (streams that the server closed),
`latency` (of the events since the last one, from the time in each), `first` (everything sent on the first stream, for
checking), `close`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from functools import partial
from pathlib import Path

import uvloop

_MARK = b'"n":'
_SENT = re.compile(rb'"t":(\d+)')
_AT_ONCE = 100
_PATIENCE = 60.0
"""Seconds in which all streams must be open."""


class Crowd:
    """events: since the last `open`; lost: streams that ended although they were not closed here; took: milliseconds
    each event was on its way, while `timed`; first: everything sent on the first stream."""

    def __init__(self) -> None:
        self.events = 0
        self.lost = 0
        self.first: list[bytes] = []
        self.timed = False
        self.took: list[float] = []
        self.streams: list[_Stream] = []


class _Stream(asyncio.Protocol):
    def __init__(self, crowd: Crowd, request: bytes, ready: bytes, keep: list[bytes] | None) -> None:
        self._crowd = crowd
        self._request = request
        self._wanted = ready
        self._rest = b""
        self._keep = keep
        self.closing = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self._request)
        self._crowd.streams.append(self)

    def data_received(self, data: bytes) -> None:
        if self._keep is not None:
            self._keep.append(data)
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not self.opened.done():
            if b"\r\n\r\n" in data and not data.startswith(b"HTTP/1.1 200 "):
                self.opened.set_exception(RuntimeError(data[:500].decode("latin-1")))
            elif self._is_ready(data):
                self.opened.set_result(None)
            else:
                self._rest = data
            return
        found = data.rfind(b"\n\n")
        end = found + 2 if found >= 0 else 0
        if len(data) - end > 2:
            self._rest = data[end:]
        crowd = self._crowd
        crowd.events += data.count(_MARK, 0, end)
        if crowd.timed:
            now = time.monotonic_ns()
            crowd.took += [(now - int(sent)) / 1e6 for sent in _SENT.findall(data, 0, end)]

    def _is_ready(self, data: bytes) -> bool:
        head = data.find(b"\r\n\r\n")
        found = data.find(self._wanted) if head >= 0 else -1
        # The awaited text may be an event, and half of one would be counted with the next.
        return 0 <= found < head or (found > head and data.find(b"\n\n", found) > 0)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(RuntimeError(f"closed before its answer: {self._rest[:500]!r}"))
        elif not self.closing:
            self._crowd.lost += 1


async def _open(crowd: Crowd, port: int, requests: list[str], ready: bytes) -> None:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, request: str) -> None:
        async with gate:
            keep = None if number else crowd.first
            make = partial(_Stream, crowd, request.encode(), ready, keep)
            _, stream = await loop.create_connection(make, "127.0.0.1", port)
            await stream.opened

    crowd.first.clear()
    crowd.lost = 0
    try:
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(*(one(number, request) for number, request in enumerate(requests)))
    except TimeoutError:
        done = sum(one.opened.done() for one in crowd.streams)
        raise TimeoutError(f"{done:,} of {len(requests):,} streams were open after {_PATIENCE:g} s") from None
    crowd.events = 0


def _latency(crowd: Crowd) -> dict[str, float]:
    ranked = sorted(crowd.took)
    crowd.took = []
    if not ranked:
        return {"p50": 0.0, "p99": 0.0, "events": 0}
    return {"p50": ranked[len(ranked) // 2], "p99": ranked[len(ranked) * 99 // 100], "events": len(ranked)}


async def _obey(crowd: Crowd, line: str) -> object:
    command, _, argument = line.partition(" ")
    if command == "open":
        wish = json.loads(await asyncio.to_thread(Path(argument).read_text))
        await _open(crowd, wish["port"], wish["requests"], wish["ready"].encode())
        return len(crowd.streams)
    if command == "count":
        return crowd.events
    if command == "latency":
        crowd.timed = argument == "on"
        return _latency(crowd)
    if command == "first":
        return b"".join(crowd.first).decode()
    if command == "lost":
        return crowd.lost
    for stream in crowd.streams:
        stream.closing = True
        stream.transport.abort()
    crowd.streams.clear()
    return None


async def _main() -> None:
    crowd, reader = Crowd(), asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        try:
            answer = await _obey(crowd, line)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}", "slow": isinstance(error, TimeoutError)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
