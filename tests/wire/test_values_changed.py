"""Values whose data a source outside has changed: loaded again and announced on the streams that follow them, at every
gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import BaseModel

from bff import Call, Gateway, Upstream
from bff.edge.settings import Settings

from ..waiting import GUARD, until
from .gateway import World, bearer, running
from .scripted import Gate, Scripted
from .upstream import http

SECRET = "a-token-of-at-least-24-characters"
TOKEN = {"authorization": f"Bearer {SECRET}"}
HOOK = {"webhooks": {"cms": {"secret": SECRET, "proof": "token", "subject": "entry.id"}}}


class Level(BaseModel):
    version: int
    left: int


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def level(self, sku: str) -> Call[Level]:
        call = self.get("/level/{sku}", Level, sku=sku).public()
        return call.fresh(600).tagged("level", f"level/{sku}")


shelf = Shelf()


def declare(settings: Settings) -> Gateway:
    gateway = Gateway("values", upstreams=(shelf,), settings=settings)
    gateway.value("level/{sku}", Level, public=True, load=shelf.level)
    return gateway


@dataclass
class Follower:
    """A client of the stream that follows one value. versions: those it has received; gone: versions that it was told
    are gone; states: the values of each state."""

    versions: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    states: list[list[int]] = field(default_factory=list)

    async def follow(self, client: httpx.AsyncClient, name: str) -> None:
        async with client.stream("GET", f"/bff/live?value={name}", headers=bearer()) as answer:
            event = ""
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                if line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                    if data.get("gone"):
                        assert event == "gone" and data.keys() == {"name", "version", "at", "gone"}
                        self.gone.append(data["version"])
                        continue
                    if "values" in data:
                        self.states.append([one["version"] for one in data["values"]])
                    found = data["values"] if "values" in data else [data] if data.get("name") == name else []
                    self.versions += [one["version"] for one in found]


@asynccontextmanager
async def following(client: httpx.AsyncClient, name: str = "level/a") -> AsyncIterator[Follower]:
    follower = Follower()
    task = asyncio.create_task(follower.follow(client, name))
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.wait([task])


def says(service: Scripted, version: int) -> None:
    service.answers["/level/a"] = http(200, json.dumps({"version": version, "left": version}).encode())


async def report(world: World, id: str = "a") -> None:
    told = await world.client.post(
        "/bff/changes/cms", json={"model": "level", "entry": {"id": id}}, headers=TOKEN
    )
    assert told.status_code == 204, told.text


async def received(follower: Follower, *versions: int) -> None:
    await until(lambda: follower.versions == list(versions), GUARD / 2)


async def test_a_change_reported_to_one_gateway_is_announced_on_the_streams_of_every_gateway(
    redis_url: str,
) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running(redis_url, declared=declare, **HOOK))
        two = await stack.enter_async_context(running(redis_url, declared=declare, **HOOK))
        for service in (one.upstream, two.upstream):
            says(service, 1)
        here = await stack.enter_async_context(following(one.client))
        there = await stack.enter_async_context(following(two.client))
        await received(here, 1)
        await received(there, 1)
        for service in (one.upstream, two.upstream):
            says(service, 2)
        await report(two)
        await received(here, 1, 2)
        await received(there, 1, 2)


async def test_a_change_of_a_value_that_no_stream_follows_asks_no_service(redis_url: str) -> None:
    async with running(redis_url, declared=declare, **HOOK) as world:
        says(world.upstream, 1)
        world.upstream.answers["/level/b"] = http(200, b'{"version":1,"left":1}')
        async with following(world.client) as follower:
            await received(follower, 1)
            says(world.upstream, 2)
            await report(world, "b")
            await report(world, "a")
            # What the first report had begun would have asked by now.
            await received(follower, 1, 2)
        assert {one.path for one in world.upstream.asked} == {"/level/a"}


async def test_a_change_while_the_value_is_loaded_is_followed_by_another_load(redis_url: str) -> None:
    async with running(redis_url, declared=declare, **HOOK) as world:
        says(world.upstream, 1)
        async with following(world.client) as follower:
            await received(follower, 1)
            slow = Gate(b'{"version":2,"left":2}')
            world.upstream.answers["/level/a"] = slow
            await report(world)
            await until(lambda: len(world.upstream.asked) == 2)
            # The service has read its data for the second answer, and has not answered yet.
            says(world.upstream, 3)
            await report(world)
            slow.open.set()
            await until(lambda: follower.versions[-1] == 3, GUARD / 2)


async def test_a_load_that_fails_after_a_change_is_repeated(redis_url: str) -> None:
    async with running(redis_url, declared=declare, **HOOK) as world:
        says(world.upstream, 1)
        async with following(world.client) as follower:
            await received(follower, 1)
            world.upstream.answers["/level/a"] = http(500, b"{}")
            await report(world)
            # One load makes three attempts at most; the fifth request is of a second one.
            await until(lambda: len(world.upstream.asked) > 4)
            says(world.upstream, 2)
            await received(follower, 1, 2)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_value_that_its_service_withdraws_is_gone_on_the_streams_of_every_gateway_and_for_new_ones(
    redis_url: str, status: int
) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running(redis_url, declared=declare, **HOOK))
        two = await stack.enter_async_context(running(redis_url, declared=declare, **HOOK))
        services = (one.upstream, two.upstream)
        for service in services:
            says(service, 1)
        here = await stack.enter_async_context(following(one.client))
        there = await stack.enter_async_context(following(two.client))
        await received(here, 1)
        await received(there, 1)
        for service in services:
            service.answers["/level/a"] = http(status, b"{}")
        await report(two)
        await until(lambda: here.gone == there.gone == [1], GUARD / 2)
        # A client that joins now, or again, must not show what was withdrawn.
        late = await stack.enter_async_context(following(two.client))
        await until(lambda: late.gone == [1], GUARD / 2)
        assert (late.states, late.versions) == ([[]], [])
        state = await two.client.get("/bff/live/snapshot?value=level/a", headers=bearer())
        assert state.status_code == 200 and state.json()["values"] == []
        # It is back as it was.
        for service in services:
            says(service, 1)
        await report(one)
        await received(here, 1, 1)
        await received(there, 1, 1)
        await received(late, 1)


@pytest.mark.parametrize("now", [2, 1, None], ids=["changed", "unchanged", "withdrawn"])
async def test_a_value_that_changes_while_nobody_follows_it_is_loaded_for_the_next_stream(
    redis_url: str, now: int | None
) -> None:
    async with running(redis_url, declared=declare, **HOOK) as world:
        says(world.upstream, 1)
        async with following(world.client) as follower:
            await received(follower, 1)
        live = world.gateway.runtime
        assert live is not None
        await until(lambda: not live.live.hub._feeds.follows("level/a"))
        if now is None:
            world.upstream.answers["/level/a"] = http(404, b"{}")
        else:
            says(world.upstream, now)
        await report(world)

        async def marked() -> bool:
            return await live.stores.values.known("level/a") == (1, True)

        await until(marked)
        async with following(world.client) as follower:
            if now is None:
                await until(lambda: follower.gone == [1], GUARD / 2)
                assert follower.versions == []
            else:
                await received(follower, now)
                assert await live.stores.values.known("level/a") == (now, False)


async def test_a_version_that_is_published_while_its_older_one_is_withdrawn_stays(redis_url: str) -> None:
    async with running(redis_url, declared=declare, **HOOK) as world:
        says(world.upstream, 1)
        async with following(world.client) as follower:
            await received(follower, 1)
            slow = Gate(b"{}", status=404)
            world.upstream.answers["/level/a"] = slow
            await report(world)
            await until(lambda: len(world.upstream.asked) == 2)
            runtime = world.gateway.runtime
            assert runtime is not None
            await runtime.stores.values.put("level/a", 2, {"version": 2, "left": 2}, "2026-01-01T00:00:00Z")
            await received(follower, 1, 2)
            slow.open.set()
            says(world.upstream, 3)
            await report(world)
            await received(follower, 1, 2, 3)
            assert follower.gone == []
