"""A master that Sentinels watch over, found anew for each connection: after a failover the next connection is the new
master's, for one that is none any more is refused. One that was relieved does not know it for some ten seconds: a
Sentinel is asked every second.

`redis+sentinel://[user:password@]host:port,host:port/<master>/<db>?sentinel_password=…`; user and password are Redis's.
`rediss+sentinel://`: the Sentinels and the master by TLS.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from redis.asyncio.connection import ConnectionPool, SSLConnection, parse_url
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.exceptions import ConnectionError as NoMaster
from redis.exceptions import RedisError

from .address import NodeAddress, ServerAddress, parse_address, split_nodes
from .connection import ConnectionObserver, MultiplexedConnection, connect

PORT = 26379


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """sentinels: where they are; master: how they call it; handshake: what is said to it first; url: it, at a place it
    may not be at, as redis-py reads it."""

    sentinels: tuple[ServerAddress, ...]
    master: str
    handshake: tuple[tuple[str | int, ...], ...]
    url: str
    sentinel_password: str | None


def parse_sentinel_address(url: str) -> SentinelAddress:
    """Raises ValueError for a URL that cannot be read."""
    places, alone = split_nodes(url, PORT)
    master, _, db = alone.path.strip("/").partition("/")
    if not master or not places:
        raise ValueError(
            "redis+sentinel:// needs its Sentinels and the master's name: host:port,host:port/name"
        )
    query = dict(parse_qsl(alone.query))
    secret = query.pop("sentinel_password", None)
    plain = alone._replace(path=f"/{db or 0}", query=urlencode(query)).geturl()
    one = parse_address(plain)
    handshake: tuple[tuple[str | int, ...], ...] = ((("AUTH", secret),) if secret else ()) + (
        ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master),
    )
    return SentinelAddress(
        tuple(replace(one, host=host, port=port, handshake=handshake) for host, port in places),
        master,
        (*one.handshake[:-1], ("ROLE",)),
        plain,
        secret,
    )


class SentinelMaster:
    """The way to it.

    era  another number each time another was found to be the master: what is connected to the last one is to leave it
    """

    def __init__(self, watched: SentinelAddress) -> None:
        self.generation = 0
        self._watched = watched
        self._turns = itertools.count()
        self._at: NodeAddress | None = None

    async def connect(self, watch: ConnectionObserver) -> MultiplexedConnection:
        """Open a connection to whom the first Sentinel that answers calls master, if it says so itself. A silent one
        costs an attempt its time, so the next attempt begins with another.

        Raises OSError, RedisError. Bound it from outside.
        """
        error: Exception = NoMaster(f"no Sentinel knows a master called {self._watched.master}")
        for sentinel in self._sentinels():
            try:
                place = await _named(sentinel, watch)
            except (OSError, RedisError) as refused:
                error = refused
                continue
            if place is None:
                continue
            said: list[Any] = []
            there = replace(sentinel, host=place[0], port=place[1], handshake=self._watched.handshake)
            wire = await connect(there, watch, said)
            if said[-1][0] == b"master":
                self.generation += self._at not in (None, place)
                self._at = place
                return wire
            wire.abort(ConnectionAbortedError("not the master"))
            error = NoMaster(f"{place[0]}:{place[1]} is not the master any more")
        raise error

    async def has_moved(self, watch: ConnectionObserver) -> bool:
        """Whether the first Sentinel that answers calls another one master than we are connected to. Raises OSError,
        RedisError. Bound it from outside."""
        for sentinel in self._sentinels():
            with contextlib.suppress(OSError, RedisError):
                return await _named(sentinel, watch) not in (None, self._at)
        return False

    def _sentinels(self) -> list[ServerAddress]:
        everyone = self._watched.sentinels
        turn = next(self._turns) % len(everyone)
        return [*everyone[turn:], *everyone[:turn]]


async def _named(sentinel: ServerAddress, watch: ConnectionObserver) -> NodeAddress | None:
    asked: list[Any] = []
    wire = await connect(sentinel, watch, asked)
    wire.abort(ConnectionAbortedError("it has answered"))
    return (asked[-1][0].decode(), int(asked[-1][1])) if asked[-1] else None


class _Pool(SentinelConnectionPool):
    """One that closes what it asked the Sentinels with, too."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        for one in self.sentinel_manager.sentinels:
            await one.aclose()


def master_pool(watched: SentinelAddress, kind: Any, options: dict[str, Any]) -> ConnectionPool:
    """redis-py's pool of connections to the master. kind: what is mixed into them."""
    known: dict[str, Any] = dict(parse_url(watched.url))
    tls = issubclass(known.pop("connection_class", object), SSLConnection)
    known = {name: value for name, value in known.items() if name not in ("host", "port", *options)}
    manager = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's is
        [(one.host, one.port) for one in watched.sentinels],
        # One that is silent costs the time of a connect and no more: left to itself redis-py asks it four times.
        sentinel_kwargs={"password": watched.sentinel_password, "ssl": tls}
        | {name: options[name] for name in ("socket_connect_timeout", "retry", "protocol", "driver_info")}
        | {"socket_timeout": options["socket_connect_timeout"]}
        | {name: value for name, value in known.items() if name.startswith("ssl_")},
    )
    managed = SentinelManagedSSLConnection if tls else SentinelManagedConnection
    return _Pool(  # type: ignore[no-untyped-call]  # redis-py's is
        watched.master,
        manager,
        connection_class=type("MasterConnection", (kind, managed), {}),
        **known,
        **options,
    )
