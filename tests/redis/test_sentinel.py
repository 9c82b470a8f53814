"""A master with a replica and a Sentinel: killed, and the gateway finds who took over."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from bff.stores.link import RedisLink, StoreUnavailable
from bff.stores.sentinel import watched_of

from ..conftest import Valkey, free_port


class Sentinel(Valkey):
    @classmethod
    def over(cls, folder: Path, master: Valkey) -> Sentinel:
        folder.mkdir()
        config = folder / "sentinel.conf"
        config.write_text(
            f"sentinel monitor shop 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds shop 500\n"
            "sentinel failover-timeout shop 5000\n"
        )
        return cls(folder, args=())

    def command(self) -> list[str]:
        return [
            str(self.folder / "sentinel.conf"),
            "--sentinel",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
        ]


def test_the_address_names_sentinels_master_database_and_secrets() -> None:
    one = watched_of("redis+sentinel://app:s3%2Fcret@a:1,b/shop/2?sentinel_password=x%20y")
    assert [(at.host, at.port) for at in one.sentinels] == [("a", 1), ("b", 26379)]
    assert (one.master, one.db, one.username, one.password) == ("shop", 2, "app", "s3/cret")
    assert one.sentinel_password == "x y"
    assert one.greeting == (("AUTH", "app", "s3/cret"), ("SELECT", 2), ("ROLE",))
    for wrong in ("redis+sentinel://a:1", "redis+sentinel:///shop"):
        with pytest.raises(ValueError, match="needs its Sentinels"):
            watched_of(wrong)


async def test_nobody_is_taken_for_the_master_who_is_not(redis_url: str) -> None:
    """What answers here is no Sentinel at all."""
    port = redis_url.rpartition(":")[2].partition("/")[0]
    url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/shop"
    async with RedisLink(url) as link:
        with pytest.raises(StoreUnavailable):
            await link.ping()
        assert link.away


async def again(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Asked until there is an answer, as every owner of a connection does."""
    end = time.monotonic() + 60
    while True:
        with contextlib.suppress(StoreUnavailable, RedisError):
            return await ask()
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_after_a_failover_the_link_is_the_new_masters(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one = Valkey(folders[0]).start()
    two = Valkey(folders[1], args=("--appendonly", "no", "--replicaof", "127.0.0.1", str(one.port))).start()
    guard = Sentinel.over(tmp_path / "guard", one)
    guard.start()
    # The first of the two is silent: the kernel takes the connection, and nobody says anything.
    silent = socket.create_server(("127.0.0.1", 0))
    try:
        places = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{guard.port}"
        async with RedisLink(f"redis+sentinel://{places}/shop", timeout=1) as link:
            await again(link.ping)
            reader = link.dedicated(timeout=2)
            await link.call("SET", "k", "before")
            assert await reader.get("k") == b"before"
            async with RedisLink(two.url) as direct, RedisLink(f"redis://127.0.0.1:{guard.port}") as told:
                while await direct.call("GET", "k") != b"before":
                    await asyncio.sleep(0.1)
                while not await told.call("SENTINEL", "REPLICAS", "shop"):
                    await asyncio.sleep(0.1)
            one.stop()
            await again(lambda: link.call("SET", "k", "after"))
            async with RedisLink(two.url) as direct:
                assert await direct.call("GET", "k") == b"after"
            assert await again(lambda: reader.get("k")) == b"after"
            await reader.aclose()
    finally:
        silent.close()
        for server in (guard, two, one):
            server.stop()
