"""Redis Cluster: which node has a key, learned from the nodes and corrected by what they say.

`redis+cluster://[user:password@]host:port,host:port`: some of the nodes; the others are found. `rediss+cluster://`:
all of them by TLS. MOVED and ASK are followed; a command that was answered with one has not been carried out, so it may
be sent again. A node that cannot be reached is one whose slots may have moved: the next command asks where they are.
"""

from __future__ import annotations

import asyncio
import binascii
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError, ResponseError

from ...calls.ending import close_all
from .address import NodeAddress, ServerAddress, parse_address, split_nodes
from .connection import Connect, Packable, StoreUnavailable, connect, pack
from .node import Node
from .outage import OutageTracker

SLOTS = 16_384
REDIRECTS = 5
"""Times one command is sent elsewhere before it is given up."""
PAUSE = 0.05
"""Seconds before a cluster that is rearranging itself is asked again."""

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
    """The first key a command names, None when it names none."""
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
    """The nodes an address names, and the address of the first alone, as redis-py reads it. Raises ValueError."""
    places, alone = split_nodes(url, 6379)
    if not places:
        raise ValueError("redis+cluster:// needs some of its nodes: host:port,host:port")
    return places, alone._replace(path="").geturl()


class Cluster:
    """make: a node for a way of opening connections, and its name; condition: told of slots that
    nobody has. Every method raises StoreUnavailable.

    turns  nodes for what any of them may do, one after the other for ever: those that are there, then those that the
           address names
    """

    def __init__(self, url: str, make: Callable[[Connect, str], Node], condition: OutageTracker) -> None:
        self._seeds, first = parse_cluster_address(url)
        self._first: ServerAddress = parse_address(first)
        self._make = make
        self._condition = condition
        self.candidates = self._turns()
        self._nodes: dict[NodeAddress, Node] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._stale = True
        self._loading = asyncio.Lock()

    @property
    def away(self) -> bool:
        """No node answers."""
        return bool(self._nodes) and all(node.away for node in self._nodes.values())

    @property
    def node_counts(self) -> dict[str, int]:
        """How many nodes are known, and how many of them are away."""
        return {"nodes": len(self._nodes), "away": sum(node.away for node in self._nodes.values())}

    def _at(self, place: NodeAddress) -> Node:
        if place not in self._nodes:
            address = replace(self._first, host=place[0], port=place[1])
            self._nodes[place] = self._make(lambda watch: connect(address, watch), f"{place[0]}:{place[1]}")
        return self._nodes[place]

    def _turns(self) -> Iterator[NodeAddress]:
        while True:
            there = [place for place, node in self._nodes.items() if not node.away]
            yield from dict.fromkeys([*there, *self._seeds])

    # ---- commands --------------------------------------------------------------------------------------------

    async def call(self, command: Sequence[Packable], limit: float | None) -> Any:
        """One command, wherever its key is. limit: seconds to find out where, and as many for each that answers."""
        key, packed = key_of(command), pack(command)
        node = await self._node(key, limit)
        for _ in range(REDIRECTS):
            try:
                return await self._of(node, packed, None, limit)
            except ResponseError as error:
                moved = _redirection(error)
                if moved is None:
                    raise
            word, place = moved
            if place is not None and place[0] in ("", "?"):
                place = (node.name.rpartition(":")[0], place[1])
            if word == "ASK" and place is not None:
                _, answer = await self._of(self._at(place), pack(("ASKING",)) + packed, 2, limit)
                if isinstance(answer, Exception):
                    raise answer
                return answer
            self._stale = True
            if place is None:
                await asyncio.sleep(PAUSE)
                node = await self._node(key, limit)
            else:
                node = self._at(place)
        raise StoreUnavailable(f"sent elsewhere {REDIRECTS} times: the cluster is rearranging itself")

    async def batch(self, commands: Sequence[Sequence[Packable]], limit: float | None) -> list[Any]:
        """Several, one write a node."""
        shares: dict[Node, list[int]] = {}
        for index, command in enumerate(commands):
            shares.setdefault(await self._node(key_of(command), limit), []).append(index)
        told: list[Any] = [None] * len(commands)

        async def ask(node: Node, share: list[int]) -> None:
            packed = b"".join(pack(commands[index]) for index in share)
            for index, answer in zip(share, await self._of(node, packed, len(share), limit), strict=True):
                if isinstance(answer, ResponseError) and _redirection(answer) is not None:
                    answer = await self.call(commands[index], limit)
                told[index] = answer

        await asyncio.gather(*itertools.starmap(ask, shares.items()))
        return told

    async def _of(self, node: Node, packed: bytes, count: int | None, limit: float | None) -> Any:
        try:
            return await node.submit(packed, count, limit)
        except StoreUnavailable:
            self._stale = True
            raise

    # ---- where keys are --------------------------------------------------------------------------------------

    def expect_moved_slots(self) -> None:
        """Slots may have moved: ask before the next one is looked up."""
        self._stale = True

    async def nodes_of(self, keys: Sequence[bytes]) -> list[NodeAddress | None]:
        """Where these keys' slots are; None where nobody has one."""
        await self._known()
        places: dict[Node | None, NodeAddress] = {node: place for place, node in self._nodes.items()}
        return [places.get(self._slots[slot_of(key)]) for key in keys]

    def node_of(self, key: bytes) -> NodeAddress | None:
        """Where this key's slot was when that was last asked."""
        node = self._slots[slot_of(key)]
        return next((place for place, one in self._nodes.items() if one is node), None)

    async def all_nodes(self) -> list[Node]:
        """Every node that has slots."""
        await self._known()
        return list(self._nodes.values())

    async def _known(self, limit: float | None = None) -> None:
        if not self._stale:
            return
        try:
            async with asyncio.timeout(limit), self._loading:
                if self._stale:
                    await self._load()
        except TimeoutError as error:
            raise StoreUnavailable(f"where keys are was not found out within {limit} s") from error

    async def _node(self, key: bytes | None, limit: float | None) -> Node:
        await self._known(limit)
        if key is None:
            return next(
                (node for node in self._nodes.values() if not node.away), next(iter(self._nodes.values()))
            )
        node = self._slots[slot_of(key)]
        if node is None:
            self._condition.record_failure("CLUSTERDOWN nobody has a key's slot")
            raise StoreUnavailable("nobody has this key's slot")
        return node

    async def _load(self) -> None:
        """Ask the nodes, those that answered lately first."""
        known = sorted(self._nodes, key=lambda place: self._nodes[place].away)
        error: Exception = StoreUnavailable("no node is known")
        for place in dict.fromkeys([*known, *self._seeds]):
            try:
                ranges = await self._at(place).submit(pack(("CLUSTER", "SLOTS")), None)
            except (StoreUnavailable, RedisError) as refused:
                error = refused
                continue
            self._slots = [None] * SLOTS
            masters = set()
            for first, last, (host, port, *_), *_ in ranges:
                # A node that does not know its own name is at the one it was asked by.
                at = (place[0] if host in (None, b"", b"?") else host.decode(), port)
                masters.add(at)
                self._slots[first : last + 1] = [self._at(at)] * (last + 1 - first)
            self._stale = False
            for gone in self._nodes.keys() - masters:
                # One that still owes answers is left for the next time: they may say where to go on.
                if not self._nodes[gone].has_pending:
                    await self._nodes.pop(gone).close()
            return
        raise StoreUnavailable(f"no node says where keys are: {error}") from error

    async def close(self) -> None:
        """Close every node's connection."""
        await close_all(("a node of Redis", node.close) for node in self._nodes.values())


def _redirection(error: ResponseError) -> tuple[str, NodeAddress | None] | None:
    """Where to go on; the place is None where the cluster does not know for now."""
    word, _, rest = str(error).partition(" ")
    if word in ("MOVED", "ASK"):
        host, _, port = rest.partition(" ")[2].rpartition(":")
        return word, (host, int(port))
    return (word, None) if word in ("TRYAGAIN", "CLUSTERDOWN") else None
