"""The wire through the httpx API, over aiohttp's connections.

httpx is used here: for upstreams with `wire: httpx`.
Stock httpx leaks pool slots when calls are cancelled (encode/httpcore#1093), and a gateway's deadlines are
cancellations; over `AiohttpTransport` no slot is lost (measured in tests/wire/test_cancellation.py).
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from ..network import Proxy, TlsTrust, usual_trust
from . import aiohttp_session
from .content_coding import decode_body
from .wire import (
    WireConnectionError,
    WireInvalidResponse,
    WireRequest,
    WireResponse,
    WireResponseTooLarge,
    WireTimeout,
)


class HttpxWire:
    """base_url: scheme, host, port and an optional path in front; connections: open at most; max_body: bytes of a
    response after decoding; at: connect to this IP address instead of asking DNS for the host; trust: the upstream's
    TLS settings; proxy: for the hosts that it applies to."""

    def __init__(
        self,
        base_url: str,
        *,
        connections: int,
        max_body: int,
        at: str | None = None,
        trust: TlsTrust | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self._max_body = max_body
        self._base = base_url
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(
                client=lambda: aiohttp_session.session(connections, at, trust, proxy),
                # Not used. Without it the library makes a new context, which takes 30 ms.
                verify=usual_trust().context,
            ),
            timeout=None,  # noqa: S113 - each attempt has a time limit, see pipeline.py
            trust_env=False,
            follow_redirects=False,
        )
        # An upstream's Set-Cookie must never travel on to another caller's request.
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._client.headers.clear()

    async def send(self, request: WireRequest) -> WireResponse:
        outgoing = httpx.Request(
            request.method, self._base + request.target, headers=dict(request.headers), content=request.body
        )
        responded = False
        aiohttp_session.opened.set(False)
        try:
            response = await self._client.send(outgoing, stream=True)
            responded = True
            try:
                if response.status_code == 101:
                    raise WireInvalidResponse("it switched protocols")
                if response.headers.get("transfer-encoding", "chunked").lower() != "chunked":
                    raise WireInvalidResponse("its transfer coding is not supported")
                body = await self._read(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise _wire_error(error, responded) from error
        headers = {name: value for name, value in response.headers.items() if request.passes(name)}
        body = decode_body(body, response.headers.get("content-encoding"), self._max_body)
        return WireResponse(response.status_code, headers, body)

    async def _read(self, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > self._max_body:
                raise WireResponseTooLarge(f"more than {self._max_body} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def close(self) -> None:
        await self._client.aclose()


def _wire_error(error: Exception, responded: bool) -> WireConnectionError | WireInvalidResponse | WireTimeout:
    # The transport maps every lost connection to httpx.ConnectTimeout. Only the cause, aiohttp's exception,
    # distinguishes a lost connection from a timeout.
    cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__ or error
    return aiohttp_session.wire_error(cause, responded=responded)
