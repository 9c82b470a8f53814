"""A value whose load failed, or that was the sixty-fifth load under way, was never loaded again.

Input: a stream with a value that is not published, while its service answers the first requests with errors; and 100
values requested together, of which 64 may be loaded at a time. The stream lacked the values until it was opened again.

Right: a load is tried again, with growing pauses, as long as a stream wants the value and nothing is known of it;
beyond 64 under way the others wait for their turn. Source: docs/contract.md, "The live stream".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bff.edge.settings import LiveSettings
from bff.live import ValueTopic, loads

from ..waiting import GUARD, until
from ..wire.test_stream import client, world

FOUND = {"version": 1, "data": {"available": 9}}


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "_FIRST", 0.01)


@pytest.mark.usefixtures("soon")
async def test_a_failed_load_is_tried_again_until_the_value_is_there(redis_url: str) -> None:
    asked = 0

    async def load(name: str) -> Mapping[str, Any] | None:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise RuntimeError("the service errs")
        return FOUND

    topics = [ValueTopic("stock/{sku}", public=True, load=load)]
    async with world(redis_url, topics=topics) as one, client(one, "/bff/live?value=stock/a") as ada:
        assert (await ada.until("value")).data["data"] == {"available": 9}
        assert asked == 4


@pytest.mark.usefixtures("soon")
async def test_a_value_that_was_published_or_is_no_longer_wanted_is_not_loaded_again(
    redis_url: str,
) -> None:
    asked: list[str] = []

    async def load(name: str) -> Mapping[str, Any] | None:
        asked.append(name)
        raise RuntimeError("the service errs")

    topics = [ValueTopic("stock/{sku}", public=True, load=load)]
    async with world(redis_url, topics=topics) as one:
        path = "/bff/live?value=stock/told&value=stock/left"
        async with client(one, path) as ada:
            await until(lambda: asked.count("stock/told") > 1 and asked.count("stock/left") > 1)
            await one.values.put("stock/told", 1, {}, "2026-03-01T10:00:00Z")
            assert (await ada.until("value")).data["name"] == "stock/told"
            running = one.hub._loads._running
            await until(lambda: list(running) == ["stock/left"])
        await until(lambda: not running)


async def test_values_beyond_those_that_may_be_loaded_together_wait_their_turn(redis_url: str) -> None:
    under_way = most = 0
    go_on = asyncio.Event()

    async def load(name: str) -> Mapping[str, Any] | None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 64:
            go_on.set()
        await go_on.wait()
        under_way -= 1
        return FOUND

    topics = [ValueTopic("stock/{sku}", public=True, load=load)]
    async with world(redis_url, topics=topics) as one:
        one.settings = LiveSettings(values=100)
        path = "/bff/live?" + "&".join(f"value=stock/{number}" for number in range(100))
        async with client(one, path) as ada, asyncio.timeout(GUARD):
            names = {(await ada.until("value")).data["name"] for _ in range(100)}
        assert (len(names), most) == (100, 64)
