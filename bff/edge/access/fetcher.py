"""The gateway's HTTP requests to an identity provider, over aiohttp.

Guarantees an answer within a time and a size, or FetchFailed. Follows no redirect, keeps no cookie, and uses no proxy
of the environment: an answer comes from the address that was configured or discovered, or from the inner address that
the settings give to it, or not at all.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from ...calls.shutdown import close_all
from ...network import Network
from ...transport.aiohttp_wire import AiohttpWire
from ...transport.wire import WireError, WireRequest
from .fetch import FetchFailed, FetchResponse, FetchTarget

MAX_ORIGINS = 64
"""Origins with open connections; the least recently used one is closed first. The settings and the discovery documents
name them, so a gateway has a few."""


class Fetcher:
    """timeout: seconds for the whole answer (default 2); max_body: bytes of it (default 65,536); connections: open to
    one origin at most (default 16); network: for origins without a target.

    A request to an inner address has the outer host in `Host`, as behind a proxy that keeps it, and the outer scheme
    and host in `X-Forwarded-Proto` and `X-Forwarded-Host`: a provider that makes its addresses from the request makes
    the outer ones. TLS verifies the inner host.
    """

    def __init__(
        self,
        *,
        timeout: float = 2.0,
        max_body: int = 65_536,
        connections: int = 16,
        network: Network | None = None,
        targets: Iterable[FetchTarget] = (),
    ) -> None:
        self._timeout = timeout
        self._max_body = max_body
        self._connections = connections
        self._network = network or Network()
        self._targets = {target.origin: target for target in targets}
        self._wires: OrderedDict[str, AiohttpWire] = OrderedDict()

    async def __call__(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> FetchResponse:
        try:
            origin, path = _split(url)
            sent = {"accept": "application/json", **(headers or {})}
            if (target := self._targets.get(origin)) is not None and target.inner != origin:
                scheme, _, host = origin.partition("://")
                sent |= {"host": host, "x-forwarded-host": host, "x-forwarded-proto": scheme}
            request = WireRequest(method, path, sent, body or None)
            async with asyncio.timeout(self._timeout):
                answer = await (await self._wire(origin)).send(request)
        except TimeoutError:
            raise FetchFailed(f"{url} did not answer within {self._timeout:g} s") from None
        except (WireError, ValueError) as error:
            raise FetchFailed(f"{url}: {_reason(error)}") from error
        return answer.status, answer.headers, answer.body

    async def _wire(self, origin: str) -> AiohttpWire:
        wire = self._wires.get(origin)
        if wire is None:
            target = self._targets.get(origin, FetchTarget(origin, origin, self._network))
            network = target.network
            wire = self._wires[origin] = AiohttpWire(
                target.inner,
                connections=self._connections,
                max_body=self._max_body,
                trust=network.trust,
                proxy=network.proxy_for(urlsplit(target.inner).hostname or ""),
            )
            if len(self._wires) > MAX_ORIGINS:
                await self._wires.popitem(last=False)[1].close()
        self._wires.move_to_end(origin)
        return wire

    async def close(self) -> None:
        await close_all(
            [(f"the connections to {origin}", wire.close) for origin, wire in self._wires.items()]
        )


def _split(url: str) -> tuple[str, str]:
    """Origin and the rest. Raises ValueError for what is no http(s) address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("not an http:// or https:// address")
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}", f"{parts.path or '/'}{query}"


def _reason(error: BaseException) -> str:
    """The error, with the cause that says what to do: a certificate that is not trusted, a name that is not known."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            # aiohttp's own error is of this class, too, without the message.
            return f"its certificate is not accepted: {getattr(cause, 'verify_message', None) or cause}"
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    return f"{type(error).__name__}: {error}"
