"""A master that Sentinels watch over, found anew for each connection: after a failover the next connection is the new
master's, for one that is none any more is refused.

`redis+sentinel://[user:password@]host:port,host:port/<master>/<db>?sentinel_password=…`; user and password are Redis's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio.connection import ConnectionPool
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.exceptions import ConnectionError as NoMaster
from redis.exceptions import RedisError

from .dial import Address, dial
from .wire import Packable, Watch, Wire

PORT = 26379


@dataclass(frozen=True, slots=True)
class Watched:
    """sentinels: where they are; master: how they call it; greeting: what is said to it first."""

    sentinels: tuple[Address, ...]
    master: str
    username: str | None
    password: str | None
    sentinel_password: str | None
    db: int

    @property
    def greeting(self) -> tuple[tuple[Packable, ...], ...]:
        said: list[tuple[Packable, ...]] = []
        if self.password:
            said.append(("AUTH", *([self.username] if self.username else []), self.password))
        if self.db:
            said.append(("SELECT", self.db))
        return (*said, ("ROLE",))


def watched_of(url: str) -> Watched:
    """Raises ValueError for a URL that cannot be read."""
    parts = urlsplit(url)
    signed, _, places = parts.netloc.rpartition("@")
    username, _, password = signed.partition(":")
    master, _, db = parts.path.strip("/").partition("/")
    secret = parse_qs(parts.query).get("sentinel_password", [""])[0] or None
    if not master or not places:
        raise ValueError(
            "redis+sentinel:// needs its Sentinels and the master's name: host:port,host:port/name"
        )
    greeting: tuple[tuple[Packable, ...], ...] = ((("AUTH", secret),) if secret else ()) + (
        ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master),
    )
    sentinels = []
    for place in places.split(","):
        host, _, port = place.partition(":")
        sentinels.append(Address(host, int(port or PORT), None, None, greeting))
    return Watched(
        tuple(sentinels),
        master,
        unquote(username) or None,
        unquote(password) or None,
        secret,
        int(db or 0),
    )


async def dial_master(watched: Watched, watch: Watch, turn: int = 0) -> Wire:
    """Open a connection to whom the first Sentinel that answers calls master, if it says so itself. turn: which one is
    asked first; a silent one costs an attempt its time, so the next attempt begins with another.

    Raises OSError, RedisError. Bound it from outside.
    """
    error: Exception = NoMaster(f"no Sentinel knows a master called {watched.master}")
    turn %= len(watched.sentinels)
    for sentinel in watched.sentinels[turn:] + watched.sentinels[:turn]:
        asked: list[Any] = []
        try:
            wire = await dial(sentinel, watch, asked)
        except (OSError, RedisError) as refused:
            error = refused
            continue
        wire.cut(ConnectionAbortedError("it has answered"))
        if not asked[-1]:
            continue
        host, port = asked[-1]
        said: list[Any] = []
        master = await dial(
            replace(sentinel, host=host.decode(), port=int(port), greeting=watched.greeting), watch, said
        )
        if said[-1][0] == b"master":
            return master
        master.cut(ConnectionAbortedError("not the master"))
        error = NoMaster(f"{host.decode()}:{port.decode()} is not the master any more")
    raise error


class _Pool(SentinelConnectionPool):
    """One that closes what it asked the Sentinels with, too."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        for one in self.sentinel_manager.sentinels:
            await one.aclose()


def pool_of_master(watched: Watched, kind: Any, options: dict[str, Any]) -> ConnectionPool:
    """redis-py's pool of connections to the master. kind: what is mixed into them."""
    manager = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's is
        [(one.host, one.port) for one in watched.sentinels],
        sentinel_kwargs={"password": watched.sentinel_password, "protocol": 2, "driver_info": None}
        | {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")},
    )
    return _Pool(  # type: ignore[no-untyped-call]  # redis-py's is
        watched.master,
        manager,
        connection_class=type("MasterConnection", (kind, SentinelManagedConnection), {}),
        username=watched.username,
        password=watched.password,
        db=watched.db,
        **options,
    )
