"""A master of a cluster is killed, frozen or replaced under load: its replica takes over and everything continues."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

import pytest

from bff.live.control import Control
from bff.stores.journal import channel_of
from bff.stores.redis.client import RedisClient

from ..conftest import Valkey
from ..wire.test_stream import World, client, person
from .load import PEOPLE, Received, busy, continues, exactly_once, promoted
from .pairs import Pairs, pairs
from .tls import EncryptedNode, certificate


def silence(received: dict[str, Received]) -> str:
    return f"{max(record.silent for record in received.values()):.2f} s"


async def logout_arrives(cluster: Pairs, one: World, name: str) -> None:
    """Channels for all still work although the only node in the address is gone."""
    async with RedisClient(cluster.by(0)) as other:
        async with asyncio.timeout(10):
            while one.hub.count > len(PEOPLE):
                await Control(other, lambda session: None, None).end(f"session-of-{name}")
                await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen", "killed, with TLS"])
async def test_service_returns_when_a_replica_of_a_dead_master_is_promoted(tmp_path: Path, how: str) -> None:
    make = partial(EncryptedNode, chain=certificate(tmp_path, "127.0.0.1")) if "TLS" in how else Valkey
    async with pairs(tmp_path, make) as cluster:
        dead = cluster.servers[1]
        async with busy(cluster.by(1)) as (one, load, received):
            async with client(one, who="leaver") as leaver:
                await leaver.until("snapshot")
                if how == "frozen":
                    dead.send(signal.SIGSTOP)
                else:
                    dead.stop(signal.SIGKILL)
                took = await promoted(cluster.servers[4])
                after = await continues(load, received, 30)
                await logout_arrives(cluster, one, "leaver")
                assert (await leaver.until("bye")).data["reason"] == "logout"
            if how == "frozen":
                dead.send(signal.SIGCONT)
            else:
                dead.start()
            # It comes back as a replica; its old data must not be used.
            await cluster.whole()
            await continues(load, received, 30)
            assert one.hub.count == len(PEOPLE)
        far = {name for name in PEOPLE if cluster.third(channel_of(person(name).id)) == 1}
        print(
            f"\n{how}: promoted after {took:.2f} s, everything continues {after:.2f} s later; longest silence of its "
            f"streams {silence({name: received[name] for name in far})}, of the others' "
            f"{silence({name: received[name] for name in received.keys() - far})}; {load}"
        )
        exactly_once(load, received)


@pytest.mark.slow
async def test_a_planned_failover_under_load_closes_no_stream_and_fails_few_commands(
    tmp_path: Path,
) -> None:
    async with pairs(tmp_path) as cluster:
        took = []
        async with busy(cluster.by(1)) as (one, load, received):
            for replica in (3, 4, 5, 0, 1, 2):
                async with RedisClient(cluster.servers[replica].url, timeout=5) as end:
                    await end.call("CLUSTER", "FAILOVER")
                took.append(await promoted(cluster.servers[replica]))
                await continues(load, received, 30)
                await cluster.whole()
            assert one.hub.count == len(PEOPLE)
        print(
            f"\nsix planned: {max(took):.2f} s at most; longest silence of a stream {silence(received)}; {load}"
        )
        exactly_once(load, received, replication_ids=2)
        # None on an idle machine; on a busy one a command that was pending when the master stopped may be late.
        assert load.failed <= load.sent / 100 and load.statuses.count(503) <= len(load.statuses) / 100
