"""A master with a replica and a Sentinel: killed or frozen under load, and the gateway finds the new master."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from bff.stores.redis.client import RedisClient, StoreUnavailable
from bff.stores.redis.sentinel import parse_sentinel_address

from ..conftest import Valkey, free_port
from .load import busy, continues, exactly_once, promoted
from .tls import Encrypted, certificate


@dataclass
class Sentinel(Valkey):
    """A Sentinel for which a master is dead after half a second of silence. extra: server settings."""

    extra: list[str] = field(default_factory=list)

    def over(self, master: Valkey) -> Sentinel:
        (self.folder / "sentinel.conf").write_text(
            f"sentinel monitor shop 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds shop 500\n"
            "sentinel failover-timeout shop 5000\n"
        )
        return self

    def command(self) -> list[str]:
        listen = self.extra or ["--port", str(self.port), "--bind", "127.0.0.1"]
        return [str(self.folder / "sentinel.conf"), "--sentinel", *listen]


def test_the_address_names_sentinels_master_database_and_secrets() -> None:
    one = parse_sentinel_address("redis+sentinel://app:s3%2Fcret@a:1,b/shop/2?sentinel_password=x%20y")
    assert [(at.host, at.port) for at in one.sentinels] == [("a", 1), ("b", 26379)]
    assert (one.master, one.sentinel_password) == ("shop", "x y")
    assert one.sentinels[0].handshake[0] == ("AUTH", "x y")
    assert one.handshake == (("AUTH", "app", "s3/cret"), ("SELECT", 2), ("ROLE",))
    for wrong in ("redis+sentinel://a:1", "redis+sentinel:///shop"):
        with pytest.raises(ValueError, match="needs its Sentinels"):
            parse_sentinel_address(wrong)


async def test_a_server_that_is_not_the_master_is_refused(redis_url: str) -> None:
    """The server here is not a Sentinel."""
    port = redis_url.rpartition(":")[2].partition("/")[0]
    url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{port}/shop"
    async with RedisClient(url) as redis:
        with pytest.raises(StoreUnavailable):
            await redis.ping()
        assert redis.away


async def again(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Try until a connection is open, as every owner of a connection does."""
    end = time.monotonic() + 60
    while True:
        with contextlib.suppress(StoreUnavailable, RedisError):
            return await ask()
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen", "relieved", "killed, with TLS"])
async def test_after_a_failover_under_load_everything_goes_to_the_new_master(
    tmp_path: Path, how: str
) -> None:
    make = partial(Encrypted, chain=certificate(tmp_path, "127.0.0.1")) if "TLS" in how else Valkey
    for name in ("one", "two", "guard"):
        (tmp_path / name).mkdir()
    one = make(tmp_path / "one", args=("--repl-diskless-sync-delay", "0")).start()
    two = make(tmp_path / "two", args=("--replicaof", "127.0.0.1", str(one.port))).start()
    guard = Sentinel(tmp_path / "guard", program=one.program).over(one)
    if isinstance(two, Encrypted):
        guard.extra = replace(two, port=guard.port).tls
    # The first of the two is silent: the kernel accepts the connection, and no program replies.
    silent = socket.create_server(("127.0.0.1", 0))
    scheme, trust = one.url.partition("://")[0], one.url.partition("/0")[2]
    url = f"{scheme}+sentinel://127.0.0.1:{silent.getsockname()[1]},127.0.0.1:{guard.port}/shop{trust}"
    try:
        async with RedisClient(two.url) as direct:
            while (await direct.call("ROLE"))[3] != b"connected":
                await asyncio.sleep(0.05)
        # It asks the master for its replicas at once, and then every ten seconds.
        guard.start()
        async with RedisClient(url, timeout=1) as redis:
            await again(redis.ping)
            reader = redis.dedicated(timeout=2)
            async with busy(url) as (world, load, received):
                if how == "frozen":
                    one.send(signal.SIGSTOP)
                elif how == "relieved":
                    # Without this setting the old master confirms writes that are lost, until all clients have left it.
                    async with (
                        RedisClient(one.url) as direct,
                        RedisClient(f"redis://127.0.0.1:{guard.port}") as record,
                    ):
                        await direct.call("CONFIG", "SET", "min-replicas-to-write", "1")
                        await record.call("SENTINEL", "FAILOVER", "shop")
                else:
                    one.stop()
                took = await promoted(two)
                after = await continues(load, received, 30)
                await again(lambda: redis.call("SET", "k", "after"))
                assert await again(lambda: reader.get("k")) == b"after"
                if how == "frozen":
                    one.send(signal.SIGCONT)
                    await continues(load, received, 30)
                assert world.hub.count == len(received)
            await reader.aclose()
        print(
            f"\n{how}: promoted after {took:.2f} s, everything continues {after:.2f} s later; longest silence of a "
            f"stream {max(record.silent for record in received.values()):.2f} s; {load}"
        )
        exactly_once(load, received)
    finally:
        silent.close()
        for server in (guard, two, one):
            server.stop()
