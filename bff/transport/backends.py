"""The addresses of one upstream at run time: each with a wire of its own, kept up to date while the gateway serves.

They are a fixed list, or what DNS says of the upstream's host (asked again every so often), or the lines of a file that
is looked at every so often. What cannot be had or read changes nothing: the addresses last known stay. An address that
is gone gets no new call, and its connections are closed once its calls are over.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ..calls.ending import close_all, end_tasks
from ..policies.balance import Backend, Balance, How
from ..policies.events import Observer, ignore
from .aiohttp_wire import AiohttpWire
from .h1_wire import H1Wire
from .httpx_wire import HttpxWire
from .tls import TlsTrust
from .wire import Wire

log = logging.getLogger("bff.transport")

# Seconds that calls to an address which is gone may still take.
LINGER = 60.0
# A file or an answer of DNS with more addresses than this is a mistake.
MOST = 256

WireName = Literal["h1", "aiohttp", "httpx"]
OpenWire = Callable[[str, str | None], Wire]


def open_wire(name: WireName, *, connections: int, max_body: int, trust: TlsTrust | None = None) -> OpenWire:
    """Makes a wire for (base address, IP address to connect to or None). `h1` speaks no TLS: an https:// address gets
    aiohttp's wire in its place."""

    def opened(url: str, at: str | None) -> Wire:
        if name == "h1" and urlsplit(url).scheme == "http":
            return H1Wire(url, connections=connections, max_body=max_body, at=at)
        kind = HttpxWire if name == "httpx" else AiohttpWire
        return kind(url, connections=connections, max_body=max_body, at=at, trust=trust)

    return opened


@dataclass(frozen=True, slots=True)
class BackendAddress:
    """A base address; `at` the IP address to connect to in place of asking DNS."""

    url: str
    at: str | None = None

    @property
    def name(self) -> str:
        """Scheme, host and port; the host is the IP address where there is one."""
        parts = urlsplit(self.url)
        if self.at is None:
            return f"{parts.scheme}://{parts.netloc}"
        host = f"[{self.at}]" if ":" in self.at else self.at
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return f"{parts.scheme}://{host}:{port}"


class DynamicBackends:
    """One upstream's addresses behind a balance.

    service    the upstream's name
    urls       base addresses, at least one
    open_wire  makes the wire of a place
    resolve    seconds between two questions to DNS for the first url's host; 0 (default) leaves DNS to the connections
    file       a file with one base address a line (# begins a comment); it wins over `urls` once it can be read
    look       seconds between two looks at the file, default 1
    trust      the certificates of its wires, kept up to date as the addresses are
    the rest   see `Balance`
    """

    def __init__(
        self,
        service: str,
        urls: Sequence[str],
        open_wire: OpenWire,
        *,
        resolve: float = 0.0,
        file: Path | None = None,
        look: float = 1.0,
        trust: TlsTrust | None = None,
        how: How = "least-pending",
        failures: int = 5,
        eject_for: float = 10.0,
        at_most: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        below: Callable[[int], int] = random.randrange,
        observe: Observer = ignore,
    ) -> None:
        self._service = service
        self._urls = tuple(urls)
        self._open = open_wire
        self._resolve = resolve
        self._file = file
        self._every = look if file is not None else resolve
        self._trust = trust
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._known: dict[BackendAddress, Backend[Wire]] = {}
        self._leaving: list[tuple[float, Backend[Wire]]] = []
        self._watching: asyncio.Task[None] | None = None
        backends = self._in_file() or [BackendAddress(url) for url in urls]
        self.balance: Balance[Wire] = Balance(
            service,
            [self._address(backend) for backend in backends],
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
        self.succeeded = self.balance.succeeded
        self.failed = self.balance.failed

    @property
    def watched(self) -> bool:
        """Whether the addresses can change."""
        return self._every > 0

    def __iter__(self) -> Iterator[Backend[Wire]]:
        return iter(self.balance.addresses)

    def start(self) -> None:
        """Keep them up to date until `close`."""
        if self._trust is not None:
            self._trust.watch.start()
        if self.watched and self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name=f"addresses of {self._service}")

    async def _watch(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception:
                # Whatever it is, calls go on to the addresses last known, and the next look may do.
                log.exception(
                    "addresses could not be looked up", extra={"fields": {"upstream": self._service}}
                )
            await asyncio.sleep(self._every)

    async def refresh(self) -> None:
        """Ask once, now."""
        backends = self._in_file() if self._file is not None else await self._in_dns()
        if backends:
            self._use(backends)
        await self._close_left()

    def _use(self, backends: Sequence[BackendAddress]) -> None:
        if set(backends) == set(self._known):
            return
        gone = self.balance.replace([self._address(backend) for backend in backends])
        self._known = {backend: one for backend, one in self._known.items() if backend in backends}
        self._leaving += [(self._clock() + LINGER, one) for one in gone]
        log.info(
            "addresses changed",
            extra={
                "fields": {"upstream": self._service, "addresses": [backend.name for backend in backends]}
            },
        )

    def _address(self, backend: BackendAddress) -> Backend[Wire]:
        known = self._known.get(backend)
        if known is None:
            known = self._known[backend] = Backend(backend.name, self._open(backend.url, backend.at))
        return known

    async def _in_dns(self) -> list[BackendAddress]:
        url = self._urls[0]
        parts = urlsplit(url)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM
            )
        except OSError as error:
            log.warning(
                "DNS gave no address; the last ones stay",
                extra={"fields": {"upstream": self._service, "why": str(error)}},
            )
            return []
        ips = sorted({str(one[4][0]) for one in found})[:MOST]
        return [BackendAddress(url, ip) for ip in ips]

    def _in_file(self) -> list[BackendAddress]:
        if self._file is None:
            return []
        try:
            state = self._file.stat()
            mark = (state.st_mtime_ns, state.st_size)
            if mark == self._seen:
                return []
            text = self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            if self._seen != (0, 0):
                self._complain(str(error))
            self._seen = (0, 0)
            return []
        self._seen = mark
        lines = [line.partition("#")[0].strip().rstrip("/") for line in text.splitlines()]
        urls = list(dict.fromkeys(line for line in lines if line))
        wrong = [
            url for url in urls if not _is_base(url) or (self._trust and urlsplit(url).scheme != "https")
        ]
        if wrong or not urls or len(urls) > MOST:
            self._complain(f"not a base address: {wrong[0]}" if wrong else f"{len(urls)} addresses")
            return []
        return [BackendAddress(url) for url in urls]

    def _complain(self, why: str) -> None:
        log.warning(
            "the file of addresses cannot be used; the last ones stay",
            extra={"fields": {"upstream": self._service, "file": str(self._file), "why": why}},
        )

    async def _close_left(self) -> None:
        now = self._clock()
        over = [(end, one) for end, one in self._leaving if one.pending == 0 or end <= now]
        self._leaving = [left for left in self._leaving if left not in over]
        for _, one in over:
            await one.wire.close()

    async def close(self) -> None:
        """Look no more and close every connection."""
        watching, self._watching = self._watching, None
        leaving, self._leaving = self._leaving, []
        every = [*self.balance.addresses, *(left for _, left in leaving)]
        await close_all(
            [
                *(
                    [("the watch of certificates", self._trust.watch.close)]
                    if self._trust is not None
                    else []
                ),
                *(
                    [("the watch of addresses", partial(end_tasks, [watching]))]
                    if watching is not None
                    else []
                ),
                *((f"the connections to {self._service} at {one.name}", one.wire.close) for one in every),
            ]
        )


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
