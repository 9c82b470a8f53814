"""The client of Redis (or Valkey): one connection per node for the whole process, one error type, scripts by name.

A command that may have run is not retried. A command takes at most its limit and then fails with `StoreUnavailable`,
for every kind of failure. The caller decides what to do without Redis.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ...network import TlsTrust
from ..keys import redis_key
from .address import NodeAddress, parse_address, scheme_of
from .cluster import Cluster
from .connection import Connect, Packable, StoreUnavailable, connect, pack
from .dedicated import dedicated_pool
from .login import LoginSource
from .node import Node
from .outage import OutageTracker
from .scripts import Script, Step, read, run_all
from .sentinel import SentinelAddress, SentinelMaster, parse_sentinel_address

__all__ = ["RedisClient", "Script", "StoreUnavailable", "raise_refusals", "store_errors"]

_PROBES = 128
"""Random slots for a probe of each node; of five nodes all are found except once in 10^12."""


@contextlib.contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Turn any failure of Redis inside the block into StoreUnavailable."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{what}: {type(error).__name__}: {error}") from error


def raise_refusals(answers: list[Any]) -> list[Any]:
    """Return the replies of `RedisClient.batch`. Raises the first refusal among them, a ResponseError."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


class RedisClient:
    """A command may take `timeout` seconds (default 0.5). At most `most` commands may be pending (default 10,000); the
    next one raises StoreUnavailable at once. Replies are bytes.

    url              `redis://`, `rediss://`, `unix://` (address.py), `redis+sentinel://` (sentinel.py),
                     `redis+cluster://` (cluster.py)
    login            authenticates each connection in place of user and password in the URL; closed with the client
    trust            TLS settings in place of `ssl_…` options in the URL
    sentinel_login   authenticates at the Sentinels
    cluster          whether keys lie on several nodes: then one script takes keys of one slot only
    outage           the current outage, if any
    publish_command  publishes to a channel in a key's slot: in a cluster only to that slot's node
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.5,
        most: int = 10_000,
        login: LoginSource | None = None,
        trust: TlsTrust | None = None,
        sentinel_login: LoginSource | None = None,
    ) -> None:
        self.url = url
        self._login = login
        self._trust = trust
        self._sentinel_login = sentinel_login
        self.timeout = timeout
        self.cluster = scheme_of(url).endswith("+cluster")
        self.publish_command = "SPUBLISH" if self.cluster else "PUBLISH"
        self._most = most
        self._master: SentinelMaster | None = None
        self.outage = OutageTracker("the cluster")
        self._nodes: Node | Cluster = (
            Cluster(url, self._node, self.outage, login=login, trust=trust) if self.cluster else self._only()
        )
        self._scripts: dict[str, Script] = {}
        self._probe = self.script("probe")

    def _node(self, connect: Connect, name: str) -> Node:
        return Node(connect, name, self.outage, timeout=self.timeout, most=self._most, login=self._login)

    def _only(self) -> Node:
        if not scheme_of(self.url).endswith("+sentinel"):
            address = replace(parse_address(self.url), login=self._login, trust=self._trust)
            name = self.outage.name = address.path or f"{address.host}:{address.port}"
            return self._node(lambda watch: connect(address, watch), name)
        watched = self._watched()
        self._master = master = SentinelMaster(watched)
        name = f"the master {watched.master}"
        self.outage.name = name
        return Node(
            master.connect,
            name,
            self.outage,
            timeout=self.timeout,
            most=self._most,
            has_moved=master.has_moved,
            login=self._login,
        )

    def _watched(self) -> SentinelAddress:
        return parse_sentinel_address(
            self.url, login=self._login, trust=self._trust, sentinel_login=self._sentinel_login
        )

    @property
    def generation(self) -> tuple[int, int]:
        """Changes when dedicated connections must be replaced: each time Sentinels name another master, and before
        Redis would end connections because their login has expired."""
        master = 0 if self._master is None else self._master.generation
        return master, 0 if self._login is None else self._login.generation()

    @property
    def topology(self) -> dict[str, str | bool | int]:
        """For `/readyz`: `kind` (single, sentinel, cluster), `tls`; for a cluster the number of known `nodes`, and how
        many of them are `away`."""
        scheme = scheme_of(self.url)
        topology: dict[str, str | bool | int] = {"kind": scheme.partition("+")[2] or "single"}
        topology["tls"] = scheme.startswith("rediss")
        if isinstance(self._nodes, Cluster):
            topology |= self._nodes.node_counts
        return topology

    @property
    def away(self) -> bool:
        """True when Redis did not answer the last command in time; the first byte from it sets it to False."""
        return self._nodes.away

    async def call(self, *command: Packable, limit: float | None = None) -> Any:
        """Send one command; `limit` seconds instead of `timeout`. Raises StoreUnavailable, or ResponseError when Redis
        replies with an error."""
        nodes = self._nodes
        if isinstance(nodes, Node):
            return await nodes.submit(pack(command), None, limit)
        return await nodes.call(command, limit)

    async def batch(self, commands: Sequence[Sequence[Packable]], *, limit: float | None = None) -> list[Any]:
        """Send several commands in one write (per node), in this order and in sequence. Error replies are exceptions in
        the returned list. Raises StoreUnavailable."""
        if not commands:
            return []
        nodes = self._nodes
        if isinstance(nodes, Node):
            answers: list[Any] = await nodes.submit(b"".join(map(pack, commands)), len(commands), limit)
            return answers
        return await nodes.batch(commands, limit)

    def dedicated(self, *, timeout: float, node: NodeAddress | None = None) -> Redis:
        """A client with a dedicated connection for blocking reads or pub/sub, `timeout` seconds for a read. node: of a
        cluster; None for any.

        The caller closes it with `aclose()`.
        """
        nodes_to_try: Iterator[NodeAddress] | None = None
        if isinstance(self._nodes, Cluster):
            nodes_to_try = self._nodes.candidates if node is None else itertools.repeat(node)
        return Redis.from_pool(
            dedicated_pool(
                self.url,
                timeout=timeout,
                wait=self.timeout,
                nodes=nodes_to_try,
                login=self._login,
                trust=self._trust,
                watched=self._watched() if self._master is not None else None,
            )
        )

    async def nodes_of(self, keys: Sequence[str]) -> list[NodeAddress | None]:
        """The node of the cluster that serves each key's slot; None where no node does, and for a single server. Raises
        StoreUnavailable."""
        nodes = self._nodes
        if isinstance(nodes, Node):
            return [None] * len(keys)
        return await nodes.nodes_of([key.encode() for key in keys])

    def node_of(self, key: str) -> NodeAddress | None:
        """The node of the cluster that serves this key's slot, as last known; None for a single server."""
        nodes = self._nodes
        return None if isinstance(nodes, Node) else nodes.node_of(key.encode())

    async def scan_keys(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """All keys that match, in batches. A key that is created or moved meanwhile may be missing. Raises
        StoreUnavailable."""
        nodes = [self._nodes] if isinstance(self._nodes, Node) else await self._nodes.all_nodes()
        for node in nodes:
            cursor = b""
            while cursor != b"0":
                command = pack(("SCAN", cursor or b"0", "MATCH", pattern, "COUNT", 1000))
                cursor, found = await node.submit(command, None)
                if found:
                    yield found

    def expect_moved_slots(self) -> None:
        """Ask a cluster for its slots again before the next use, because they may have moved."""
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
        """Run the probe script on every node: it reads the replication id and writes a key, as all scripts do. Raises
        StoreUnavailable."""
        keys = [redis_key(f"probe:{number}", "probe") for number in range(_PROBES if self.cluster else 1)]
        # One key for each node that has slots.
        key_of_node = dict(zip(await self.nodes_of(keys), keys, strict=True))
        await run_all(self, [Step(self._probe, [key], ()) for key in key_of_node.values()])

    async def call_all_nodes(self, *command: Packable) -> list[Any]:
        """Send one command to each node. Error replies are exceptions in the list. Raises StoreUnavailable."""
        nodes = [self._nodes] if isinstance(self._nodes, Node) else await self._nodes.all_nodes()
        answers = [await node.submit(pack(command), 1) for node in nodes]
        return [answer for (answer,) in answers]

    async def close(self) -> None:
        """Close all connections except the dedicated ones. Does not raise for a closed one."""
        await self._nodes.close()
        if self._login is not None:
            await self._login.close()

    async def __aenter__(self) -> RedisClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
