"""Where Redis is and how to come in: an address read from a URL, a socket, and the words said first on it.

`redis://[user:password@]host:port/db`, `rediss://` for TLS (with redis-py's `ssl_*` options in the query), `unix://`;
`redis+sentinel://` is read in `sentinel.py`.
Promises a connection that is ready, or an OSError or RedisError; refuses URLs it cannot read when they are given.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url

from .wire import Packable, Slot, Watch, Wire, pack


@dataclass(frozen=True, slots=True)
class Address:
    """A node: host and port, or path; greeting: what is said before anything else."""

    host: str
    port: int
    path: str | None
    tls: ssl.SSLContext | None
    greeting: tuple[tuple[Packable, ...], ...]


def address_of(url: str) -> Address:
    """Raises ValueError for a URL that cannot be read."""
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.pop("connection_class", Connection)
    # redis-py knows what each option means; the connection it makes of them is never opened.
    known: Any = kind(**{name: value for name, value in options.items() if name not in _OF_POOLS})
    greeting: list[tuple[Packable, ...]] = []
    if known.password:
        greeting.append(("AUTH", *([known.username] if known.username else []), known.password))
    if known.db:
        greeting.append(("SELECT", known.db))
    tls = known.ssl_context.get() if issubclass(kind, SSLConnection) else None
    if issubclass(kind, UnixDomainSocketConnection):
        return Address("", 0, known.path, None, (*greeting, ("PING",)))
    return Address(known.host, int(known.port), None, tls, (*greeting, ("PING",)))


_OF_POOLS = ("max_connections", "timeout")


async def dial(address: Address, watch: Watch, said: list[Any] | None = None) -> Wire:
    """Open a connection and say the greeting; said: takes the answers. Raises OSError, RedisError. Bound it from
    outside."""
    loop = asyncio.get_running_loop()
    if address.path is not None:
        _, wire = await loop.create_unix_connection(lambda: Wire(watch), address.path)
    else:
        _, wire = await loop.create_connection(
            lambda: Wire(watch),
            address.host,
            address.port,
            ssl=address.tls,
            server_hostname=address.host if address.tls else None,
        )
    try:
        slot = Slot(loop.create_future(), watch.ticks, 1, len(address.greeting))
        wire.write(b"".join(pack(words) for words in address.greeting), slot)
        for answer in await slot.future:
            if isinstance(answer, Exception):
                raise answer
            if said is not None:
                said.append(answer)
    except BaseException:
        wire.cut(ConnectionAbortedError("not ready"))
        raise
    return wire
