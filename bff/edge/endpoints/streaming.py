"""Answers that are passed on piece by piece: of forwards and of downloads.

Each piece has its own time, and all of them a bound in bytes; a client must take them with a least speed. An answer
that has begun and cannot be finished ends the connection: it is never taken for a whole one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import Receive, Send

from ...calls import RequestContext, use_context
from ...transport.exchange import ExchangeRequest
from ...transport.forwarding import Forwarding, HeadTimer
from ...transport.request import request_target
from ...transport.response import upstream_error
from ...transport.wire import WireError, WireResponse
from ..http.forwarded_headers import SANDBOX
from ..reply import Download
from ..settings.http import ForwardSettings
from .disconnect import DisconnectGuard

# Seconds up to which a piece counts as taken at once.
_AT_ONCE = 0.005


class ClientPace:
    """How fast a client sends or takes a body. Only the time counts in which the gateway waits for the client, and the
    bytes of these times: not the time of a slow service, nor what the client's connection takes at once."""

    def __init__(self, settings: ForwardSettings) -> None:
        self._rate = settings.rate
        self._grace = settings.idle
        self._waited = 0.0
        self._size = 0

    def allowed(self, size: int) -> float | None:
        """Seconds in which the client must have sent or taken the next `size` bytes; None: any time."""
        if not self._rate:
            return None
        return max(self._grace, (self._size + size) / self._rate) - self._waited

    def count(self, seconds: float, size: int) -> None:
        """The gateway has waited for the client for these seconds, and then these bytes had moved."""
        self._waited += seconds
        self._size += size


class AnswerBroken(Exception):
    """An answer that has begun cannot be finished: the connection must end."""


async def pass_on(
    chunks: AsyncIterator[bytes], send: Send, settings: ForwardSettings, what: str, *, head: bool
) -> None:
    """Send the body, after its head. what: names the route in the log; head: the request is a HEAD."""
    size = 0
    pace, now = ClientPace(settings), asyncio.get_running_loop().time
    try:
        while not head:
            async with asyncio.timeout(settings.idle):
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            size += len(chunk)
            if size > settings.download:
                raise AnswerBroken(f"{what}: more than {settings.download} bytes")
            if chunk:
                began = now()
                async with asyncio.timeout(pace.allowed(len(chunk))):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if (seconds := now() - began) > _AT_ONCE:
                    pace.count(seconds, len(chunk))
    except (TimeoutError, WireError) as error:
        raise AnswerBroken(f"{what}: the answer broke off: {error!r}") from error
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def watching(receive: Receive, disconnect: DisconnectGuard) -> AsyncIterator[None]:
    """Notice while inside that the client leaves, under servers that tell it only to whom asks. The whole request has
    been received."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnect.on_disconnect()

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class Downloads:
    """Sends the downloads that views return."""

    def __init__(self, forwarding: Forwarding, settings: ForwardSettings) -> None:
        self._forwarding = forwarding
        self._settings = settings

    async def send(
        self,
        download: Download,
        request: RequestContext,
        send: Send,
        headers: Mapping[str, str],
        what: str,
        *,
        head: bool,
    ) -> None:
        """headers: further ones of the answer. Raises an UpstreamError before the answer has begun."""
        own = {
            **headers,
            "content-type": download.type,
            "content-disposition": download.disposition,
            "content-security-policy": SANDBOX,
            "cache-control": "no-store",
        }
        source = download.source
        with use_context(request):
            if isinstance(source, AsyncIterator):
                await send(_start(own))
                await pass_on(source, send, self._settings, what, head=head)
                return
            call = source

            def make(sent: Mapping[str, str]) -> ExchangeRequest:
                pairs = [(name, value) for name, value in sent.items() if name != "accept"]
                return ExchangeRequest(call.method, request_target(call), [*pairs, ("accept", "*/*")])

            timer = HeadTimer(request.deadline.left())
            async with self._forwarding.exchange(call, request, make, timer) as response:
                if not 200 <= response.status < 300:
                    raise upstream_error(call, WireResponse(response.status, dict(response.headers), b""))
                passed = {
                    name: value
                    for name, value in response.headers
                    if name in ("content-length", "content-encoding")
                }
                await send(_start(own | passed))
                await pass_on(aiter(response.chunks()), send, self._settings, what, head=head)


def _start(headers: Mapping[str, str]) -> dict[str, Any]:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": pairs}
