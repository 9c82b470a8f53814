"""The backends of one upstream at run time: each address with its wire. A resolver updates them.

When the resolver fails, the last addresses stay in use. A removed address gets no new call, and its connections are
closed when its calls have ended, after at most 60 s.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from ..calls.shutdown import cancel_tasks, close_all
from ..network import Network, Proxy, TlsTrust
from ..policies.balance import Backend, Balancer, Strategy
from ..policies.events import Observer, ignore
from .exchanges import Exchanges
from .h1_wire import H1Wire
from .resolvers import BackendAddress, Resolver, ResolverContext, StaticResolver
from .wire import Wire, WireConnectionError

if TYPE_CHECKING:
    from .aiohttp_wire import AiohttpWire
    from .httpx_wire import HttpxWire

log = logging.getLogger("bff.transport")

# Seconds that calls to a removed address may take until its connections are closed.
LINGER = 60.0
# Seconds that the first resolution may take before the gateway serves.
FIRST = 2.0
# More addresses than this are refused as a mistake of the resolver.
MAX_ADDRESSES = 256

WireName = Literal["h1", "aiohttp", "httpx"]
OpenWire = Callable[[str, str | None], Wire]
OpenExchanges = Callable[[str, str | None], Exchanges]


def open_wire(name: WireName, *, connections: int, max_body: int, network: Network | None = None) -> OpenWire:
    """Returns a function that makes a wire for (base address, IP address to connect to or None). `h1` knows neither TLS
    nor a proxy: an https:// address, or one behind the proxy, gets aiohttp's wire instead."""
    ways = network or Network()

    def opened(url: str, at: str | None) -> Wire:
        proxy = _proxy(ways, url, at)
        if name == "h1" and proxy is None and urlsplit(url).scheme == "http":
            return H1Wire(url, connections=connections, max_body=max_body, at=at)
        kind = _httpx_wire() if name == "httpx" else _aiohttp_wire()
        return kind(url, connections=connections, max_body=max_body, at=at, trust=ways.trust, proxy=proxy)

    return opened


# The libraries are imported for the upstreams that need them: for addresses of the settings before the gateway serves.
def _httpx_wire() -> type[HttpxWire]:
    from .httpx_wire import HttpxWire

    return HttpxWire


def _aiohttp_wire() -> type[AiohttpWire]:
    from .aiohttp_wire import AiohttpWire

    return AiohttpWire


def open_exchanges(*, connections: int, network: Network) -> OpenExchanges:
    """As `open_wire`, for forwarded exchanges."""

    def opened(url: str, at: str | None) -> Exchanges:
        proxy = _proxy(network, url, at)
        return Exchanges(url, connections=connections, at=at, trust=network.trust, proxy=proxy)

    return opened


def _proxy(network: Network, url: str, at: str | None) -> Proxy | None:
    proxy = network.proxy_for(urlsplit(url).hostname or "")
    if proxy is not None and at is not None:
        raise ValueError(
            f"{url} is reached through the proxy, which looks up its host itself: name it in BFF_NETWORK__NO_PROXY, or "
            "leave out what resolves its addresses"
        )
    return proxy


class DynamicBackends:
    """One upstream's backends behind a balance.

    service    the upstream's name
    urls       base addresses until the resolver has resolved some; at least one
    open_wire  makes the wire of an address
    open_exchanges  makes the streaming side of an address; None: nothing is forwarded to it
    resolver   updates the addresses; default: they do not change
    trust      the TLS settings of its wires; its certificate files are watched from `start` to `close`

    For the other arguments see `Balancer`.
    """

    def __init__(
        self,
        service: str,
        urls: Sequence[str],
        open_wire: OpenWire,
        *,
        open_exchanges: OpenExchanges | None = None,
        resolver: Resolver | None = None,
        trust: TlsTrust | None = None,
        how: Strategy = "least-pending",
        failures: int = 5,
        eject_for: float = 10.0,
        at_most: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        below: Callable[[int], int] = random.randrange,
        observe: Observer = ignore,
    ) -> None:
        self._service = service
        self._open = open_wire
        self._open_exchanges = open_exchanges
        self.resolver = resolver or StaticResolver(ResolverContext(service, tuple(urls)))
        self._trust = trust
        self._clock = clock
        self._problem = ""
        self._known: dict[BackendAddress, Backend[Wire]] = {}
        self._removed: list[tuple[float, Backend[Wire]]] = []
        self._exchanges: dict[Backend[Wire], Exchanges] = {}
        self._resolving: asyncio.Task[None] | None = None
        self.balance: Balancer[Wire] = Balancer(
            service,
            [self._backend(BackendAddress(url)) for url in urls],
            how=how,
            failures=failures,
            eject_for=eject_for,
            at_most=at_most,
            clock=clock,
            below=below,
            observe=observe,
        )
        # Bound once: they are called for each attempt.
        self.pick = self.balance.pick
        self.record_success = self.balance.record_success
        self.record_failure = self.balance.record_failure

    def exchanges(self, backend: Backend[Wire]) -> Exchanges:
        found = self._exchanges.get(backend)
        if found is None:
            raise WireConnectionError("its address is not used any more", stale=False)
        return found

    def __iter__(self) -> Iterator[Backend[Wire]]:
        return iter(self.balance.addresses)

    async def start(self) -> None:
        """Resolve the addresses, and keep them and the certificates current until `close`."""
        if self._trust is not None:
            self._trust.watch.start()
        if self._resolving is None:
            try:
                async with asyncio.timeout(FIRST):
                    await self.refresh()
            except TimeoutError:
                self._report(f"not resolved within {FIRST:g} s")
            if self.resolver.interval > 0:
                self._resolving = asyncio.create_task(self._resolve(), name=f"addresses of {self._service}")

    async def _resolve(self) -> None:
        while True:
            await asyncio.sleep(self.resolver.interval)
            await self.refresh()

    async def refresh(self) -> None:
        """Resolve once, now. Never raises."""
        try:
            addresses = list(dict.fromkeys(await self.resolver.resolve()))
            if addresses:
                self._check(addresses)
                self._use(addresses)
                self._problem = ""
            await self._close_removed()
        except Exception as error:
            self._report(str(error) or type(error).__name__, error)

    def _check(self, addresses: Sequence[BackendAddress]) -> None:
        if len(addresses) > MAX_ADDRESSES:
            raise ValueError(f"{len(addresses)} addresses, at most {MAX_ADDRESSES} are used")
        for address in addresses:
            if not _is_base(address.url):
                raise ValueError(f"not a base address: {address.url}")
            if self._trust is not None and urlsplit(address.url).scheme != "https":
                raise ValueError(f"tls is set, but {address.url} is not https://")

    def _use(self, addresses: Sequence[BackendAddress]) -> None:
        if set(addresses) == set(self._known):
            return
        removed = self.balance.replace([self._backend(address) for address in addresses])
        self._known = {address: backend for address, backend in self._known.items() if address in addresses}
        self._removed += [(self._clock() + LINGER, backend) for backend in removed]
        names = [address.name for address in addresses]
        log.info("addresses changed", extra={"fields": {"upstream": self._service, "addresses": names}})

    def _backend(self, address: BackendAddress) -> Backend[Wire]:
        known = self._known.get(address)
        if known is None:
            known = self._known[address] = Backend(
                address.name, self._open(address.url, address.at), url=address.url.rstrip("/")
            )
            if self._open_exchanges is not None:
                self._exchanges[known] = self._open_exchanges(address.url, address.at)
        return known

    def _report(self, why: str, error: Exception | None = None) -> None:
        """Log why the addresses were not resolved. The same reason is logged once."""
        if why == self._problem:
            return
        self._problem = why
        # The text of an OSError or ValueError is enough; anything else may be a bug of the resolver.
        log.warning(
            "addresses cannot be resolved; the last ones stay in use",
            extra={"fields": {"upstream": self._service, "why": why}},
            exc_info=None if isinstance(error, OSError | ValueError) else error,
        )

    async def _close_removed(self) -> None:
        now = self._clock()
        ended = [entry for entry in self._removed if entry[1].pending == 0 or entry[0] <= now]
        self._removed = [entry for entry in self._removed if entry not in ended]
        for _, backend in ended:
            await self._close(backend)

    async def close(self) -> None:
        """Stop resolving and close every connection."""
        resolving, self._resolving = self._resolving, None
        removed, self._removed = self._removed, []
        closings = [] if self._trust is None else [("the watch of certificates", self._trust.watch.close)]
        if resolving is not None:
            closings.append(("the resolver of addresses", partial(cancel_tasks, [resolving])))
        for backend in (*self.balance.addresses, *(backend for _, backend in removed)):
            closings.append(
                (f"the connections to {self._service} at {backend.name}", partial(self._close, backend))
            )
        await close_all(closings)

    async def _close(self, backend: Backend[Wire]) -> None:
        exchanges = self._exchanges.pop(backend, None)
        await backend.wire.close()
        if exchanges is not None:
            await exchanges.close()


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and not (parts.query or parts.fragment or parts.username)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return False
