"""Values that no service has: requested once, remembered as absent, and counted for the client that asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from bff import Call, Gateway, Upstream
from bff.edge.settings import Settings

from ..unit.edge.access.issuing import ISSUER
from .gateway import bearer
from .scripted import Scripted, upstream
from .upstream import http


class Level(BaseModel):
    version: int
    left: int


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def level(self, sku: str) -> Call[Level]:
        return self.get("/level/{sku}", Level, sku=sku).public()


shelf = Shelf()
FIFTY = [f"level/s{number}" for number in range(50)]


@asynccontextmanager
async def world(redis_url: str, **changes: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Scripted, Gateway]]:
    gateway = Gateway("values", upstreams=(shelf,))
    gateway.value("level/{sku}", Level, public=True, load=shelf.level)
    async with upstream() as service:
        settings: dict[str, Any] = {
            "redis": {"url": redis_url, "timeout": 10},
            "admission": {"lag": 10, "standing": 10},
            "upstreams": {"shelf": {"url": f"http://127.0.0.1:{service.port}"}},
            "issuers": [
                {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{service.port}/keys"}
            ],
            **changes,
        }
        runtime = await gateway.start(Settings.model_validate(settings))
        # On a busy machine the limit must not be counted locally.
        runtime.limits._store._wait = 30.0
        try:
            transport = httpx.ASGITransport(gateway)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
                yield client, service, gateway
        finally:
            await gateway.stop()


async def snapshot(client: httpx.AsyncClient, names: list[str], who: str = "ada") -> httpx.Response:
    query = [("value", name) for name in names]
    return await client.get("/bff/live/snapshot", params=query, headers=bearer(who))


@pytest.mark.parametrize("status", [404, 410])
async def test_an_absent_value_is_requested_once(redis_url: str, status: int) -> None:
    async with world(redis_url) as (client, service, gateway):
        for sku in FIFTY:
            service.answers[f"/{sku}"] = http(status, b"{}")
        for who in ("ada", "grace", "ada"):
            answer = await snapshot(client, FIFTY, who)
            assert answer.status_code == 200 and answer.json()["values"] == []
        # However often and by whichever client.
        assert sorted(one.path for one in service.asked) == sorted(f"/{name}" for name in FIFTY)
        runtime = gateway.runtime
        assert runtime is not None
        # A value that is published meanwhile is there at once.
        await runtime.stores.values.put("level/s1", 1, {"left": 3}, "2026-01-01T00:00:00Z")
        answer = await snapshot(client, FIFTY)
        assert [one["name"] for one in answer.json()["values"]] == ["level/s1"]


async def test_an_absent_value_is_requested_again_after_a_while(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.loads.ABSENT_FOR", 0.0)
    async with world(redis_url) as (client, service, _):
        await snapshot(client, ["level/s1"])
        service.answers["/level/s1"] = http(200, b'{"version":1,"left":2}')
        answer = await snapshot(client, ["level/s1"])
        assert [one["data"]["left"] for one in answer.json()["values"]] == [2]


async def test_each_value_counts_as_a_request(redis_url: str) -> None:
    async with world(redis_url, limits={"default": "120/hour"}) as (client, _, _gateway):
        first, second = await snapshot(client, FIFTY), await snapshot(client, FIFTY)
        assert first.status_code == second.status_code == 200
        refused = await snapshot(client, FIFTY)
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
        # Another spelling of the name is the same request.
        spelled = "&".join(f"%76alue={name}" for name in FIFTY)
        bent = await client.get(f"/bff/live/snapshot?{spelled}", headers=bearer())
        assert bent.status_code == 429
        # One request still fits, and other people have their own limit.
        assert (await snapshot(client, [])).status_code == 200
        assert (await snapshot(client, FIFTY, "grace")).status_code == 200


async def test_a_request_larger_than_the_whole_limit_is_served_once(redis_url: str) -> None:
    async with world(redis_url, limits={"default": "10/hour"}) as (client, _, _gateway):
        assert (await snapshot(client, FIFTY)).status_code == 200
        assert (await snapshot(client, FIFTY)).status_code == 429


async def test_the_number_of_remembered_names_is_bounded(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.loads._ABSENT_MOST", 20)
    async with world(redis_url) as (client, _, gateway):
        for start in range(0, 100, 50):
            await snapshot(client, [f"level/x{number}" for number in range(start, start + 50)])
        runtime = gateway.runtime
        assert runtime is not None
        await asyncio.sleep(0)
        assert len(runtime.live.hub._loads._absent) == 20
