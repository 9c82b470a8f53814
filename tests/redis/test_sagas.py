"""Which sagas are open, as all gateways together know it, and what the process counts that reads the events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bff.edge.observe.metrics import LiveMetrics, Metrics
from bff.live.ingest import EventDispatcher
from bff.live.saga_watch import SagaWatch
from bff.stores.dead_letters import DeadLetters
from bff.stores.events import BrokerEvent
from bff.stores.journal import Journal
from bff.stores.keys import owner_tag
from bff.stores.persons import PersonStore
from bff.stores.redis.client import RedisClient
from bff.stores.sagas import OpenSagas, SagaEnd, SagaStates
from bff.stores.values import Values

from ..waiting import GUARD
from ..wire.test_metrics import value
from .test_ingest import REGISTRY, status

ADA = "https://id.example|ada"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


async def test_a_saga_is_open_from_its_first_event_to_its_last(redis: RedisClient) -> None:
    sagas = OpenSagas(redis, clock=lambda: 100.0)
    assert await sagas.track("order", ADA, "o1", 1, 60_000, "open") is None
    assert await sagas.track("order", ADA, "o2", 1, 70_000, "open") is None
    assert await sagas.track("order", ADA, "o2", 2, 80_000, "attention") is None
    assert await sagas.states(["order", "job"]) == {"order": SagaStates(2, 40.0, 1), "job": SagaStates()}
    assert await sagas.track("order", ADA, "o1", 3, 95_500, "ended") == SagaEnd(35.5)
    assert await sagas.states(["order"]) == {"order": SagaStates(1, 30.0, 1)}
    assert await sagas.track("order", ADA, "o2", 3, 99_000, "open") is None
    assert await sagas.states(["order"]) == {"order": SagaStates(1, 30.0, 0)}


async def test_an_end_counts_once_however_often_and_in_whatever_order_events_come(redis: RedisClient) -> None:
    one, other = OpenSagas(redis), OpenSagas(redis)
    await one.track("order", ADA, "o1", 1, 1_000, "open")
    ends = await asyncio.gather(
        *(
            each.track("order", ADA, "o1", 3, 4_000, "ended", is_repeat=n > 0)
            for n, each in enumerate([one, other] * 5)
        )
    )
    assert [end for end in ends if end is not None] == [SagaEnd(3.0)]
    # The event before it comes late: it does not open the saga again.
    assert await one.track("order", ADA, "o1", 2, 2_000, "open") is None
    assert (await one.states(["order"]))["order"].open == 0
    # A saga that goes on after its end, such as a cancelled order, ends again.
    await one.track("order", ADA, "o1", 4, 5_000, "open")
    assert await one.track("order", ADA, "o1", 5, 7_000, "ended") == SagaEnd(2.0)


async def test_a_repeat_of_a_saga_that_is_not_known_any_more_changes_nothing(redis: RedisClient) -> None:
    sagas = OpenSagas(redis)
    assert await sagas.track("order", ADA, "o1", 5, 1_000, "ended", is_repeat=True) is None
    assert await sagas.track("order", ADA, "o2", 2, 1_000, "open", is_repeat=True) is None
    assert await sagas.states(["order"]) == {"order": SagaStates()}


async def test_the_number_of_remembered_sagas_is_bounded(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.stores.sagas.REMEMBERED", 3)
    now = iter(range(1, 100))
    sagas = OpenSagas(redis, clock=lambda: float(next(now)))
    for number in range(5):
        await sagas.track("order", ADA, f"o{number}", 1, 1_000, "open")
    assert (await sagas.states(["order"]))["order"].open == 3


async def test_a_person_that_is_erased_has_no_sagas_any_more(redis: RedisClient) -> None:
    sagas, grace = OpenSagas(redis), "https://id.example|grace"
    for number in range(1_200):
        await sagas.track("order", ADA, f"o{number}", 1, 1_000, "attention" if number % 2 else "open")
    await sagas.track("order", grace, "o1", 1, 1_000, "open")
    assert (await PersonStore(redis).erase(ADA))["sagas"] == 1_200
    states = (await sagas.states(["order"]))["order"]
    assert (states.open, states.attention) == (1, 0)
    names = [key.decode() for key in await redis.call("KEYS", "*sagas:order*")]
    left = [await redis.call("DUMP", name) or b"" for name in names]
    assert left and not any(owner_tag(ADA).encode() in each for each in left)


async def test_the_dispatcher_counts_ends_and_durations(redis: RedisClient) -> None:
    metrics = Metrics()
    dispatcher = EventDispatcher(
        *(Journal(redis), Values(redis), REGISTRY, DeadLetters(redis)),
        sagas=OpenSagas(redis),
        observer=LiveMetrics(metrics),
    )

    async def came(body: str) -> None:
        await dispatcher.dispatch(BrokerEvent("p", "1", body.encode(), "redis"))

    for saga, last in (("o1", "COMPLETED"), ("o2", "COMPENSATED"), ("o3", "REJECTED")):
        await came(status(saga, 1, at="2026-03-01T10:00:00Z"))
        for _ in range(2):
            await came(status(saga, 2, status=last, at="2026-03-01T10:00:04Z"))
    await came(status("o4", 1, status="NEEDS_ATTENTION"))
    page = metrics.text().decode()
    for outcome in ("confirmed", "compensated", "failed"):
        assert value(page, "bff_saga_ended_total", bff_saga="order", bff_outcome=outcome) == 1
        assert value(page, "bff_saga_duration_seconds_sum", bff_saga="order", bff_outcome=outcome) == 4
    async with SagaWatch(OpenSagas(redis), ["order"], every=0.01) as watch, asyncio.timeout(GUARD):
        while not watch.states:
            await asyncio.sleep(0.01)
    assert (watch.states["order"].open, watch.states["order"].attention) == (1, 1)
