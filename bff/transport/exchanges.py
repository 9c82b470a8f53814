"""The exchanges with one backend.

aiohttp is imported by a thread for the first exchange of a process, because most gateways have none, and whether a view
answers with a download shows only then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..network import Proxy, TlsTrust
from .exchange import ExchangeRequest, ExchangeResponse

if TYPE_CHECKING:
    from .aiohttp_exchange import AiohttpExchanges


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
