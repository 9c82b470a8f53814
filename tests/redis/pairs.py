"""Three masters with one replica each, started and joined as an operator does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bff.stores.redis.client import RedisClient
from bff.stores.redis.cluster import slot_of

from ..conftest import Valkey, free_port
from .conftest import THIRDS


@dataclass
class Pairs:
    """servers: the first masters, then their replicas in the same order."""

    servers: list[Valkey]

    def by(self, number: int) -> str:
        """The cluster's address with one of the six, which may be the one that dies."""
        scheme, _, rest = self.servers[number].url.partition("://")
        return f"{scheme}+cluster://{rest.replace('/0', '', 1)}"

    async def whole(self) -> None:
        """Every server reports `ok`, and every master has its replica in sync."""
        limit = time.monotonic() + 60
        for server in self.servers:
            async with RedisClient(server.url, timeout=5) as end:
                while True:
                    info, role = await end.batch([("CLUSTER", "INFO"), ("ROLE",)])
                    in_step = role[2] if role[0] == b"master" else role[3] == b"connected"
                    if b"cluster_state:ok" in info and b"cluster_known_nodes:6" in info and in_step:
                        break
                    assert time.monotonic() < limit, (info, role)
                    await asyncio.sleep(0.05)

    def third(self, key: str) -> int:
        """Which of the three serves the key's slot."""
        slot = slot_of(key.encode())
        return next(index for index, (first, last) in enumerate(THIRDS) if first <= slot <= last)


@contextlib.asynccontextmanager
async def pairs(folder: Path, make: Callable[..., Valkey] = Valkey) -> AsyncIterator[Pairs]:
    """make: creates a server from a folder and arguments."""
    servers = []
    for number in range(6):
        (folder / str(number)).mkdir()
        cluster = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--appendonly", "no")
        timing = ("--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
        servers.append(make(folder / str(number), args=(*cluster, *timing)))
    try:
        for server in servers:
            server.start()
        one = Pairs(servers)
        await _joined(servers)
        await one.whole()
        yield one
    finally:
        for server in servers:
            server.stop()


async def _knows_all(end: RedisClient, count: int) -> bool:
    nodes = (await end.call("CLUSTER", "NODES")).decode().splitlines()
    return len(nodes) == count and not any("handshake" in node for node in nodes)


async def _joined(servers: Sequence[Valkey]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ends = [await stack.enter_async_context(RedisClient(one.url, timeout=5)) for one in servers]
        bus = servers[0].args[servers[0].args.index("--cluster-port") + 1]
        for end, (first, last) in zip(ends, THIRDS, strict=False):
            await end.call("CLUSTER", "ADDSLOTSRANGE", first, last)
        limit, next_meeting = time.monotonic() + 60, 0.0
        while not all([await _knows_all(end, len(ends)) for end in ends]):
            assert time.monotonic() < limit
            if time.monotonic() >= next_meeting:
                # A server forgets a handshake that takes longer than the node timeout, for example on a busy machine.
                next_meeting = time.monotonic() + 5
                for end in ends[1:]:
                    await end.call("CLUSTER", "MEET", "127.0.0.1", servers[0].port, bus)
            await asyncio.sleep(0.05)
        for replica, master in zip(ends[3:], ends[:3], strict=True):
            await replica.call("CLUSTER", "REPLICATE", await master.call("CLUSTER", "MYID"))
