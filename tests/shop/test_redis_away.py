"""Redis frozen for ten seconds, killed and restarted, and emptied: the promised behaviour, with measurements."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.waiting import GUARD

from .system import BrowserSession, Follower, Shop, basket, following, key, place

FROZEN = 10.0


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop whose Redis writes an append-only log, as a deployment's would."""
    log = ("--appendonly", "yes", "--appendfsync", "everysec")
    shop = Shop(tmp_path_factory.mktemp("durable"), valkey_args=log)
    # How long the gateway waits for Redis matters in these tests.
    shop.extra = {"BFF_REDIS__TIMEOUT": "0.5"}
    with shop:
        yield shop


async def _until_ended(streams: list[Follower], id: str, seconds: float = GUARD) -> None:
    for stream in streams:
        await stream.until(lambda one: one.ended(id), seconds)


def _contiguous(stream: Follower) -> None:
    """Each position follows the one before; only a reset may start an epoch. An event without an id comes while the
    journal is lost, and moves no position."""
    last = ""
    for event in stream.events:
        if event.name == "saga" and event.id is not None:
            epoch, offset = last.rsplit("-", 1)
            assert event.id == f"{epoch}-{int(offset) + 1}"
        last = event.id or last


async def test_with_redis_frozen_reads_go_on_commands_are_503_and_streams_catch_up(durable: Shop) -> None:
    shop = durable
    figures: list[str] = []
    with BrowserSession(shop) as browser:
        await asyncio.to_thread(browser.sign_in, "ada")
        async with shop.api("ada") as api, following(shop, "ada", 10) as streams:
            placed = await place(api, basket())
            before = placed.json()["saga"]["id"]
            await _until_ended(streams, before)
            connects = [stream.connects for stream in streams]

            shop.world.valkey.send(signal.SIGSTOP)
            try:
                began = time.monotonic()
                slowest = 0.0
                while time.monotonic() - began < FROZEN:
                    asked = time.monotonic()
                    screen = await api.get("/api/screens/products")
                    assert screen.status_code == 200
                    slowest = max(slowest, time.monotonic() - asked)
                    mine = await asyncio.to_thread(browser.send, "GET", f"{shop.url}/api/screens/orders")
                    assert mine.status_code == 200, "a session that was used lately is remembered"
                    await asyncio.sleep(0.2)
                figures.append(f"slowest screen while frozen {slowest * 1000:.0f} ms")
                command = await api.post("/api/orders", json=basket(), headers={"idempotency-key": key()})
                assert (command.status_code, command.json()["code"]) == (503, "unavailable")
                assert command.headers["retry-after"]
                stranger = httpx.get(
                    f"{shop.url}/bff/user", headers={"cookie": "__Host-bff=" + "A" * 43}, trust_env=False
                )
                assert stranger.status_code == 503, "an unknown session is not known to be invalid"
            finally:
                shop.world.valkey.send(signal.SIGCONT)
            back = time.monotonic()
            while True:
                answer = await place(api, basket())
                if answer.status_code == 202:
                    break
                assert time.monotonic() - back < GUARD, "commands do not work again"
                await asyncio.sleep(0.05)
            figures.append(f"commands again after {(time.monotonic() - back) * 1000:.0f} ms")
            await _until_ended(streams, answer.json()["saga"]["id"])
            assert [stream.connects for stream in streams] == connects, "no stream was closed"
            for stream in streams:
                _contiguous(stream)
                assert [event.name for event in stream.events].count("reset") == 0
    print("; ".join(figures))


async def test_with_redis_killed_and_restarted_streams_stay_open_and_nothing_is_lost(durable: Shop) -> None:
    shop = durable
    async with shop.api("grace") as api, following(shop, "grace", 10) as streams:
        shop.world.faults("payments", latency_ms=300)
        ids = []
        for number in range(4):
            answer = await place(api, basket())
            ids.append(answer.json()["saga"]["id"])
            if number == 2:
                shop.world.valkey.stop(signal.SIGKILL)
                await asyncio.sleep(1.0)
                await asyncio.to_thread(shop.world.valkey.start)
                back = time.monotonic()
                await _commands_work(api, back)
        for id in ids:
            await _until_ended(streams, id)
        for stream in streams:
            assert stream.connects == 1, "no stream was closed"
            _contiguous(stream)
            # Redis may have lost what it had confirmed, so each stream gets the whole state before its next event.
            assert [event.name for event in stream.events].count("reset") <= 2
        newest = [[one.newest(id) for id in ids] for one in streams]
        assert all(one == newest[0] for one in newest), "all streams agree"
        for id in ids:
            assert len(shop.world.charges(id)) == 1
    shop.world.calm()


async def _commands_work(api: httpx.AsyncClient, since: float) -> None:
    while True:
        answer = await place(api, basket())
        if answer.status_code == 202:
            return
        assert time.monotonic() - since < GUARD
        await asyncio.sleep(0.1)


async def test_with_redis_emptied_journals_are_restored_and_every_stream_gets_a_reset(durable: Shop) -> None:
    shop = durable
    async with shop.api("ada") as api, following(shop, "ada", 5) as streams:
        done = await place(api, basket())
        done_id = done.json()["saga"]["id"]
        await _until_ended(streams, done_id)
        shop.world.faults("payments", hold="before", match="POST /charges$")
        placed = await place(api, basket())
        id = placed.json()["saga"]["id"]
        await asyncio.to_thread(shop.world.wait_held, "payments")
        await asyncio.to_thread(_empty, shop)
        shop.world.calm("payments")
        await _until_ended(streams, id)
        for stream in streams:
            # The end of the saga may arrive before the journal is restored.
            await stream.until(lambda one: _reset_to(one, {done_id, id}))
            assert stream.connects == 1
            newest, known = stream.newest(id), stream.newest(done_id)
            assert newest is not None and newest["status"] == "COMPLETED"
            assert known is not None and known["status"] == "COMPLETED"
        # An old cursor gets a reset, never nothing. While a journal is being restored, changes come first (see "lost
        # journals" in the contract).
        async with following(shop, "ada", query=f"?after={placed.json()['cursor']}") as [late]:
            await late.until(lambda stream: any(event.name == "reset" for event in stream.events))
        where = await api.get(f"/bff/sagas/order/{done_id}")
        assert where.status_code == 200


def _reset_to(stream: Follower, ids: set[str]) -> bool:
    """Whether the last reset lists these sagas, as the orders service has them."""
    resets = [event for event in stream.events if event.name == "reset"]
    return bool(resets) and {saga["id"] for saga in resets[-1].data["sagas"]} >= ids


def _empty(shop: Shop) -> None:
    with socket.create_connection(("127.0.0.1", shop.world.valkey.port), timeout=GUARD) as link:
        link.sendall(b"FLUSHALL\r\n")
        assert link.recv(16).startswith(b"+OK")
