"""Where a stream's bytes go: an ASGI `send`, driven without a task wherever that is safe.

Under uvicorn `send` writes before it first suspends, or suspends before it writes anything, and that only while writing
is paused. So one step of it tells which: a write costs no task and no queue, and a step that did not finish has written
nothing and is thrown away. With httptools even the step is left out: what `send` would write is one chunk (RFC 9112,
7.1), the same bytes for everybody who gets the event. A chunk of no bytes would be the last one, so none is written: a
stream ends by its `last` alone. Any other server, and anybody's middleware that wraps `send`, may
suspend wherever it likes: there nothing is written in one step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, cast

from uvicorn.protocols.http.h11_impl import RequestResponseCycle as H11Cycle
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle as HttpToolsCycle

Message: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class Inline:
    """Under uvicorn. cycle: the request whose `send` it is."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: Any) -> None:  # uvicorn's two cycles share no type
        self._cycle = cycle

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        if not chunk and not last:
            return True
        step = self._cycle.send({"type": "http.response.body", "body": chunk, "more_body": not last})
        try:
            step.send(None)
        except StopIteration:
            return True
        except (OSError, RuntimeError):
            # The connection is closing, which the request hears from `receive`.
            return True
        step.close()
        return False

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        if not chunk and not last:
            return
        await self._cycle.send({"type": "http.response.body", "body": chunk, "more_body": not last})

    async def drain(self) -> None:
        await self._cycle.flow.drain()

    def abort(self) -> None:
        self._cycle.transport.abort()

    @property
    def paused(self) -> bool:
        return bool(self._cycle.flow.write_paused)

    @property
    def unsent(self) -> int:
        return int(self._cycle.transport.get_write_buffer_size())


class Direct(Inline):
    """Under uvicorn with httptools, in chunks. Keeps at hand what each event needs: of ten thousand streams nothing is
    in the CPU's cache, and every object on the way is a wait for memory."""

    __slots__ = ("_flow", "_write")

    def __init__(self, cycle: HttpToolsCycle) -> None:
        super().__init__(cycle)
        self._flow = cycle.flow
        self._write = cycle.transport.write

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        if last or not chunk:
            return super().write(chunk, last=last)
        if self._flow.write_paused:
            return False
        try:
            self._write(_framed(chunk))
        except (OSError, RuntimeError):
            return True  # It is closing, which the request hears from `receive`.
        return True


_last = (b"", b"")


def _framed(chunk: bytes) -> bytes:
    """As it goes on the wire; made once for all who are sent the same."""
    global _last
    of, framed = _last
    if of is not chunk:
        framed = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        _last = (chunk, framed)
    return framed


class Queued:
    """Anywhere else. Made in the request's own task, which `abort` and the last chunk cancel: see `released`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self.released = False
        # Each chunk waits until the server takes it, and what the server holds is its own affair.
        self.paused = False
        self.unsent = 0

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        return False

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        if not chunk and not last:
            return
        await self._send({"type": "http.response.body", "body": chunk, "more_body": not last})
        if last:
            self.abort()

    async def drain(self) -> None:
        pass

    def abort(self) -> None:
        self.released = True
        self._task.cancel()


def outlet(send: Send) -> Inline | Queued:
    """The way out through this `send`, which has sent the head already."""
    cycle = getattr(send, "__self__", None)
    if isinstance(cycle, HttpToolsCycle) and cycle.chunked_encoding:
        return Direct(cycle)
    return Inline(cycle) if isinstance(cycle, HttpToolsCycle | H11Cycle) else Queued(send)
