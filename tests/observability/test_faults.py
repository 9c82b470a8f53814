"""Runbooks, tried: a fault is made at a real gateway, the alert's expression fires in a real Prometheus, what the page
says is done, and it ends. Rates are taken over seconds in place of minutes, and `for` is left out."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis.asyncio as redis

from ..conftest import wait_for_port
from ..shop.system import BrowserSession, Shop, basket, following, place, running
from ..waiting import GUARD, until
from .observed import Prometheus, prometheus
from .shop_export import alerts

pytestmark = pytest.mark.slow


@dataclass
class Watched:
    shop: Shop
    server: Prometheus

    async def fires(self, name: str, **labels: str) -> None:
        await until(lambda: self._holds(name, labels), f"{name} did not fire", seconds=2 * GUARD)

    async def ends(self, name: str, **labels: str) -> None:
        async def over() -> bool:
            return not await self._holds(name, labels)

        await until(over, f"{name} did not end", seconds=2 * GUARD)

    async def _holds(self, name: str, labels: dict[str, str]) -> bool:
        found = [
            alert for alert in alerts() if alert.name == name and labels.items() <= dict(alert.labels).items()
        ]
        assert len(found) == 1, found
        return await asyncio.to_thread(self.server.holds, found[0].expr)

    async def fired(self) -> set[str]:
        """The names of all alerts whose expression has a result."""
        return {alert.name for alert in alerts() if await asyncio.to_thread(self.server.holds, alert.expr)}


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    with (
        running(folder / "shop") as shop,
        prometheus(folder / "prometheus", f"127.0.0.1:{shop.admin_port}") as server,
    ):
        yield Watched(shop, server)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("faults")) as made:
        yield made


async def during(load: Callable[[], Awaitable[object]], wanted: Awaitable[None]) -> None:
    """Repeat the load until what is wanted has happened."""
    waiting = asyncio.ensure_future(wanted)
    while not waiting.done():
        await load()
        await asyncio.sleep(0.05)
    await waiting


async def test_health_fires_nothing(one: Watched) -> None:
    async with one.shop.api("ada") as ada, following(one.shop, "ada") as [stream]:
        for _ in range(3):
            saga = (await place(ada, basket())).json()["saga"]["id"]
            await stream.until(lambda it, saga=saga: it.ended(saga))
            await ada.get("/api/screens/products/mug-01")
        await asyncio.sleep(3)
        assert await one.fired() == set()


async def test_no_gateway_and_one_is_started_again(one: Watched) -> None:
    one.shop.kill_gateway()
    await one.fires("BffNoGateway")
    await one.fires("BffGatewayDown")
    one.shop.start_gateway()
    await one.ends("BffNoGateway")
    await one.ends("BffGatewayDown")


async def test_redis_does_not_answer_and_is_let_go_on(one: Watched) -> None:
    valkey = one.shop.world.valkey
    valkey.send(signal.SIGSTOP)
    try:
        async with one.shop.api("ada") as ada:
            order = asyncio.create_task(place(ada, basket()))
            await one.fires("BffRedisFailing")
    finally:
        valkey.send(signal.SIGCONT)
    await one.ends("BffRedisFailing")
    order.cancel()


async def test_redis_refuses_and_gets_more_memory(one: Watched) -> None:
    client = redis.from_url(one.shop.world.valkey.url)
    await client.config_set("maxmemory", "1")
    try:
        async with one.shop.api("ada") as ada:
            await ada.get("/api/screens/orders")
            await during(
                lambda: ada.post("/api/notifications/read", headers={"idempotency-key": os.urandom(8).hex()}),
                one.fires("BffRedisFailing"),
            )
            # The page: /readyz says the code and what to do.
            ready = (await ada.get("/readyz")).json()["dependencies"]["redis"]
            assert ready["state"] == "refusing" and ready["refuses"][0]["code"] == "OOM"
    finally:
        await client.config_set("maxmemory", "0")
        await client.aclose()
    await one.ends("BffRedisFailing")


async def test_a_service_fails_and_is_repaired(one: Watched) -> None:
    async with one.shop.api("ada") as ada:
        one.shop.world.faults("orders", error_rate=1.0)
        try:
            await during(
                lambda: ada.get("/api/screens/orders"), one.fires("BffServiceFailing", bff_service="orders")
            )
            assert "BffServiceFailing" in await one.fired()
        finally:
            one.shop.world.calm("orders")
        await during(
            lambda: ada.get("/api/screens/orders"), one.ends("BffServiceFailing", bff_service="orders")
        )


async def test_the_identity_provider_is_away_and_is_started_again(one: Watched) -> None:
    world = one.shop.world
    # A gateway that knows the provider's configuration needs its token endpoint only at the callback.
    with BrowserSession(one.shop) as session:
        assert session.sign_in("ada").status_code < 400
    world.kill("identity")
    one.shop.kill_gateway()
    one.shop.start_gateway()

    async def try_to_sign_in() -> None:
        async with httpx.AsyncClient(base_url=one.shop.url, trust_env=False, timeout=GUARD) as browser:
            assert (await browser.get("/bff/login")).status_code >= 500

    try:
        await during(try_to_sign_in, one.fires("BffSignInFailing"))
    finally:
        world.start("identity")
    with BrowserSession(one.shop) as session:
        assert (await asyncio.to_thread(session.sign_in, "ada")).status_code < 400
    await one.ends("BffSignInFailing")


async def test_outcomes_are_late_and_the_budget_burns_until_the_service_is_quick_again(one: Watched) -> None:
    async with one.shop.api("grace") as grace, following(one.shop, "grace"):
        one.shop.world.faults("payments", latency_ms=600_000)
        try:
            for _ in range(20):
                await place(grace, basket())
            expr = 'bff:slo_errors:ratio_rate5m{bff_slo="checkout"} > 0.5'
            await until(lambda: asyncio.to_thread(one.server.holds, expr), "no budget burned", seconds=GUARD)
        finally:
            one.shop.world.calm("payments")
        await one.fires("BffSloBudgetBurnsFast", bff_slo="checkout")


async def test_an_unready_gateway_is_seen_while_it_drains(tmp_path: Path) -> None:
    with watched(tmp_path) as one:
        gateway = one.shop.gateway
        assert gateway is not None
        one.shop.kill_gateway()
        one.shop.extra = {"BFF_HTTP__LINGER": "20", "BFF_LIVE__DRAIN": "20"}
        one.shop.start_gateway()
        assert one.shop.gateway is not None
        wait_for_port(one.shop.port, process=one.shop.gateway.process)
        await one.ends("BffNoGateway")
        one.shop.gateway.process.send_signal(signal.SIGTERM)
        await one.fires("BffGatewayUnready")
        # The page: a gateway that was told to stop and does not end is killed, and another one started.
        one.shop.kill_gateway()
        one.shop.extra = {}
        one.shop.start_gateway()
        await one.ends("BffGatewayUnready")


async def test_a_full_bulkhead_is_seen_and_ends_with_the_slow_service(tmp_path: Path) -> None:
    with watched(tmp_path) as one:
        one.shop.kill_gateway()
        one.shop.extra = {
            "BFF_UPSTREAMS__ORDERS__BULKHEAD__PERMITS": "2",
            "BFF_UPSTREAMS__ORDERS__BULKHEAD__QUEUE": "0",
            "BFF_UPSTREAMS__ORDERS__BREAKER__SLOW_RATE": "1",
            "BFF_UPSTREAMS__ORDERS__BREAKER__FAILURES": "1000",
            "BFF_UPSTREAMS__ORDERS__BREAKER__MINIMUM": "1000",
        }
        one.shop.start_gateway()
        one.shop.world.faults("orders", latency_ms=1000)
        async with one.shop.api("ada") as ada:

            async def crowd() -> None:
                await asyncio.gather(*(ada.get(f"/api/screens/orders/{n}") for n in range(6)))

            try:
                await during(crowd, one.fires("BffBulkheadFull", bff_service="orders"))
            finally:
                one.shop.world.calm("orders")
            await one.ends("BffBulkheadFull", bff_service="orders")
