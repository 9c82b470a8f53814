"""The link to Redis (or Valkey): one connection a node for a whole process, one way of failing, scripts by name.

Nothing here retries a command that may have been carried out: it takes at most its limit and then the caller hears
`StoreUnavailable`, whatever went wrong. Deciding what to do without Redis belongs to the caller.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ..keys import redis_key
from .address import NodeAddress, parse_address, scheme_of
from .cluster import Cluster
from .connection import Connect, Packable, StoreUnavailable, connect, pack
from .dedicated import dedicated_pool
from .node import Node
from .outage import OutageTracker
from .scripts import Script, Step, read, run_all
from .sentinel import SentinelMaster, parse_sentinel_address

__all__ = ["RedisClient", "Script", "StoreUnavailable", "raise_refusals", "store_errors"]

_PROBES = 128
"""Slots looked at for one of each node; of five nodes all are found but for once in 10^12."""


@contextlib.contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Turn any failure to reach or use Redis inside the block into StoreUnavailable."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{what}: {type(error).__name__}: {error}") from error


def raise_refusals(answers: list[Any]) -> list[Any]:
    """What `RedisClient.batch` answered, when Redis refused none of it. Raises the first refusal, a ResponseError."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


class RedisClient:
    """A command may take `timeout` seconds (default 0.5), at most `most` may be under way (default 10,000): one more is
    StoreUnavailable at once. Answers are bytes.

    url      `redis://`, `rediss://`, `unix://` (see dial.py), `redis+sentinel://` (sentinel.py), `redis+cluster://`
             (cluster.py)
    cluster  keys may lie on several nodes: one script takes those of one slot only
    condition  how it does, by what came of the commands
    publish  the command that publishes to a channel of a key's slot: in a cluster only that slot's node hears of it
    """

    def __init__(self, url: str, *, timeout: float = 0.5, most: int = 10_000) -> None:
        self.url = url
        self.timeout = timeout
        self.cluster = scheme_of(url).endswith("+cluster")
        self.publish_command = "SPUBLISH" if self.cluster else "PUBLISH"
        self._most = most
        self._master: SentinelMaster | None = None
        self.outage = OutageTracker("the cluster")
        self._nodes: Node | Cluster = Cluster(url, self._node, self.outage) if self.cluster else self._only()
        self._scripts: dict[str, Script] = {}
        self._probe = self.script("probe")

    def _node(self, connect: Connect, name: str) -> Node:
        return Node(connect, name, self.outage, timeout=self.timeout, most=self._most)

    def _only(self) -> Node:
        if not scheme_of(self.url).endswith("+sentinel"):
            address = parse_address(self.url)
            name = self.outage.name = address.path or f"{address.host}:{address.port}"
            return self._node(lambda watch: connect(address, watch), name)
        watched = parse_sentinel_address(self.url)
        self._master = master = SentinelMaster(watched)
        name = f"the master {watched.master}"
        self.outage.name = name
        return Node(
            master.connect, name, self.outage, timeout=self.timeout, most=self._most, moved=master.has_moved
        )

    @property
    def master_generation(self) -> int:
        """Another number each time Sentinels name another master: what is still connected to the last one is to leave
        it."""
        return 0 if self._master is None else self._master.generation

    @property
    def topology(self) -> dict[str, str | bool | int]:
        """What there is, to be shown: `kind` (single, sentinel, cluster), `tls`; of a cluster the `nodes` that are
        known, and how many of them are `away`."""
        scheme = scheme_of(self.url)
        shape: dict[str, str | bool | int] = {"kind": scheme.partition("+")[2] or "single"}
        shape["tls"] = scheme.startswith("rediss")
        if isinstance(self._nodes, Cluster):
            shape |= self._nodes.node_counts
        return shape

    @property
    def away(self) -> bool:
        """True while the last thing Redis did was not to answer; the first byte from it ends that."""
        return self._nodes.away

    async def call(self, *command: Packable, limit: float | None = None) -> Any:
        """Send one command; `limit` seconds instead of `timeout`. Raises StoreUnavailable, ResponseError (what Redis
        answered)."""
        nodes = self._nodes
        if isinstance(nodes, Node):
            return await nodes.submit(pack(command), None, limit)
        return await nodes.call(command, limit)

    async def batch(self, commands: Sequence[Sequence[Packable]], *, limit: float | None = None) -> list[Any]:
        """Send several in one write (a node), in this order, nobody else's between; what Redis refused stands as an
        exception in the list. Raises StoreUnavailable."""
        if not commands:
            return []
        nodes = self._nodes
        if isinstance(nodes, Node):
            answers: list[Any] = await nodes.submit(b"".join(map(pack, commands)), len(commands), limit)
            return answers
        return await nodes.batch(commands, limit)

    def dedicated(self, *, timeout: float, place: NodeAddress | None = None) -> Redis:
        """A client with one connection of its own for blocking reads or pub/sub, `timeout` seconds for a read. place:
        the node of a cluster, else any.

        The caller closes it with `aclose()`.
        """
        places: Iterator[NodeAddress] | None = None
        if isinstance(self._nodes, Cluster):
            places = self._nodes.candidates if place is None else itertools.repeat(place)
        return Redis.from_pool(dedicated_pool(self.url, timeout=timeout, wait=self.timeout, places=places))

    async def nodes_of(self, keys: Sequence[str]) -> list[NodeAddress | None]:
        """Which node of the cluster has each key's slot, None for nobody (by itself, a server has no slots). Raises
        StoreUnavailable."""
        nodes = self._nodes
        if isinstance(nodes, Node):
            return [None] * len(keys)
        return await nodes.nodes_of([key.encode() for key in keys])

    def node_of(self, key: str) -> NodeAddress | None:
        """The node of the cluster that has this key's slot, as far as is known; by itself, a server is None."""
        nodes = self._nodes
        return None if isinstance(nodes, Node) else nodes.node_of(key.encode())

    async def scan_keys(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """All keys that look so, some at a time; one that comes, or moves between nodes, meanwhile may be left out.
        Raises StoreUnavailable."""
        nodes = [self._nodes] if isinstance(self._nodes, Node) else await self._nodes.all_nodes()
        for node in nodes:
            cursor = b""
            while cursor != b"0":
                command = pack(("SCAN", cursor or b"0", "MATCH", pattern, "COUNT", 1000))
                cursor, found = await node.submit(command, None)
                if found:
                    yield found

    def expect_moved_slots(self) -> None:
        """A cluster's slots may have moved: ask again before the next use."""
        if isinstance(self._nodes, Cluster):
            self._nodes.expect_moved_slots()

    def script(self, name: str) -> Script:
        """The script `lua/<name>.lua`, read once; a first line `--#include other` puts that file before it."""
        if name not in self._scripts:
            self._scripts[name] = Script(self, name, read(name))
        return self._scripts[name]

    async def ping(self) -> None:
        """Return when Redis answers; raises StoreUnavailable."""
        with store_errors("ping"):
            await self.call("PING")

    async def probe(self) -> None:
        """Have every node do once what scripts do: read which life of the data it is, write a key. Raises
        StoreUnavailable."""
        keys = [redis_key(f"probe:{number}", "probe") for number in range(_PROBES if self.cluster else 1)]
        # One key for each node that has slots.
        once = dict(zip(await self.nodes_of(keys), keys, strict=True))
        await run_all(self, [Step(self._probe, [key], ()) for key in once.values()])

    async def call_all_nodes(self, *command: Packable) -> list[Any]:
        """What each node answers; what one refused stands as an exception in the list. Raises StoreUnavailable."""
        nodes = [self._nodes] if isinstance(self._nodes, Node) else await self._nodes.all_nodes()
        answers = [await node.submit(pack(command), 1) for node in nodes]
        return [answer for (answer,) in answers]

    async def close(self) -> None:
        """Close every connection but the dedicated ones. Never raises for one that is already gone."""
        await self._nodes.close()

    async def __aenter__(self) -> RedisClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
