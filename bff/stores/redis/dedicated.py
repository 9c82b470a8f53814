"""redis-py connections for blocking reads and pub/sub, which cannot share the multiplexed connection.

A pool has one connection, works around two bugs of the driver in sending, and does not retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost

from .address import NodeAddress, scheme_of
from .cluster import parse_cluster_address
from .sentinel import master_pool, parse_sentinel_address


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


class _ClusterConnection(_PatchedConnection):
    """Connects to the next node of a cluster."""

    def __init__(self, *, nodes: Iterator[NodeAddress], **options: Any) -> None:
        super().__init__(**options)
        self._nodes = nodes

    async def _connect(self) -> None:
        self.host, self.port = next(self._nodes)
        await super()._connect()  # type: ignore[misc]  # a mixin


def dedicated_pool(
    url: str, *, timeout: float, wait: float, nodes: Iterator[NodeAddress] | None = None
) -> ConnectionPool:
    """A pool of one connection. timeout: seconds for a command; wait: seconds to connect, or until it is free; nodes:
    the nodes of a cluster to try, one after the other."""
    options: dict[str, Any] = {
        "max_connections": 1,
        "socket_timeout": timeout,
        "socket_connect_timeout": wait,
        "retry": Retry(NoBackoff(), 0),
        # RESP2 and no driver info: a new connection is usable after its connect, with no extra round trips.
        "protocol": 2,
        "driver_info": None,
    }
    if scheme_of(url).endswith("+sentinel"):
        return master_pool(parse_sentinel_address(url), _PatchedConnection, options)
    if nodes is not None:
        options["nodes"] = nodes
        url = parse_cluster_address(url)[1]
    pool = BlockingConnectionPool.from_url(url, timeout=wait, **options)
    driver_class = pool.connection_class
    mixin = _PatchedConnection if nodes is None else _ClusterConnection
    pool.connection_class = type(driver_class.__name__, (mixin, driver_class), {})
    return pool
