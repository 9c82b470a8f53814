"""Where Redis is and how to come in: an address read from a URL, a socket, and the words said first on it.

`redis://[user:password@]host:port/db`, `rediss://` for TLS (with redis-py's `ssl_*` options in the query), `unix://`;
`redis+sentinel://` and `redis+cluster://` name several places and are read in `sentinel.py` and `cluster.py`; with
`rediss` all of those are spoken to by TLS, by the same options.
Promises a connection that is ready, or an OSError or RedisError; refuses URLs it cannot read, and files of theirs,
when they are given.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

NodeAddress = tuple[str, int]
_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A node: host and port, or path; greeting: what is said before anything else."""

    host: str
    port: int
    path: str | None
    tls: ssl.SSLContext | None
    handshake: tuple[tuple[str | int, ...], ...]


def split_nodes(url: str, port: int) -> tuple[list[NodeAddress], SplitResult]:
    """The places that `host:port,host:port` names (port: where none is said), and the URL of the first one alone, its
    path and query untouched. Raises ValueError."""
    # `urlsplit` never sees several places: it takes them for one host, which has no brackets inside (CVE-2025-0938).
    authority, rest = _AUTHORITY.fullmatch(url.partition("://")[2]).groups()  # type: ignore[union-attr] # of any text
    signed, at, named = authority.rpartition("@")
    split = [urlsplit(f"//{one}") for one in named.split(",")] if named else []
    places = [(one.hostname or "", one.port or port) for one in split]
    scheme = scheme_of(url).partition("+")[0]
    return places, urlsplit(f"{scheme}://{signed}{at}{named.partition(',')[0]}{rest}")


_AUTHORITY = re.compile(r"([^/?#]*)(.*)", re.DOTALL)


def scheme_of(url: str) -> str:
    """`redis`, `rediss+cluster` and so on, whatever follows it."""
    return url.partition(":")[0].lower()


def parse_address(url: str) -> ServerAddress:
    """Raises ValueError for a URL that cannot be read, and for certificates it names that cannot."""
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.pop("connection_class", Connection)
    # redis-py knows what each option means; the connection it makes of them is never opened.
    try:
        known: Any = kind(**{name: value for name, value in options.items() if name not in _OF_POOLS})
    except TypeError as error:
        raise ValueError(f"an option in Redis's address is not known: {error}") from error
    try:
        tls = known.ssl_context.get() if issubclass(kind, SSLConnection) else None
    except (OSError, RedisError) as error:
        files = ", ".join(f"{name}={options[name]}" for name in _FILES if name in options)
        raise ValueError(f"what TLS to Redis is given cannot be used ({files}): {error}") from error
    greeting: list[tuple[str | int, ...]] = []
    if known.password:
        greeting.append(("AUTH", *([known.username] if known.username else []), known.password))
    if known.db:
        greeting.append(("SELECT", known.db))
    if issubclass(kind, UnixDomainSocketConnection):
        return ServerAddress("", 0, known.path, None, (*greeting, ("PING",)))
    return ServerAddress(known.host, int(known.port), None, tls, (*greeting, ("PING",)))


_OF_POOLS = ("max_connections", "timeout")
