"""What only the connection itself can do: tell a request that its client has left, and refuse bytes that are no HTTP.

Each request's scope holds a list, ``bff.lost``; what is in it is called when the connection is lost before the answer
is whole. No application sees bytes that are no request, so the protocol answers them itself with a 400 problem, with a
correlation id of its own, and closes the connection. Everything else is uvicorn's.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import uuid
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .problem import Problem

log = logging.getLogger("bff.edge")

Door = Callable[[dict[str, Any]], bytes | None]


class _Flow(FlowControl):
    """Uvicorn's, less what it keeps for every connection in case writing is paused: a tenth of an open stream."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._writable: asyncio.Event | None = None

    async def drain(self) -> None:
        if self.write_paused:
            if self._writable is None:
                self._writable = asyncio.Event()
            await self._writable.wait()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.set()


class _Pipeline(list[Any]):
    """Requests in waiting: hardly ever one, and an empty deque takes 700 bytes."""

    def appendleft(self, waiting: Any) -> None:
        self.insert(0, waiting)


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol on httptools. door: asked before a request becomes a task; bytes it gives are the answer."""

    def __init__(self, *args: Any, door: Door | None = None, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self._door = door
        self.pipeline = _Pipeline()  # type: ignore[assignment]  # all of a deque that uvicorn uses

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = _Flow(transport)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        refusal = None if self._door is None else self._door(cast(dict[str, Any], cycle.scope))
        if refusal is None:
            super()._start_asgi_task(cycle, app)
            return
        cycle.response_started = cycle.response_complete = True
        self.transport.write(refusal)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["bff.lost"] = []

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            for tell in cast(dict[str, Any], cycle.scope)["bff.lost"]:
                tell()

    def send_400_response(self, msg: str) -> None:
        correlation = str(uuid.uuid4())
        problem = Problem(
            400, "invalid-request", "What was sent is not an HTTP request this server can read."
        )
        body = problem.body(correlation_id=correlation, trace_id=secrets.token_hex(16))
        headers = problem.response_headers() | {
            "content-length": str(len(body)),
            "x-correlation-id": correlation,
            "connection": "close",
        }
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(["HTTP/1.1 400 Bad Request", *lines, "", ""])
        log.info("not an HTTP request", extra={"fields": {"correlation_id": correlation}})
        self.transport.write(head.encode("latin-1") + body)
        self.transport.close()
