"""Redis Cluster: finds the node of a key. The nodes say which slots they serve, and redirections correct that.

`redis+cluster://[user:password@]host:port,host:port` names some of the nodes, which name the others. `rediss+cluster://`
uses TLS for all of them. MOVED and ASK are followed; a redirected command did not run, so it may be sent again. The
slots of an unreachable node may have moved, so the next command asks for them again.
"""

from __future__ import annotations

import asyncio
import binascii
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError, ResponseError

from ...calls.shutdown import close_all
from ...network import TlsTrust
from .address import NodeAddress, ServerAddress, parse_address, split_nodes
from .connection import Connect, Packable, StoreUnavailable, connect, pack
from .login import LoginSource
from .node import Node
from .outage import OutageTracker

SLOTS = 16_384
REDIRECTS = 5
"""Redirections of one command before it fails."""
PAUSE = 0.05
"""Seconds before a cluster that is moving slots is asked again."""

_KEYLESS = frozenset(
    b"CLIENT CLUSTER CONFIG DBSIZE ECHO FLUSHALL FLUSHDB INFO KEYS PING PUBLISH SCAN SCRIPT TIME".split()
)


def slot_of(key: bytes) -> int:
    """The slot of a key, or of the hash tag in it."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


def key_of(command: Sequence[Packable]) -> bytes | None:
    """The first key of a command, None when it has none."""
    name = _bytes(command[0]).upper()
    if name in _KEYLESS or len(command) < 2:
        return None
    if name in (b"EVAL", b"EVALSHA"):
        return _bytes(command[3]) if int(command[2]) else None
    if name in (b"XREAD", b"XREADGROUP"):
        words = [_bytes(word).upper() for word in command]
        return _bytes(command[words.index(b"STREAMS") + 1])
    if name in (b"XINFO", b"OBJECT", b"MEMORY", b"PUBSUB"):
        return _bytes(command[2]) if len(command) > 2 else None
    return _bytes(command[1])


def _bytes(word: Packable) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


def parse_cluster_address(url: str) -> tuple[list[NodeAddress], str]:
    """The nodes that an address names, and the address of the first alone, as redis-py reads it. Raises ValueError."""
    addresses, alone = split_nodes(url, 6379)
    if not addresses:
        raise ValueError("redis+cluster:// needs some of its nodes: host:port,host:port")
    return addresses, alone._replace(path="").geturl()


class Cluster:
    """make: creates a node from a function that opens connections, and a name; outage: records slots that no node
    serves; login, trust: of every node. Every method raises StoreUnavailable.

    candidates  an endless iterator of nodes for commands that any node can run: the reachable nodes, then those in the
                URL
    """

    def __init__(
        self,
        url: str,
        make: Callable[[Connect, str], Node],
        outage: OutageTracker,
        *,
        login: LoginSource | None = None,
        trust: TlsTrust | None = None,
    ) -> None:
        self._seeds, first = parse_cluster_address(url)
        self._first: ServerAddress = replace(parse_address(first), login=login, trust=trust)
        self._make = make
        self._outage = outage
        self.candidates = self._turns()
        self._nodes: dict[NodeAddress, Node] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._stale = True
        self._loading = asyncio.Lock()

    @property
    def away(self) -> bool:
        """Whether no node answers."""
        return bool(self._nodes) and all(node.away for node in self._nodes.values())

    @property
    def node_counts(self) -> dict[str, int]:
        """How many nodes are known, and how many of them are away."""
        return {"nodes": len(self._nodes), "away": sum(node.away for node in self._nodes.values())}

    def _node_at(self, target: NodeAddress) -> Node:
        if target not in self._nodes:
            address = replace(self._first, host=target[0], port=target[1])
            self._nodes[target] = self._make(
                lambda observer: connect(address, observer), f"{target[0]}:{target[1]}"
            )
        return self._nodes[target]

    def _turns(self) -> Iterator[NodeAddress]:
        while True:
            reachable = [target for target, node in self._nodes.items() if not node.away]
            yield from dict.fromkeys([*reachable, *self._seeds])

    # ---- commands --------------------------------------------------------------------------------------------

    async def call(self, command: Sequence[Packable], limit: float | None) -> Any:
        """Send one command to the node of its key. limit: seconds to find the node, and as many for each reply."""
        key, packed = key_of(command), pack(command)
        node = await self._node(key, limit)
        for _ in range(REDIRECTS):
            try:
                return await self._submit(node, packed, None, limit)
            except ResponseError as error:
                moved = _redirection(error)
                if moved is None:
                    raise
            word, target = moved
            if target is not None and target[0] in ("", "?"):
                target = (node.name.rpartition(":")[0], target[1])
            if word == "ASK" and target is not None:
                _, answer = await self._submit(self._node_at(target), pack(("ASKING",)) + packed, 2, limit)
                if isinstance(answer, Exception):
                    raise answer
                return answer
            self._stale = True
            if target is None:
                await asyncio.sleep(PAUSE)
                node = await self._node(key, limit)
            else:
                node = self._node_at(target)
        raise StoreUnavailable(f"redirected {REDIRECTS} times: the cluster is moving slots")

    async def batch(self, commands: Sequence[Sequence[Packable]], limit: float | None) -> list[Any]:
        """Send several commands, in one write per node."""
        by_node: dict[Node, list[int]] = {}
        for index, command in enumerate(commands):
            by_node.setdefault(await self._node(key_of(command), limit), []).append(index)
        replies: list[Any] = [None] * len(commands)

        async def ask(node: Node, indexes: list[int]) -> None:
            packed = b"".join(pack(commands[index]) for index in indexes)
            for index, answer in zip(
                indexes, await self._submit(node, packed, len(indexes), limit), strict=True
            ):
                if isinstance(answer, ResponseError) and _redirection(answer) is not None:
                    answer = await self.call(commands[index], limit)
                replies[index] = answer

        await asyncio.gather(*itertools.starmap(ask, by_node.items()))
        return replies

    async def _submit(self, node: Node, packed: bytes, count: int | None, limit: float | None) -> Any:
        try:
            return await node.submit(packed, count, limit)
        except StoreUnavailable:
            self._stale = True
            raise

    # ---- where keys are --------------------------------------------------------------------------------------

    def expect_moved_slots(self) -> None:
        """Ask the nodes for their slots before the next use, because slots may have moved."""
        self._stale = True

    async def nodes_of(self, keys: Sequence[bytes]) -> list[NodeAddress | None]:
        """The nodes that serve the slots of these keys; None for a slot that no node serves."""
        await self._load_if_stale()
        addresses: dict[Node | None, NodeAddress] = {node: target for target, node in self._nodes.items()}
        return [addresses.get(self._slots[slot_of(key)]) for key in keys]

    def node_of(self, key: bytes) -> NodeAddress | None:
        """The node that served the slot of this key when the nodes were last asked."""
        node = self._slots[slot_of(key)]
        return next((address for address, each in self._nodes.items() if each is node), None)

    async def all_nodes(self) -> list[Node]:
        """Every node that has slots."""
        await self._load_if_stale()
        return list(self._nodes.values())

    async def _load_if_stale(self, limit: float | None = None) -> None:
        if not self._stale:
            return
        try:
            async with asyncio.timeout(limit), self._loading:
                if self._stale:
                    await self._load()
        except TimeoutError as error:
            raise StoreUnavailable(
                f"the nodes did not say within {limit} s which slots they serve"
            ) from error

    async def _node(self, key: bytes | None, limit: float | None) -> Node:
        await self._load_if_stale(limit)
        if key is None:
            return next(
                (node for node in self._nodes.values() if not node.away), next(iter(self._nodes.values()))
            )
        node = self._slots[slot_of(key)]
        if node is None:
            self._outage.record_failure("CLUSTERDOWN no node serves a key's slot")
            raise StoreUnavailable("no node serves this key's slot")
        return node

    async def _load(self) -> None:
        """Ask the nodes for their slots, the reachable ones first."""
        known = sorted(self._nodes, key=lambda target: self._nodes[target].away)
        error: Exception = StoreUnavailable("no node is known")
        for target in dict.fromkeys([*known, *self._seeds]):
            try:
                ranges = await self._node_at(target).submit(pack(("CLUSTER", "SLOTS")), None)
            except (StoreUnavailable, RedisError) as refused:
                error = refused
                continue
            self._slots = [None] * SLOTS
            masters = set()
            for first, last, (host, port, *_), *_ in ranges:
                # A node that does not know its host name has the name under which it was asked.
                at = (target[0] if host in (None, b"", b"?") else host.decode(), port)
                masters.add(at)
                self._slots[first : last + 1] = [self._node_at(at)] * (last + 1 - first)
            self._stale = False
            for removed in self._nodes.keys() - masters:
                # A node with pending commands is closed the next time, because its replies may be redirections.
                if not self._nodes[removed].has_pending:
                    await self._nodes.pop(removed).close()
            return
        raise StoreUnavailable(f"no node said which slots it serves: {error}") from error

    async def close(self) -> None:
        """Close every node's connection."""
        await close_all(("a node of Redis", node.close) for node in self._nodes.values())


def _redirection(error: ResponseError) -> tuple[str, NodeAddress | None] | None:
    """The kind and target of a redirection; the target is None while the cluster does not know it."""
    word, _, rest = str(error).partition(" ")
    if word in ("MOVED", "ASK"):
        host, _, port = rest.partition(" ")[2].rpartition(":")
        return word, (host, int(port))
    return (word, None) if word in ("TRYAGAIN", "CLUSTERDOWN") else None
