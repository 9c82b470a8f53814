"""The way to Redis for every service: a bounded client that tries once. Guarantees that a task cancelled in the middle
of a command stops, and that a connection the server has closed is a `ConnectionError`. Refuses to retry."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost


class _Sturdy:
    # The driver sends under `asyncio.wait_for`, which in Python 3.11 loses a cancellation that comes just as the send
    # is done: a consumer told to stop would read on for ever. And uvloop's word for a connection just closed is
    # RuntimeError, after which the driver would hand the dead connection to the next command.
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


class _Connection(_Sturdy, Connection):
    pass


class _SSLConnection(_Sturdy, SSLConnection):
    pass


def redis_client(url: str, *, timeout: float = 1.0, connections: int = 16) -> Redis:
    """timeout: seconds for one command; connecting, and waiting for a free connection, take a second at most."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=1.0,
        socket_timeout=timeout,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 0),
    )
    secure = issubclass(pool.connection_class, SSLConnection)
    pool.connection_class = _SSLConnection if secure else _Connection
    return Redis.from_pool(pool)
