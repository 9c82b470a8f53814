"""A master that Sentinels monitor. The Sentinels are asked for each connection, so that after a failover the next
connection goes to the new master; a server that is not the master is refused. A replaced master does not notice that
for some ten seconds, so a Sentinel is also asked every second.

`redis+sentinel://[user:password@]host:port,host:port/<master>/<db>?sentinel_password=…`; user and password are those of
Redis. `rediss+sentinel://` uses TLS for the Sentinels and the master.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field, replace
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

from ...network import TlsTrust
from .address import NodeAddress, ServerAddress, parse_address, split_nodes
from .connection import ConnectionObserver, MultiplexedConnection, connect
from .login import LoginSource

PORT = 26379


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """sentinels: their addresses; master: its name; handshake: the commands to send to it first; url: for redis-py,
    with a host that it does not use; login, sentinel_login: authenticate before the handshake, at the master and at the
    Sentinels; trust: for all of them."""

    sentinels: tuple[ServerAddress, ...]
    master: str
    handshake: tuple[tuple[str | int, ...], ...] = field(repr=False)
    url: str = field(repr=False)
    sentinel_password: str | None = field(repr=False)
    login: LoginSource | None = None
    trust: TlsTrust | None = None
    sentinel_login: LoginSource | None = None


def parse_sentinel_address(
    url: str,
    *,
    login: LoginSource | None = None,
    trust: TlsTrust | None = None,
    sentinel_login: LoginSource | None = None,
) -> SentinelAddress:
    """The Sentinels and the master in a URL. sentinel_login: authenticates at the Sentinels, where the URL has no
    password for them. Raises ValueError for a URL that cannot be read."""
    addresses, alone = split_nodes(url, PORT)
    master, _, db = alone.path.strip("/").partition("/")
    if not master or not addresses:
        raise ValueError(
            "redis+sentinel:// needs its Sentinels and the master's name: host:port,host:port/name"
        )
    query = dict(parse_qsl(alone.query))
    secret = query.pop("sentinel_password", None)
    plain = alone._replace(path=f"/{db or 0}", query=urlencode(query)).geturl()
    server = parse_address(plain)
    handshake: tuple[tuple[str | int, ...], ...] = ((("AUTH", secret),) if secret else ()) + (
        ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master),
    )
    return SentinelAddress(
        tuple(
            replace(server, host=host, port=port, handshake=handshake, trust=trust, login=sentinel_login)
            for host, port in addresses
        ),
        master,
        (*server.handshake[:-1], ("ROLE",)),
        plain,
        secret,
        login,
        trust,
        sentinel_login,
    )


class SentinelMaster:
    """Opens connections to the master.

    generation  changes each time another server becomes the master: connections to the last one must be closed
    """

    def __init__(self, address: SentinelAddress) -> None:
        self.generation = 0
        self._address = address
        self._turns = itertools.count()
        self._master_address: NodeAddress | None = None

    async def connect(self, observer: ConnectionObserver) -> MultiplexedConnection:
        """Connect to the server that the first answering Sentinel names, if that server confirms that it is the master.
        A silent Sentinel uses the whole time of the attempt, so the next attempt begins with another Sentinel.

        Has no time limit. Raises OSError, RedisError.
        """
        error: Exception = NoMaster(f"no Sentinel knows a master called {self._address.master}")
        for sentinel in self._sentinels():
            try:
                address = await _ask_master(sentinel, observer)
            except (OSError, RedisError) as refused:
                error = refused
                continue
            if address is None:
                continue
            replies: list[Any] = []
            server = replace(
                sentinel,
                host=address[0],
                port=address[1],
                handshake=self._address.handshake,
                login=self._address.login,
            )
            connection = await connect(server, observer, replies)
            if replies[-1][0] == b"master":
                self.generation += self._master_address not in (None, address)
                self._master_address = address
                return connection
            connection.abort(ConnectionAbortedError("not the master"))
            error = NoMaster(f"{address[0]}:{address[1]} is no longer the master")
        raise error

    async def has_moved(self, observer: ConnectionObserver) -> bool:
        """Whether the first answering Sentinel names another master than the connected one. Has no time limit. Raises
        OSError, RedisError."""
        for sentinel in self._sentinels():
            with contextlib.suppress(OSError, RedisError):
                return await _ask_master(sentinel, observer) not in (None, self._master_address)
        return False

    def _sentinels(self) -> list[ServerAddress]:
        sentinels = self._address.sentinels
        turn = next(self._turns) % len(sentinels)
        return [*sentinels[turn:], *sentinels[:turn]]


async def _ask_master(sentinel: ServerAddress, observer: ConnectionObserver) -> NodeAddress | None:
    replies: list[Any] = []
    connection = await connect(sentinel, observer, replies)
    connection.abort(ConnectionAbortedError("the Sentinel has answered"))
    return (replies[-1][0].decode(), int(replies[-1][1])) if replies[-1] else None


class _Pool(SentinelConnectionPool):
    """A pool that also closes its connections to the Sentinels."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def master_pool(
    address: SentinelAddress, kind: Any, options: dict[str, Any], sentinel_options: dict[str, Any]
) -> ConnectionPool:
    """redis-py's pool of connections to the master. kind: a mixin for the connections; sentinel_options: further ones
    of the connections to the Sentinels."""
    known: dict[str, Any] = dict(parse_url(address.url))
    tls = issubclass(known.pop("connection_class", object), SSLConnection)
    known = {name: value for name, value in known.items() if name not in ("host", "port", *options)}
    manager = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's is
        [(sentinel.host, sentinel.port) for sentinel in address.sentinels],
        # A silent Sentinel takes the time of one attempt to connect; by default redis-py makes four.
        sentinel_kwargs={"password": address.sentinel_password, "ssl": tls}
        | {name: options[name] for name in ("socket_connect_timeout", "retry", "protocol", "driver_info")}
        | {"socket_timeout": options["socket_connect_timeout"]}
        | {name: value for name, value in known.items() if name.startswith("ssl_")}
        | sentinel_options,
    )
    managed = SentinelManagedSSLConnection if tls else SentinelManagedConnection
    return _Pool(  # type: ignore[no-untyped-call]  # redis-py's is
        address.master,
        manager,
        connection_class=type("MasterConnection", (kind, managed), {}),
        **known,
        **options,
    )
