"""Exchanges with a service whose bodies are streamed both ways, for forwards.

The framing is always our own: aiohttp makes the request's and reads the response's, consumes interim responses and
drops trailers. Reading is paused while nobody takes the bytes, in both directions. Nothing is decoded, repeated or
stored. A response whose body is cut ends with an error, never as if it were whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from ..network import Proxy, TlsTrust
from . import aiohttp_session
from .wire import WireInvalidResponse


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """target: path and query as they are sent; headers: lower-case names; body: None for none; length: of the body,
    None where it is not known."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: AsyncIterator[bytes] | None = None
    length: int | None = None


class ExchangeResponse:
    """status, headers (lower-case names), and the body by `chunks`. `close` must be called: the connection is used
    again only when the body was read to its end."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = [(name.lower(), value) for name, value in response.headers.items()]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The pieces of the body as they arrive. Raises WireError when it is cut."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise aiohttp_session.wire_error(error, responded=True) from error

    def close(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Exchanges:
    """The exchanges with one backend, on connections of their own.

    base_url: scheme, host, port and an optional path in front; connections: open at most; at: connect to this IP
    address instead of asking DNS; trust: the upstream's TLS settings; proxy: for the hosts that it applies to.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connections: int,
        at: str | None = None,
        trust: TlsTrust | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        self._scheme, self._authority, self._prefix = parts.scheme, parts.netloc, parts.path
        self._connections = connections
        self._at = at
        self._trust = trust
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def open(self, request: ExchangeRequest) -> ExchangeResponse:
        """Send the request; returns when the head of the response has arrived, which may be before all of the request
        was sent. Raises WireError; what `body` raises ends the connection and is raised as it is."""
        session = self._session
        if session is None:
            session = self._session = aiohttp_session.session(
                self._connections, self._at, self._trust, self._proxy
            )
        aiohttp_session.opened.set(False)
        path, _, query = request.target.partition("?")
        url = URL.build(
            scheme=self._scheme,
            authority=self._authority,
            path=self._prefix + path,
            query_string=query,
            encoded=True,
        )
        headers = list(request.headers)
        if request.body is not None and request.length is not None:
            headers.append(("content-length", str(request.length)))
        failed: list[Exception] = []
        body = None if request.body is None else _watched(request.body, failed)
        try:
            response = await session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            if failed:
                raise failed[0] from error
            raise aiohttp_session.wire_error(error, responded=False) from error
        if (
            response.status == 101
            or response.headers.get("transfer-encoding", "chunked").lower() != "chunked"
        ):
            response.close()
            raise WireInvalidResponse("it switched protocols, or its transfer coding is not supported")
        return ExchangeResponse(response)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)


async def _watched(body: AsyncIterator[bytes], failed: list[Exception]) -> AsyncIterator[bytes]:
    """The body; what it raises is kept, for the library reports a lost connection instead."""
    try:
        async for chunk in body:
            yield chunk
    except Exception as error:
        failed.append(error)
        raise
