"""Leases and orphan recovery, with a real Redis and an engine of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.conftest import Valkey
from upstreams.orders.leases import Leases
from upstreams.orders.orphan_recovery import Absences, OrphanRecovery
from upstreams.orders.settings import OrdersSettings

LEASE = 3.0


class Sagas:
    def __init__(self, **owed: list[str]) -> None:
        self.by_executor = owed
        self.adopted: list[str] = []

    async def owed(self) -> dict[str, list[str]]:
        return {name: list(ids) for name, ids in self.by_executor.items()}

    async def adopt(self, order_ids: list[str]) -> None:
        self.adopted += order_ids
        self.by_executor = {}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def lease_of(redis_url: str) -> AsyncIterator[Callable[[str], Leases]]:
    made: list[Leases] = []

    def make(name: str) -> Leases:
        made.append(Leases(redis_url, name, seconds=LEASE))
        return made[-1]

    yield make
    for leases in made:
        await leases.close()


def a_recovery(
    sagas: Sagas, leases: Leases, clock: Clock, begun: list[float] | None = None
) -> OrphanRecovery:
    async def begin() -> None:
        if begun is not None:
            begun.append(clock())

    return OrphanRecovery(sagas, leases, begin, lease_seconds=LEASE, clock=clock)


def test_an_executor_is_dead_only_after_it_was_missing_for_the_grace() -> None:
    absences = Absences(grace=2.0)
    assert absences.dead({"a", "b"}, {"b"}, 10.0) == set()
    assert absences.dead({"a", "b"}, {"b"}, 11.9) == set()
    assert absences.dead({"a", "b"}, {"b"}, 12.0) == {"a"}
    # It is back for one check: the count starts again.
    assert absences.dead({"a"}, {"a"}, 12.5) == set()
    assert absences.dead({"a"}, set(), 13.0) == set()
    absences.forget()
    assert absences.dead({"a"}, set(), 20.0) == set()


async def test_one_process_recovers_and_another_takes_over_when_its_lease_expires(
    redis_url: str, lease_of: Callable[[str], Leases]
) -> None:
    first, second = lease_of("one"), lease_of("two")
    assert await first.recovers()
    assert not await second.recovers()
    assert await first.recovers()
    async with Redis.from_url(redis_url) as redis:
        assert 0 < await redis.pttl("orders:recovery") <= LEASE * 1000
        await redis.delete("orders:recovery")
    assert await second.recovers()
    assert not await first.recovers()


async def test_leases_live_as_long_as_they_are_renewed(
    redis_url: str, lease_of: Callable[[str], Leases]
) -> None:
    one, two = lease_of("one"), lease_of("two")
    await one.renew()
    async with Redis.from_url(redis_url) as redis:
        assert await redis.get("orders:exec:one") == b"1"
        assert 0 < await redis.pttl("orders:exec:one") <= LEASE * 1000
    assert await two.living(["one", "two", "three"]) == {"one"}
    assert await two.living([]) == set()
    await one.release()
    assert await two.living(["one"]) == set()


async def test_only_sagas_of_dead_processes_are_adopted_and_only_by_the_lease_holder(
    lease_of: Callable[[str], Leases],
) -> None:
    clock, sagas, begun = Clock(), Sagas(dead=["d1", "d2"], alive=["a1"]), list[float]()
    holder, other, alive = lease_of("holder"), lease_of("other"), lease_of("alive")
    recovery = a_recovery(sagas, holder, clock, begun)
    idle = a_recovery(sagas, other, clock)
    await alive.renew()
    assert await recovery.recover_once() == []
    for _ in range(3):
        clock.now += 1.0
        assert await idle.recover_once() == []
        if clock.now < 102.0:
            assert await recovery.recover_once() == []
    assert await recovery.recover_once() == ["d1", "d2"]
    assert sagas.adopted == ["d1", "d2"]
    assert await recovery.recover_once() == []
    assert begun == [100.0, 101.0, 103.0, 103.0]


async def test_after_an_outage_of_redis_no_process_counts_as_dead(own_valkey: Valkey) -> None:
    clock, sagas = Clock(), Sagas(dead=["d1"])
    leases = Leases(own_valkey.url, "holder", seconds=0.3)
    recovery = OrphanRecovery(sagas, leases, _nothing, lease_seconds=0.3, clock=clock)
    try:
        assert await recovery.recover_once() == []
        own_valkey.stop()
        with pytest.raises((RedisError, OSError)):
            await recovery.recover_once()
        async with asyncio.timeout(60):
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(recovery.renew()), group.create_task(recovery.recover())]
                await asyncio.sleep(0.3)  # both loops run and find nothing; neither ends
                assert not any(loop.done() for loop in loops)
                for loop in loops:
                    loop.cancel()
        clock.now += 60.0
        own_valkey.start()
        assert await recovery.recover_once() == []
        clock.now += 0.25
        assert await recovery.recover_once() == ["d1"]
    finally:
        await recovery.close()


async def _nothing() -> None:
    return


@pytest.mark.parametrize(
    ("given", "recovers"),
    [
        ({}, False),
        ({"orphan_recovery": True}, True),
        ({"database_url": "postgresql+asyncpg://u:p@db/{service}"}, True),
        ({"database_url": "postgresql+asyncpg://u:p@db/{service}", "orphan_recovery": False}, False),
    ],
)
def test_orphan_recovery_is_for_processes_on_one_database_server(
    given: dict[str, Any], recovers: bool
) -> None:
    assert OrdersSettings(data_dir=Path("d"), **given).recovers_orphans is recovers
