"""redis-py's connections, for what cannot share the link's one: blocking reads and pub/sub.

Promises one connection a pool, with two faults of the driver's sending mended, and no retries.
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


class _Sturdy:
    """Two faults of sending mended.

    The driver sends under `asyncio.wait_for`, which in Python 3.11 loses a cancellation that comes just as the send is
    done: a task told to stop would go on. `asyncio.timeout` does not, and spares a task for each command. And writing
    to a connection that the server has just closed is a RuntimeError in uvloop, after which the driver would hand the
    dead connection to the next one.
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


class _Placed(_Sturdy):
    """To the next node of a cluster that there is to try."""

    def __init__(self, *, places: Iterator[NodeAddress], **options: Any) -> None:
        super().__init__(**options)
        self._places = places

    async def _connect(self) -> None:
        self.host, self.port = next(self._places)
        await super()._connect()  # type: ignore[misc]  # a mixin


def dedicated_pool(
    url: str, *, timeout: float, wait: float, places: Iterator[NodeAddress] | None = None
) -> ConnectionPool:
    """A pool of one. timeout: seconds for a command; wait: for connecting, or until it is free; places: the nodes of a
    cluster to connect to, one after the other."""
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
        return master_pool(parse_sentinel_address(url), _Sturdy, options)
    if places is not None:
        options["places"] = places
        url = parse_cluster_address(url)[1]
    pool = BlockingConnectionPool.from_url(url, timeout=wait, **options)
    kind = pool.connection_class
    pool.connection_class = type(kind.__name__, (_Sturdy if places is None else _Placed, kind), {})
    return pool
