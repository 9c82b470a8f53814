"""aiohttp's connections to one backend: bounded, kept alive for a moment, and with a record of which were new.

A session stores nothing of a request: no cookies. It uses the given proxy and none from the environment, and adds no
headers. It never repeats a request; the caller decides that, and must know whether a lost connection had been used
before (a stale keep-alive connection) or had just been opened (a service that is down).
"""

from __future__ import annotations

import contextvars
import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ..network import Proxy, TlsTrust, usual_trust
from .wire import KEEP_ALIVE, WireConnectionError, WireInvalidResponse, WireTimeout

opened: contextvars.ContextVar[bool] = contextvars.ContextVar("bff_connection_opened", default=False)
"""Whether a connection was opened for the request that is sent in this context."""


class _Connector(aiohttp.TCPConnector):
    """trust: new connections are opened with its current context; proxy: leads to the hosts that it applies to."""

    def __init__(self, trust: TlsTrust, proxy: Proxy | None, **options: Any) -> None:
        super().__init__(**options)
        self._trust = trust
        self._proxy = proxy

    async def connect(self, req: Any, *args: Any, **options: Any) -> Any:
        if req.is_ssl():
            # aiohttp finds idle connections by this context, too: after a change of certificates no old one is used.
            req._ssl = self._trust.context
        if self._proxy is not None and self._proxy.applies_to(req.url.raw_host or ""):
            # For each request, because the password may change; idle connections are found by it, too.
            req.update_proxy(URL(self._proxy.url), None, None)
        return await super().connect(req, *args, **options)

    async def _create_connection(self, *args: Any, **options: Any) -> Any:
        # Runs in the sender's own task, and only when there was no idle connection.
        opened.set(True)
        return await super()._create_connection(*args, **options)


class _FixedAddress(AbstractResolver):
    """Resolves every name to one IP address. The Host header and TLS still use the name."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            {
                "hostname": host,
                "host": self._address,
                "port": port,
                "family": family,
                "proto": socket.IPPROTO_TCP,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        return


def session(
    connections: int, at: str | None = None, trust: TlsTrust | None = None, proxy: Proxy | None = None
) -> aiohttp.ClientSession:
    """A new session. Must be called on the loop it will serve.

    connections  open at most; further requests wait for one
    at           the IP address to connect to, whatever the name; None asks DNS. Not for hosts that the proxy applies to
    trust        the TLS settings of this upstream; None: the usual authorities, and no client certificate
    proxy        for the hosts that it applies to; None: every connection is direct
    """
    options: dict[str, Any] = {
        "limit": connections,
        "keepalive_timeout": KEEP_ALIVE,
        "resolver": _FixedAddress(at) if at else None,
    }
    made = aiohttp.ClientSession(
        connector=_Connector(trust or usual_trust(), proxy, **options),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        # content_coding.py undoes codings in the same way for all wires.
        auto_decompress=False,
        # Each attempt has a time limit of its own, see pipeline.py; a second timer would cost and decide nothing.
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
    )
    # By default the library repeats PUT and DELETE when a connection was lost, with or without an idempotency key.
    made._retry_connection = False
    return made


def wire_error(
    error: BaseException, *, responded: bool
) -> WireConnectionError | WireInvalidResponse | WireTimeout:
    """The library's error as an error of wire.py. responded: the head of the response had arrived."""
    if isinstance(error, TimeoutError):
        return WireTimeout(type(error).__name__)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return WireConnectionError(f"the proxy answered CONNECT with {error.status}", stale=False)
    if isinstance(error, aiohttp.ClientResponseError):
        return WireInvalidResponse(f"it is not valid HTTP: {type(error).__name__}")
    connecting = isinstance(error, aiohttp.ClientConnectorError)
    lost = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not connecting
    return WireConnectionError(type(error).__name__, stale=lost and not responded and not opened.get())
