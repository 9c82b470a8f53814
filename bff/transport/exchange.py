"""Exchanges with a service whose bodies are streamed both ways, for forwards.

The framing is always our own: aiohttp makes the request's and reads the response's, consumes interim responses and
drops trailers. Reading is paused while nobody takes the bytes, in both directions. Nothing is decoded, repeated or
stored. A response whose body is cut ends with an error, never as if it were whole.

aiohttp is imported by a thread for the first exchange of a process: most gateways have none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..network import Proxy, TlsTrust

if TYPE_CHECKING:
    from .aiohttp_exchange import AiohttpExchanges


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """target: path and query as they are sent; headers: lower-case names; body: None for none; length: of the body,
    None where it is not known."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: AsyncIterator[bytes] | None = None
    length: int | None = None


class ExchangeResponse(Protocol):
    """status, headers (lower-case names; each character of a value is one byte as it came), and the body by `chunks`.
    `close` must be called: the connection is used again only when the body was read to its end."""

    status: int
    headers: list[tuple[str, str]]

    def chunks(self) -> AsyncIterator[bytes]:
        """The pieces of the body as they arrive. Raises WireError when it is cut."""

    def close(self) -> None: ...


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
        self._base_url = base_url
        self._connections = connections
        self._at = at
        self._trust = trust
        self._proxy = proxy
        self._opened: AiohttpExchanges | None = None

    async def open(self, request: ExchangeRequest) -> ExchangeResponse:
        """Send the request; returns when the head of the response has arrived, which may be before all of the request
        was sent. Raises WireError; what `body` raises ends the connection and is raised as it is."""
        if self._opened is None:
            kind = await asyncio.to_thread(_aiohttp_exchanges)
            # Another exchange may have waited for the import, too.
            self._opened = self._opened or kind(
                self._base_url,
                connections=self._connections,
                at=self._at,
                trust=self._trust,
                proxy=self._proxy,
            )
        return await self._opened.open(request)

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()


def _aiohttp_exchanges() -> type[AiohttpExchanges]:
    from .aiohttp_exchange import AiohttpExchanges

    return AiohttpExchanges
