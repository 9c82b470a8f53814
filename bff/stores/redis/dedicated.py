"""redis-py connections for blocking reads and pub/sub, which cannot share the multiplexed connection.

A pool has one connection, works around two bugs of the driver in sending, and does not retry.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as ConnectionLost

from ...network import TlsTrust
from .address import NodeAddress
from .cluster import parse_cluster_address
from .login import LoginSource
from .sentinel import SentinelAddress, master_pool


class _PatchedConnection:
    """Works around two bugs of the driver.

    The driver sends inside `asyncio.wait_for`, which in Python 3.11 loses a cancellation that comes just when the send
    has ended, so that a cancelled task would continue. `asyncio.timeout` does not lose it, and needs no task for each
    command. Writing to a connection that the server has just closed raises RuntimeError in uvloop, after which the
    driver would use the closed connection again.
    """

    socket_timeout: float | None

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        timeout, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(timeout):
                await super().send_packed_command(command, check_health)  # type: ignore[misc]  # a mixin
        except RuntimeError as error:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]  # a mixin
            raise ConnectionLost(f"the connection was closed: {error}") from error
        finally:
            self.socket_timeout = timeout


class _Credentials(CredentialProvider):
    """The driver's way to the login: asked for each connection."""

    def __init__(self, source: LoginSource) -> None:
        self._source = source

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        raise NotImplementedError("these connections are asynchronous")

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        login = await self._source.current()
        return (login.username, login.password) if login.username else (login.password,)


class _Context:
    """In place of the driver's holder of a TLS context: the trust's current one."""

    def __init__(self, trust: TlsTrust) -> None:
        self._trust = trust

    def get(self) -> ssl.SSLContext:
        return self._trust.context


def _trusting(kind: Any, trust: TlsTrust | None) -> Any:
    """The class of connections, with the trust's context for TLS."""
    if trust is None:
        return kind

    def init(self: Any, **options: Any) -> None:
        kind.__init__(self, **options)
        self.ssl_context = _Context(trust)

    return type(kind.__name__, (kind,), {"__init__": init})


class _ClusterConnection(_PatchedConnection):
    """Connects to the next node of a cluster."""

    def __init__(self, *, nodes: Iterator[NodeAddress], **options: Any) -> None:
        super().__init__(**options)
        self._nodes = nodes

    async def _connect(self) -> None:
        self.host, self.port = next(self._nodes)
        await super()._connect()  # type: ignore[misc]  # a mixin


def dedicated_pool(
    url: str,
    *,
    timeout: float,
    wait: float,
    nodes: Iterator[NodeAddress] | None = None,
    login: LoginSource | None = None,
    trust: TlsTrust | None = None,
    watched: SentinelAddress | None = None,
) -> ConnectionPool:
    """A pool of one connection. timeout: seconds for a command; wait: seconds to connect, or until it is free; nodes:
    the nodes of a cluster to try, one after the other; login: authenticates it; trust: TLS settings in place of the
    URL's; watched: the Sentinels that name the server."""
    options: dict[str, Any] = {
        "max_connections": 1,
        "socket_timeout": timeout,
        "socket_connect_timeout": wait,
        "retry": Retry(NoBackoff(), 0),
        # RESP2 and no driver info: a new connection is usable after its connect, with no extra round trips.
        "protocol": 2,
        "driver_info": None,
    }
    if login is not None:
        options["credential_provider"] = _Credentials(login)
    if watched is not None:
        own = watched.sentinel_login
        sentinel_options = {} if own is None else {"credential_provider": _Credentials(own)}
        pool = master_pool(watched, _PatchedConnection, options, sentinel_options)
        if trust is not None:
            pool.connection_class = _trusting(pool.connection_class, trust)
            for sentinel in pool.sentinel_manager.sentinels:  # type: ignore[attr-defined]  # of Sentinels' pools
                inner = sentinel.connection_pool
                inner.connection_class = _trusting(inner.connection_class, trust)
        return pool
    if nodes is not None:
        options["nodes"] = nodes
        url = parse_cluster_address(url)[1]
    pool = BlockingConnectionPool.from_url(url, timeout=wait, **options)
    driver_class = pool.connection_class
    mixin = _PatchedConnection if nodes is None else _ClusterConnection
    pool.connection_class = _trusting(type(driver_class.__name__, (mixin, driver_class), {}), trust)
    return pool
