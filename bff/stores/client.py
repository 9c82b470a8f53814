"""redis-py's vocabulary over the link's one connection, and its own connections for what cannot share one.

Promises the answers redis-py would give. Blocking commands, and those that change the connection they run on, take a
connection of redis-py's pool; pub/sub and blocking reads in a loop take one of their own (`RedisLink.dedicated`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.exceptions import ConnectionError as ConnectionLost

from .cluster import nodes_of
from .dial import Place
from .sentinel import pool_of_master, watched_of
from .wire import Packable

if TYPE_CHECKING:
    from .link import RedisLink

_APART = re.compile(
    r"AUTH|B[LRZ]\w+|CLIENT|DISCARD|EXEC|HELLO|MONITOR|MULTI|QUIT|RESET|SELECT|P?S?SUBSCRIBE|U?N?WATCH|WAIT\w*"
)
"""Commands that wait, or that change the connection they come over."""


class Client(Redis):
    """A `redis.asyncio.Redis` whose commands and pipelines go over the link."""

    def __init__(self, link: RedisLink, pool: ConnectionPool) -> None:
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True
        self._link = link

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if _APART.fullmatch(str(args[0]).partition(" ")[0].upper()) or any(
            one in ("BLOCK", b"BLOCK") for one in args
        ):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py's is
        return self._made(args[0], await self._link.call(*_words(args)), options)

    def _made(self, name: str, answer: Any, options: dict[str, Any]) -> Any:
        """What redis-py makes of an answer."""
        for aside in (NEVER_DECODE, EMPTY_RESPONSE, "keys"):
            options.pop(aside, None)
        made = self.response_callbacks.get(name)
        return answer if made is None else made(answer, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self, transaction)


class _Pipeline(Pipeline):
    """Commands in one write. A transaction is MULTI … EXEC in it: nobody else's command comes between."""

    def __init__(self, client: Client, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack: list[Any] = self.command_stack
        if self.watching or self.scripts:
            return await super().execute(raise_on_error)
        commands: list[Sequence[Packable]] = [_words(args) for args, _ in stack]
        try:
            if not commands:
                return []
            if self.is_transaction or self.explicit_transaction:
                told = await self._client._link.batch([("MULTI",), *commands, ("EXEC",)])
                refused = next((one for one in told if isinstance(one, Exception)), None)
                if refused is not None:
                    raise refused
                answers: list[Any] = told[-1]
            else:
                answers = await self._client._link.batch(commands)
            if raise_on_error:
                self.raise_first_error(stack, answers)
            return [
                answer
                if isinstance(answer, Exception)
                else self._client._made(args[0], answer, dict(options))
                for answer, (args, options) in zip(answers, stack, strict=True)
            ]
        finally:
            await self.reset()  # type: ignore[no-untyped-call]  # redis-py's is


def _words(args: Sequence[Any]) -> Sequence[Packable]:
    """A command's name may be two words."""
    name = args[0]
    return (*name.split(), *args[1:]) if " " in name else args


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

    def __init__(self, *, places: Iterator[Place], **options: Any) -> None:
        super().__init__(**options)
        self._places = places

    async def _connect(self) -> None:
        self.host, self.port = next(self._places)
        await super()._connect()  # type: ignore[misc]  # a mixin


def pool_of(
    url: str,
    *,
    connections: int,
    timeout: float,
    wait: float | None = None,
    places: Iterator[Place] | None = None,
) -> ConnectionPool:
    """A bounded pool without retries. timeout: seconds for a command; wait: for connecting or a free one; places: the
    nodes of a cluster to connect to, one after the other."""
    wait = timeout if wait is None else wait
    options: dict[str, Any] = {
        "max_connections": connections,
        "socket_timeout": timeout,
        "socket_connect_timeout": wait,
        "retry": Retry(NoBackoff(), 0),
        # RESP2 and no driver info: a new connection is usable after its connect, with no extra round trips.
        "protocol": 2,
        "driver_info": None,
    }
    if urlsplit(url).scheme.endswith("+sentinel"):
        return pool_of_master(watched_of(url), _Sturdy, options)
    if places is not None:
        options["places"] = places
        url = nodes_of(url)[1]
    pool = BlockingConnectionPool.from_url(url, timeout=wait, **options)
    kind = pool.connection_class
    pool.connection_class = type(kind.__name__, (_Sturdy if places is None else _Placed, kind), {})
    return pool
