"""Connections to one upstream, over aiohttp: bounded, kept alive for a moment, and honest about which were new.

Nothing of a request stays behind: no cookies, no proxy from the environment, no header of the library's own, and no
sending again by the library itself. Whoever sends decides about that, and must know whether a connection that was
lost had been used before (a stale keep-alive socket) or had just been opened (a service that is down).
"""

from __future__ import annotations

import contextvars
import socket
import ssl
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

from .tls import TlsTrust
from .wire import WireBroken, WireInvalid, WireTimeout

# Shorter than the five seconds after which common servers (uvicorn) close an idle connection, so that a write is not
# sent into one that is just being closed.
KEEP_ALIVE = 4.0

opened: contextvars.ContextVar[bool] = contextvars.ContextVar("bff_connection_opened", default=False)
"""Whether the request being sent in this context had a connection opened for it."""


@lru_cache(maxsize=1)
def tls() -> ssl.SSLContext:
    """One for all: reading the certificate authorities takes 30 ms, which a gateway would pay for each upstream."""
    return httpx.create_ssl_context(trust_env=False)


class _Connector(aiohttp.TCPConnector):
    async def _create_connection(self, *args: Any, **options: Any) -> Any:
        # Runs in the sender's own task, and only when no idle connection was there.
        opened.set(True)
        return await super()._create_connection(*args, **options)


class _Trusting(_Connector):
    """trust: what connections are opened with now."""

    def __init__(self, trust: TlsTrust, **options: Any) -> None:
        super().__init__(**options)
        self._trust = trust

    async def connect(self, req: Any, *args: Any, **options: Any) -> Any:
        if req.is_ssl():
            # It is part of what an idle connection is found by: after a change of certificates no old one is.
            req._ssl = self._trust.context
        return await super().connect(req, *args, **options)


class _Pinned(AbstractResolver):
    """Every name is at one IP address: the name stays in the Host header and in TLS."""

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


def session(connections: int, at: str | None = None, trust: TlsTrust | None = None) -> aiohttp.ClientSession:
    """A new session. Must be called on the loop it will serve.

    connections  open at most; who comes then waits for one
    at           the IP address to connect to, whatever the name; None asks DNS
    trust        TLS of this upstream's own; None: the usual authorities, and no certificate of ours
    """
    options: dict[str, Any] = {
        "limit": connections,
        "keepalive_timeout": KEEP_ALIVE,
        "resolver": _Pinned(at) if at else None,
    }
    made = aiohttp.ClientSession(
        connector=_Connector(ssl=tls(), **options) if trust is None else _Trusting(trust, **options),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        # Each attempt has a time limit of its own, see chain.py; a second timer would cost and decide nothing.
        # Undone in one way for all wires, see coding.py.
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
    )
    # The library sends PUT and DELETE again by itself when a connection was lost, keyed or not.
    made._retry_connection = False
    return made


def wire_error(error: BaseException, *, answered: bool) -> WireBroken | WireInvalid | WireTimeout:
    """What the chain is told. answered: the head of the answer had arrived."""
    if isinstance(error, TimeoutError):
        return WireTimeout(type(error).__name__)
    if isinstance(error, aiohttp.ClientResponseError):
        # What came is no HTTP answer that can be believed.
        return WireInvalid(f"no valid HTTP answer: {type(error).__name__}")
    connecting = isinstance(error, aiohttp.ClientConnectorError)
    lost = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not connecting
    return WireBroken(type(error).__name__, dropped=lost and not answered and not opened.get())
