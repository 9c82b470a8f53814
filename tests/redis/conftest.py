"""Three nodes of Redis Cluster, each with a third of the slots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from bff.stores.redis.client import RedisClient

from ..conftest import Valkey, free_port

THIRDS = ((0, 5460), (5461, 10922), (10923, 16383))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Valkey]]:
    servers: list[Valkey] = []
    try:
        for number in range(3):
            folder = tmp_path_factory.mktemp(f"node{number}")
            args = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--appendonly", "yes")
            servers.append(Valkey(folder, args=(*args, "--cluster-node-timeout", "2000")))
            servers[-1].start()
        yield servers
    finally:
        for server in servers:
            server.stop()


@asynccontextmanager
async def cluster_client(nodes: list[Valkey]) -> AsyncIterator[RedisClient]:
    ends = [RedisClient(node.url) for node in nodes]
    for end, (first, last) in zip(ends, THIRDS, strict=True):
        if b"cluster_slots_assigned:0" in await end.call("CLUSTER", "INFO"):
            await end.call("CLUSTER", "ADDSLOTSRANGE", first, last)
            bus = nodes[0].args[nodes[0].args.index("--cluster-port") + 1]
            await end.call("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, bus)
    limit = time.monotonic() + 60
    for end in ends:
        while b"cluster_state:ok" not in (info := await end.call("CLUSTER", "INFO")) or (
            b"cluster_slots_assigned:16384" not in info
        ):
            assert time.monotonic() < limit, info
            await asyncio.sleep(0.05)
        await end.call("FLUSHALL")
        await end.close()
    async with RedisClient(f"redis+cluster://127.0.0.1:{nodes[0].port}", timeout=5) as redis:
        yield redis
