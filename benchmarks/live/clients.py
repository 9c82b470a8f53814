"""The clients: a process of its own that opens many streams and counts what comes, `python -m benchmarks.live.clients`.

It is told what to do on standard input and answers each line with one of JSON: `open <file>` (a list of requests as
text; answers when each has its head and what it waits for), `count`, `latency` (of the events since the last one, from
the time each carries), `first` (all that the first stream was sent, for checking), `close`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path

import uvloop

_MARK = b'"n":'
_SENT = re.compile(rb'"t":(\d+)')
_AT_ONCE = 100


class Crowd:
    """events: since the last `open`; took: milliseconds each event was on its way, while `timed`."""

    def __init__(self) -> None:
        self.events = 0
        self.timed = False
        self.took: list[float] = []
        self.streams: list[_Stream] = []


class _Stream(asyncio.Protocol):
    def __init__(self, crowd: Crowd, request: bytes, ready: bytes) -> None:
        self._crowd = crowd
        self._request = request
        self._wanted = ready
        self._rest = b""
        self.keep: list[bytes] | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.keep is not None:
            self.keep.append(data)
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not self.opened.done():
            if b"\r\n\r\n" not in data or self._wanted not in data:
                self._rest = data
            elif data.startswith(b"HTTP/1.1 200"):
                self.opened.set_result(None)
            else:
                self.opened.set_exception(RuntimeError(data[:500].decode("latin-1")))
            return
        end = data.rfind(b"\n\n") + 2
        if len(data) - end > 2:
            self._rest = data[end:]
        crowd = self._crowd
        crowd.events += data.count(_MARK, 0, end)
        if crowd.timed:
            now = time.monotonic_ns()
            crowd.took += [(now - int(sent)) / 1e6 for sent in _SENT.findall(data, 0, end)]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(RuntimeError(f"closed before its answer: {self._rest[:500]!r}"))


async def _open(crowd: Crowd, port: int, requests: list[str], ready: bytes) -> None:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(request: str) -> _Stream:
        async with gate:
            _, stream = await loop.create_connection(
                lambda: _Stream(crowd, request.encode(), ready), "127.0.0.1", port
            )
            await asyncio.wait_for(stream.opened, 60)
            return stream

    crowd.streams += await asyncio.gather(*map(one, requests))
    crowd.streams[0].keep = []
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
        return b"".join(crowd.streams[0].keep or ()).decode()
    for stream in crowd.streams:
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
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(_main())
