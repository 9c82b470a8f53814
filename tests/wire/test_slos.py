"""SLOs of commands and screens, counted by whole gateways. An outcome counts once, wherever the person's stream is."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx

from bff import Gateway, SagaStatus, Slo, complete, confirmed
from bff.edge.settings import Settings
from bff.stores.journal import Entry

from ..conftest import Valkey
from ..waiting import GUARD, until
from .gateway import World, bearer, declare, keyed, running
from .scripted import http
from .test_metrics import page_of, value

OWNER = "https://issuer.test|ada"
JOB = {"lines": [{"name": "x"}]}


def with_slos(*slos: Slo) -> Callable[[Settings], Gateway]:
    def declared(settings: Settings) -> Gateway:
        gateway = declare(settings)
        made = Gateway("wire", deadline=GUARD, settings=settings, routers=(gateway,), slos=slos)
        return made

    return declared


def begin(within: float, **more: object) -> Slo:
    return Slo("jobs", command="/api/jobs", good=confirmed(within=within, **more), target=0.99)  # type: ignore[arg-type]


@asynccontextmanager
async def stream(world: World, subject: str = "ada") -> AsyncIterator[httpx.Response]:
    """An open event stream whose first state has arrived."""
    async with world.client.stream("GET", "/bff/live", headers=bearer(subject)) as response:
        assert response.status_code == 200
        lines = response.aiter_lines()
        async for line in lines:
            if line.startswith("event: snapshot"):
                break
        yield response


async def order(world: World, key: str | None = None) -> str:
    key = key or str(uuid.uuid4())
    answer = await world.client.post("/api/jobs", json=JOB, headers=keyed(key))
    assert answer.status_code == 202
    return key


async def settle(world: World, key: str, status: str = "COMPLETED", owner: str | None = None) -> None:
    runtime = world.gateway.runtime
    assert runtime is not None
    at = datetime.now(UTC).isoformat()
    saga = SagaStatus(id="j1", type="job", status=status, version=1, at=at, mutation=key)  # type: ignore[arg-type]
    journal = runtime.stores.journal
    assert await journal.append(owner or OWNER, Entry.of(saga, now_ms=int(time.time() * 1000))) == "appended"


async def counts(*worlds: World) -> tuple[float, float]:
    """Events and good ones of the SLO, on all gateways together."""
    events = good = 0.0
    for world in worlds:
        async with page_of(world) as admin:
            page = (await admin.get("/metrics")).text
        events += value(page, "bff_slo_events_total", bff_slo="jobs") or 0
        good += value(page, "bff_slo_good_total", bff_slo="jobs") or 0
    return events, good


async def excluded(world: World, reason: str) -> float | None:
    async with page_of(world) as admin:
        page = (await admin.get("/metrics")).text
    return value(page, "bff_slo_excluded_total", bff_slo="jobs", bff_reason=reason)


async def become(expected: tuple[float, float], *worlds: World) -> None:
    async def holds() -> bool:
        return await counts(*worlds) == expected

    await until(holds, f"the counts did not become {expected}")


@asynccontextmanager
async def two(redis_url: str, slo: Slo) -> AsyncIterator[tuple[World, World]]:
    declared = with_slos(slo)
    async with running(redis_url, declared=declared) as one, running(redis_url, declared=declared) as other:
        yield one, other


async def owner_of(world: World) -> str:
    return str((await world.get("/api/me")).json()["id"])


async def test_an_outcome_on_a_stream_of_another_gateway_is_good(redis_url: str) -> None:
    async with two(redis_url, begin(within=GUARD)) as (one, other), stream(other):
        assert await owner_of(one) == OWNER
        key = await order(one)
        assert await counts(one, other) == (0, 0)
        await settle(one, key)
        await become((1, 1), one, other)


async def test_an_outcome_on_several_streams_counts_once(redis_url: str) -> None:
    async with two(redis_url, begin(within=GUARD)) as (one, other), stream(other), stream(one), stream(one):
        await settle(one, await order(one))
        await become((1, 1), one, other)
        await settle_nothing(one, other)
        assert await counts(one, other) == (1, 1)


async def settle_nothing(*worlds: World) -> None:
    """Wait until the meters have asked Redis everything."""
    for world in worlds:
        meter = world.gateway.runtime and world.gateway.runtime.outcomes
        assert meter
        await until(lambda meter=meter: meter.idle)  # type: ignore[misc]


async def test_an_outcome_that_does_not_come_in_time_is_bad_for_a_person_who_waits(redis_url: str) -> None:
    async with two(redis_url, begin(within=0.2)) as (one, other), stream(other):
        key = await order(one)
        await become((1, 0), one, other)
        # What comes later changes nothing.
        await settle(one, key)
        await settle_nothing(one, other)
        assert await counts(one, other) == (1, 0)


async def test_an_outcome_that_nobody_saw_is_neither_good_nor_bad(redis_url: str) -> None:
    async with two(redis_url, begin(within=0.5)) as (one, other):
        await settle(one, await order(one))

        async def left_out() -> bool:
            return await excluded(one, "left") == 1

        await until(left_out)
        assert await counts(one, other) == (0, 0)


async def test_a_person_who_left_before_the_outcome_was_due_is_not_bad(redis_url: str) -> None:
    async with two(redis_url, begin(within=0.5)) as (one, other):
        async with stream(other):
            await order(one)

        async def left_out() -> bool:
            return await excluded(one, "left") == 1

        await until(left_out)
        assert await counts(one, other) == (0, 0)


async def test_a_stream_that_opens_later_gets_the_outcome_with_its_state(redis_url: str) -> None:
    async with two(redis_url, begin(within=GUARD)) as (one, other):
        await settle(one, await order(one))
        async with stream(other):
            await become((1, 1), one, other)


async def test_a_status_that_is_no_success_is_bad(redis_url: str) -> None:
    async with two(redis_url, begin(within=GUARD, statuses=("COMPLETED",))) as (one, other), stream(one):
        await settle(one, await order(one), "COMPENSATED")
        await become((1, 0), one, other)


async def test_the_outcome_of_a_gateway_that_ended_is_counted_by_another(redis_url: str) -> None:
    async with two(redis_url, begin(within=GUARD)) as (one, other), stream(other):
        key = await order(one)
        await one.gateway.stop()
        await settle(other, key)
        await become((1, 1), other)


async def test_a_failed_command_is_bad_at_once_and_its_saga_counts_no_second_time(redis_url: str) -> None:
    async with two(redis_url, begin(within=0.3)) as (one, other), stream(one):
        one.upstream.answers["/jobs"] = http(500, b"{}")
        answer = await one.client.post("/api/jobs", json=JOB, headers=keyed())
        assert answer.status_code == 502
        await become((1, 0), one, other)
        one.upstream.answers["/jobs"] = http(422, b"{}")
        await one.client.post("/api/jobs", json=JOB, headers=keyed())
        await settle_nothing(one, other)
        assert await counts(one, other) == (1, 0)
        assert await excluded(one, "refused") == 1


async def test_the_same_key_after_a_failure_is_a_new_event_and_a_replay_is_none(redis_url: str) -> None:
    async with two(redis_url, begin(within=GUARD)) as (one, other), stream(one):
        good, key = one.upstream.answers["/jobs"], str(uuid.uuid4())
        one.upstream.answers["/jobs"] = http(500, b"{}")
        await one.client.post("/api/jobs", json=JOB, headers=keyed(key))
        one.upstream.answers["/jobs"] = good
        await order(one, key)
        await order(one, key)
        await settle(one, key)
        await become((2, 1), one, other)
        await order(other, key)
        await settle_nothing(one, other)
        assert await counts(one, other) == (2, 1)


async def test_what_could_not_be_timed_while_redis_was_away_is_left_out(own_valkey: Valkey) -> None:
    slo = begin(within=1.0)
    async with running(
        own_valkey.url, declared=with_slos(slo), redis={"url": own_valkey.url, "timeout": 0.5}
    ) as one:
        await order(one)
        own_valkey.stop()

        async def left_out() -> bool:
            return await excluded(one, "unmeasured") == 1

        await until(left_out)
        assert await counts(one) == (0, 0)


async def test_a_screen_without_an_optional_part_spends_only_the_budget_of_completeness(
    redis_url: str,
) -> None:
    slo = Slo("screen", view="/api/optional/{how}", good=complete(within=GUARD), target=0.99)
    async with running(redis_url, declared=with_slos(slo)) as world, page_of(world) as admin:
        assert (await world.get("/api/optional/ok")).headers["bff-complete"] == "true"
        assert (await world.get("/api/optional/broken")).headers["bff-complete"] == "false"
        page = (await admin.get("/metrics")).text
        for name, good in (("screen", 2), ("screen-complete", 1)):
            assert value(page, "bff_slo_events_total", bff_slo=name) == 2
            assert value(page, "bff_slo_good_total", bff_slo=name) == good


async def test_a_gateway_without_slos_counts_nothing_for_them(redis_url: str) -> None:
    async with running(redis_url) as world, page_of(world) as admin:
        assert "bff_slo=" not in (await admin.get("/metrics")).text
        assert world.gateway.runtime is not None and world.gateway.runtime.outcomes is None
