"""Addresses of Redis servers, read from URLs.

`redis://[user:password@]host:port/db`, `rediss://` for TLS (with redis-py's `ssl_*` options in the query), `unix://`.
`redis+sentinel://` and `redis+cluster://` name several nodes and are read in `sentinel.py` and `cluster.py`; with
`rediss` all their connections use TLS, with the same options. URLs and certificate files that cannot be read are
refused.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

from ...network import TlsTrust
from .login import LoginSource

NodeAddress = tuple[str, int]
_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server: host and port, or path; handshake: the commands to send first; login: authenticates before them; trust:
    its current TLS context is used instead of `tls`."""

    host: str
    port: int
    path: str | None
    tls: ssl.SSLContext | None
    handshake: tuple[tuple[str | int, ...], ...] = field(repr=False)
    login: LoginSource | None = None
    trust: TlsTrust | None = None

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS context of the next connection; None: without TLS."""
        return self.tls if self.tls is None or self.trust is None else self.trust.context


def split_nodes(url: str, port: int) -> tuple[list[NodeAddress], SplitResult]:
    """The nodes named by `host:port,host:port` (port: the default), and the URL of the first one alone, with its path
    and query unchanged. Raises ValueError."""
    # `urlsplit` gets one node at a time: it would read several as one host, which may not contain brackets
    # (CVE-2025-0938).
    authority, rest = _AUTHORITY.fullmatch(url.partition("://")[2]).groups()  # type: ignore[union-attr] # of any text
    userinfo, at, hosts = authority.rpartition("@")
    split = [urlsplit(f"//{host}") for host in hosts.split(",")] if hosts else []
    nodes = [(node.hostname or "", node.port or port) for node in split]
    scheme = scheme_of(url).partition("+")[0]
    return nodes, urlsplit(f"{scheme}://{userinfo}{at}{hosts.partition(',')[0]}{rest}")


_AUTHORITY = re.compile(r"([^/?#]*)(.*)", re.DOTALL)


def scheme_of(url: str) -> str:
    """The scheme of a URL: `redis`, `rediss+cluster` and so on."""
    return url.partition(":")[0].lower()


def parse_address(url: str) -> ServerAddress:
    """The server that a URL names. Raises ValueError for an unreadable URL or unreadable certificate files."""
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.pop("connection_class", Connection)
    # redis-py interprets the options; the connection object made here is never opened.
    try:
        known: Any = kind(**{name: value for name, value in options.items() if name not in _POOL_OPTIONS})
    except TypeError as error:
        raise ValueError(f"unknown option in the address of Redis: {error}") from error
    try:
        tls = known.ssl_context.get() if issubclass(kind, SSLConnection) else None
    except (OSError, RedisError) as error:
        files = ", ".join(f"{name}={options[name]}" for name in _FILES if name in options)
        raise ValueError(f"the files for TLS to Redis cannot be used ({files}): {error}") from error
    handshake: list[tuple[str | int, ...]] = []
    if known.password:
        handshake.append(("AUTH", *([known.username] if known.username else []), known.password))
    if known.db:
        handshake.append(("SELECT", known.db))
    if issubclass(kind, UnixDomainSocketConnection):
        return ServerAddress("", 0, known.path, None, (*handshake, ("PING",)))
    return ServerAddress(known.host, int(known.port), None, tls, (*handshake, ("PING",)))


_POOL_OPTIONS = ("max_connections", "timeout")
