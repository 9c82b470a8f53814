"""A value whose load failed, or that was the sixty-fifth under way, was never asked for again.

Put in: a stream that asks for a value nobody has published, while its service answers the first questions with errors;
and 100 values asked for together, of which 64 may be loaded at a time. The stream was left without the values until it
was opened anew.

Right: a load is tried again, later and later, as long as a stream asks for the value and nothing is known of it; beyond
64 under way the others wait their turn. Source: docs/contract.md, "The live stream".
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
async def test_a_load_that_fails_is_tried_again_until_the_value_is_there(redis_url: str) -> None:
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
async def test_nothing_is_asked_for_that_was_published_meanwhile_or_that_nobody_wants_any_more(
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
