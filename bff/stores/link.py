"""The link to Redis (or Valkey): one bounded pool, one way of failing, scripts by name.

Nothing here retries: a command takes at most `timeout` seconds and then the caller hears `StoreUnavailable`, whatever
the driver said. Deciding what to do without Redis belongs to the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import NoScriptError, RedisError

from ..calls import BffError

log = logging.getLogger("bff.stores")

_LUA = Path(__file__).with_name("lua")
_INCLUDE = "--#include"


class StoreUnavailable(BffError):
    """Redis could not be reached in time or would not carry the command out. Its cause is the driver's error."""

    code = "unavailable"


@contextlib.contextmanager
def reaching(what: str) -> Iterator[None]:
    """Turn any failure to reach or use Redis inside the block into StoreUnavailable."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{what}: {type(error).__name__}: {error}") from error


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


class _Connection(_Sturdy, Connection):
    pass


class _SSLConnection(_Sturdy, SSLConnection):
    pass


def pool_of(
    url: str, *, connections: int, timeout: float, wait: float | None = None
) -> BlockingConnectionPool:
    """A bounded pool without retries. timeout: seconds for a command; wait: for connecting or a free one."""
    wait = timeout if wait is None else wait
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=wait,
        socket_timeout=timeout,
        socket_connect_timeout=wait,
        retry=Retry(NoBackoff(), 0),
        # RESP2 and no driver info: a new connection is usable after its connect, with no extra round trips.
        protocol=2,
        driver_info=None,
    )
    secure = issubclass(pool.connection_class, SSLConnection)
    pool.connection_class = _SSLConnection if secure else _Connection
    return pool


class Script:
    """One atomic step: `await script(keys, args)`. Loads itself again after Redis lost it (restart, failover).

    Raises StoreUnavailable.
    """

    def __init__(self, client: Redis, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._client: Any = client  # redis-py types evalsha's answer as a union with the synchronous client's
        self._sha: str | None = None

    async def __call__(
        self, keys: Sequence[str | bytes], args: Sequence[str | bytes | int | float] = ()
    ) -> Any:
        with reaching(f"script {self.name}"):
            if self._sha is None:
                self._sha = await self._client.script_load(self.text)
            try:
                return await self._client.evalsha(self._sha, len(keys), *keys, *args)
            except NoScriptError:
                self._sha = await self._client.script_load(self.text)
                return await self._client.evalsha(self._sha, len(keys), *keys, *args)


def _read(name: str) -> str:
    text = (_LUA / f"{name}.lua").read_text(encoding="utf-8")
    first, _, rest = text.partition("\n")
    if first.startswith(_INCLUDE):
        return _read(first.removeprefix(_INCLUDE).strip()) + rest
    return text


class RedisLink:
    """A pool of at most `connections` connections; a command, a connect and a wait for a free connection each take
    at most `timeout` seconds (default 0.5). Answers are bytes.

    client   a `redis.asyncio.Redis`; wrap its use in `reaching()`
    """

    def __init__(self, url: str, *, timeout: float = 0.5, connections: int = 32) -> None:
        self.url = url
        self.timeout = timeout
        self.client: Redis = self._open(timeout=timeout, connections=connections)
        self._scripts: dict[str, Script] = {}

    def _open(self, *, timeout: float, connections: int) -> Redis:
        pool = pool_of(self.url, connections=connections, timeout=timeout, wait=self.timeout)
        return Redis.from_pool(pool)

    def dedicated(self, *, timeout: float) -> Redis:
        """A client with one connection of its own for blocking reads or pub/sub, `timeout` seconds for a read.

        The caller closes it with `aclose()`.
        """
        return self._open(timeout=timeout, connections=1)

    def script(self, name: str) -> Script:
        """The script `lua/<name>.lua`, read once; a first line `--#include other` puts that file before it."""
        if name not in self._scripts:
            self._scripts[name] = Script(self.client, name, _read(name))
        return self._scripts[name]

    async def ping(self) -> None:
        """Return when Redis answers; raises StoreUnavailable."""
        with reaching("ping"):
            await self.client.ping()

    async def close(self) -> None:
        """Close every connection. Never raises for a connection that is already gone."""
        try:
            await self.client.aclose()
        except (RedisError, OSError) as error:
            log.debug("closing the link: %s", error)

    async def __aenter__(self) -> RedisLink:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
