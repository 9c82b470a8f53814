"""Outages of Redis: it answers but refuses, it is away, or its settings lose data. What is logged and reported."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bff.calls import SagaStatus
from bff.live import Hub, Ingester
from bff.live.control import CONTROL
from bff.live.ingest import RedisStreams
from bff.stores.claims import Claims, New, Ticket
from bff.stores.journal import Entry, Journal
from bff.stores.keys import redis_key
from bff.stores.processes import Processes
from bff.stores.redis.client import RedisClient, StoreUnavailable
from bff.stores.redis.health import RedisHealth
from bff.stores.redis.outage import CURES
from bff.stores.redis.subscriptions import Subscriptions
from bff.stores.values import Values

from ..conftest import ROOT, Valkey, free_port
from ..waiting import until

AT = "2026-03-01T10:00:00Z"


@asynccontextmanager
async def watched(url: str, *, once_only: bool = False, timeout: float = 5.0) -> AsyncIterator[Any]:
    async with (
        RedisClient(url, timeout=timeout) as redis,
        RedisHealth(redis, once_only=once_only, clock=_always_later()) as health,
    ):
        health.redis = redis
        yield health


def _always_later() -> Any:
    """A clock that makes every `report` a new one."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10
        return now

    return clock


def refused(found: dict[str, Any]) -> list[str]:
    return [one["code"] for one in found.get("refuses", ())]


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


async def use(redis: RedisClient) -> None:
    """Use Redis as a gateway does: scripts that write."""
    saga = SagaStatus(id="o1", type="order", status="RUNNING", version=1, at=AT)
    with suppress(StoreUnavailable):
        await Journal(redis).append("ada", Entry.of(saga, now_ms=1))
    with suppress(StoreUnavailable):
        await Values(redis).put("stock/a", 1, {"x": "y" * 100}, AT)


def server(folder: Path, *args: str) -> Valkey:
    folder.mkdir(parents=True, exist_ok=True)
    return Valkey(folder, args=("--appendonly", "no", *args))


REFUSING = {
    "OOM": [("CONFIG", "SET", "maxmemory", "1")],
    "READONLY": [("REPLICAOF", "127.0.0.1", "1")],
    "NOREPLICAS": [("CONFIG", "SET", "min-replicas-to-write", "1")],
    "NOPERM": [("ACL", "SETUSER", "default", "-hset", "-set")],
    "LOADING": [],
    "WRONGPASS": [],
}


@pytest.mark.parametrize("word", ["OOM", "READONLY", "NOREPLICAS", "NOPERM"])
async def test_a_refusal_of_redis_is_logged_once_with_what_to_do_and_reported_until_it_ends(
    tmp_path: Path, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bff")
    one = server(tmp_path / "valkey").start()
    try:
        async with watched(one.url) as health, RedisClient(one.url) as other:
            redis: RedisClient = health.redis
            assert (await health.report())["state"] == "up"
            for command in REFUSING[word]:
                await other.call(*command)
            for _ in range(20):
                await use(redis)
            found = await health.report()
            assert (found["state"], refused(found)) == ("refusing", [word])
            assert found["refuses"][0]["detail"] == CURES[word]
            logged = lines(caplog)
            assert len(logged) == 1 and word in logged[0] and CURES[word] in logged[0], logged
            for command in [
                ("CONFIG", "SET", "maxmemory", "0"),
                ("REPLICAOF", "NO", "ONE"),
                ("CONFIG", "SET", "min-replicas-to-write", "0"),
                ("ACL", "SETUSER", "default", "+hset", "+set"),
            ]:
                await other.call(*command)
            await until(lambda: redis.outage.current is None)
            assert (await health.report())["state"] == "up"
            logged = lines(caplog)
            assert len(logged) == 2 and "works" not in logged[0], logged
            assert "works again" in logged[1]
            # With the probes of `report`.
            assert 20 <= int(logged[1].split(f"({word} ")[1].split()[0]) <= 45, logged[1]
    finally:
        one.stop()


async def test_a_redis_that_rejects_the_password_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = server(tmp_path / "valkey", "--requirepass", "secret").start()
    try:
        for user, word in (("", "NOAUTH"), (":wrong@", "WRONGPASS")):
            caplog.clear()
            async with watched(one.url.replace("//", f"//{user}")) as health:
                found = await health.report()
                assert (found["state"], refused(found)) == ("refusing", [word])
                assert "wrong@" not in "".join(lines(caplog))
    finally:
        one.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_outage_is_logged_once_and_at_its_end_with_the_number_of_failed_commands(
    tmp_path: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bff")
    one = server(tmp_path / "valkey").start()
    try:
        async with watched(one.url, timeout=0.2) as health:
            redis: RedisClient = health.redis
            await redis.ping()
            if number == signal.SIGKILL:
                one.stop(number)
            else:
                one.send(number)
            for _ in range(5):
                await asyncio.gather(*(use(redis) for _ in range(25)))
            assert (await health.report())["state"] == "away"
            if number == signal.SIGKILL:
                one.start()
            else:
                one.send(signal.SIGCONT)
            await until(lambda: redis.outage.current is None)
            logged = lines(caplog)
            assert len(logged) == 2, logged
            assert "fails (" in logged[0]
            failed = int(logged[1].split(" commands")[0].split()[-1])
            # Only commands that were sent, without the probes.
            assert 250 <= failed <= 260, logged[1]
    finally:
        one.stop()


async def test_an_eviction_policy_that_drops_keys_causes_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = server(tmp_path / "valkey", "--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru").start()
    try:
        async with watched(one.url) as health:
            await until(lambda: health.warnings)
            assert ["volatile-lru" in warning for warning in health.warnings] == [True]
            assert health.warnings[0] in lines(caplog)[0]
            assert (await health.report())["warnings"] == list(health.warnings)
            await health.redis.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
            assert await health.inspect() == ()
            await health.redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "maxmemory", "0")
            assert await health.inspect() == (), "without maxmemory no key is deleted"
    finally:
        one.stop()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--appendonly", "no"), "appendonly no"),
        (("--appendonly", "yes", "--appendfsync", "everysec"), "appendfsync everysec"),
        (("--appendonly", "yes", "--appendfsync", "always"), None),
        (
            (
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--user",
                *["default", "on", "nopass", "~*", "&*", "+@all", "-config"],
            ),
            "refuses CONFIG GET",
        ),
    ],
)
async def test_unsafe_commands_cause_a_warning_about_a_redis_without_durable_writes(
    tmp_path: Path, args: tuple[str, ...], says: str | None
) -> None:
    one = server(tmp_path / "valkey", *args).start()
    try:
        async with watched(one.url, once_only=True) as health:
            found = await health.inspect()
            assert [says in warning for warning in found] == ([True] if says else [])
            assert health.redis.outage.current is None, "a refused CONFIG is not an outage"
        async with watched(one.url) as health:
            assert await health.inspect() == ()
    finally:
        one.stop()


async def test_settings_are_checked_when_a_redis_that_was_away_at_the_start_appears(tmp_path: Path) -> None:
    one = server(tmp_path / "valkey", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    one.port = free_port()
    async with watched(one.url) as health:
        await until(lambda: health.redis.outage.current is not None)
        assert (await health.report())["state"] == "away"
        one.start()
        try:
            await until(lambda: health.warnings)
        finally:
            one.stop()


async def test_the_documented_acl_rights_are_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """docs/redis.md, "When Redis refuses or is away"."""
    rights = ["on", ">secret", "~bff:*", "~events:*", "&bff:*", "+@all", "-@admin", "-@dangerous", "+info"]
    assert "`+@all -@admin -@dangerous +info`" in (ROOT / "docs/redis.md").read_text()
    one = server(tmp_path / "valkey").start()
    try:
        async with RedisClient(one.url) as admin:
            await admin.call("ACL", "SETUSER", "gateway", *rights)
        url = one.url.replace("//", "//gateway:secret@")
        async with watched(url) as health:
            redis: RedisClient = health.redis
            saga = SagaStatus(id="o1", type="order", status="RUNNING", version=1, at=AT)
            journal, channels = Journal(redis), Subscriptions(redis)
            hub = Hub(redis, channels, journal, Values(redis))
            dispatcher: Any = None
            reader = Ingester(redis, dispatcher, RedisStreams(redis, ["events:orders:0"]))
            async with channels, hub, reader:
                await channels.wait_confirmed(CONTROL)
                await journal.append("ada", Entry.of(saga, now_ms=1))
                await Values(redis).put("stock/a", 1, {}, AT)
                claims = Claims(redis, journal, Processes(redis))
                ticket = Ticket("ada", "key", "print", claims.new_holder(), 10, 60)
                assert isinstance((await claims.claim(ticket, safe=True))[0], New)
                assert await Processes(redis).ended("nobody")
                assert await journal.mark_incomplete() == 1
                await until(lambda: redis.call("EXISTS", redis_key("lease:ingest-redis")))
            assert await health.probe_failure() is None
            assert redis.outage.current is None
            assert lines(caplog) == []
    finally:
        one.stop()
