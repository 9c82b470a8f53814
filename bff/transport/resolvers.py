"""Resolvers return the addresses of an upstream. Here are those for a static list, DNS and a file; a gateway may have
others (`Gateway(resolvers=…)`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class BackendAddress:
    """The address of one instance of an upstream.

    url  base address: `http://` or `https://`, a host, and optionally a port and a path
    at   IP address to connect to, without asking DNS; the Host header and TLS still use the host of `url`
    """

    url: str
    at: str | None = None

    @property
    def name(self) -> str:
        """Scheme, host and port, for logs and metrics; the host is `at` where it is given."""
        parts = urlsplit(self.url)
        if self.at is None:
            return f"{parts.scheme}://{parts.netloc}"
        host = f"[{self.at}]" if ":" in self.at else self.at
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return f"{parts.scheme}://{host}:{port}"


class Resolver(Protocol):
    """Resolves the addresses of one upstream while the gateway serves.

    The gateway calls `resolve` once before it serves, for at most 2 s, and then every `interval` seconds. Until a call
    has succeeded it uses the upstream's `url` and `balance.urls` from the settings. A new address gets calls at once.
    An address that is no longer returned gets no new call, and its connections are closed when its calls have ended.
    """

    @property
    def interval(self) -> float:
        """Seconds between two calls of `resolve`; 0: it is called once."""

    async def resolve(self) -> Sequence[BackendAddress]:
        """All current addresses, 1 to 256; an empty sequence when they have not changed. An exception, or an address
        that is not valid, is logged, and the last addresses stay in use."""


@dataclass(frozen=True, slots=True)
class ResolverContext:
    """The arguments of a resolver: the upstream's name and its settings.

    service   the upstream's name
    urls      base addresses: `url`, then `balance.urls`; never empty
    interval  `balance.resolve`, seconds; 0 where it is not set
    file      `balance.file`
    look      `balance.look`, seconds between two checks of the file
    """

    service: str
    urls: tuple[str, ...]
    interval: float = 0.0
    file: Path | None = None
    look: float = 1.0


class ResolverFactory(Protocol):
    """Makes the resolver of one upstream when the gateway starts. It must not wait for anything. It raises ValueError
    for wrong settings; the start then fails with a message that names them. A class whose constructor takes only the
    context is a factory."""

    def __call__(self, context: ResolverContext, /) -> Resolver: ...


class StaticResolver:
    """Returns the addresses of the settings, which never change."""

    interval = 0.0

    def __init__(self, context: ResolverContext) -> None:
        self._addresses = [BackendAddress(url) for url in context.urls]

    async def resolve(self) -> Sequence[BackendAddress]:
        return self._addresses


class DnsResolver:
    """Returns every IP address that DNS has for the host of the first base address. interval: default 30 s."""

    def __init__(self, context: ResolverContext) -> None:
        self.url = context.urls[0]
        self.interval = context.interval or 30.0

    async def resolve(self) -> Sequence[BackendAddress]:
        parts = urlsplit(self.url)
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM
        )
        return [BackendAddress(self.url, ip) for ip in sorted({str(entry[4][0]) for entry in found})]


class FileResolver:
    """Returns the base addresses in a file, one in each line; # begins a comment. The file is read when it changes."""

    def __init__(self, context: ResolverContext) -> None:
        if context.file is None:
            raise ValueError("set BALANCE__FILE to the file with the addresses")
        self._file = context.file
        self.interval = context.look
        self.version: tuple[int, int] | None = None
        """Modification time and size of the file that was read last; None: it could not be read."""

    async def resolve(self) -> Sequence[BackendAddress]:
        before, self.version = self.version, None
        state = self._file.stat()
        version = (state.st_mtime_ns, state.st_size)
        if version == before:
            self.version = version
            return []
        text = self._file.read_text(encoding="utf-8")
        self.version = version
        lines = [line.partition("#")[0].strip().rstrip("/") for line in text.splitlines()]
        urls = list(dict.fromkeys(line for line in lines if line))
        if not urls:
            raise ValueError(f"{self._file} has no address")
        return [BackendAddress(url) for url in urls]


RESOLVERS: Mapping[str, ResolverFactory] = {
    "static": StaticResolver,
    "dns": DnsResolver,
    "file": FileResolver,
}
"""The resolvers that every gateway has, by their names in the settings."""
