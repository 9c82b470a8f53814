"""Lost journals are restored a few at a time, and until then no client receives a state."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence

import pytest

from bff.calls import Principal, SagaStatus
from bff.live import ValueTopic
from bff.stores.journal import channel_of
from bff.stores.redis.client import StoreUnavailable

from ..waiting import GUARD, until
from .test_outlet import wrapped
from .test_stream import AT, Client, client, person, world

STOCK = "stock/a"


def saga(owner: str) -> SagaStatus:
    return SagaStatus(id=f"of-{owner}", type="order", status="RUNNING", version=1, at=AT)


class Service:
    """Has one saga for every owner, unless it is `away`."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    async def __call__(self, principal: Principal) -> Sequence[SagaStatus]:
        self.asked += 1
        if self.away:
            raise RuntimeError("away")
        return [saga(principal.subject)]


async def test_a_new_stream_whose_journal_is_lost_gets_values_until_the_journal_is_restored(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.restore.FIRST", 0.1)
    service = Service()
    service.away = True
    topics = [ValueTopic("stock/{sku}", public=True)]
    async with world(redis_url, restore=service, topics=topics, beat=0.2) as one:
        await one.values.put(STOCK, 1, {"available": 9}, AT)
        async with client(one, f"/bff/live?value={STOCK}") as ada:
            # A slow machine may send a heartbeat before the value has been read.
            first = await ada.next()
            assert first is not None and (first.name, first.data["version"]) == ("value", 1)
            while service.asked < 2:
                event = await ada.next(beats=True)
                assert event is not None and event.name == "beat"
            await one.values.put(STOCK, 2, {"available": 8}, AT)
            assert (await ada.until("value")).data["version"] == 2
            async with client(one, "/bff/live/snapshot") as poll:
                assert (poll.status, json.loads(await poll.body())["code"]) == (503, "unavailable")
            service.away = False
            known = await ada.next()
            assert known is not None and known.name == "snapshot"
            assert [row["id"] for row in known.data["sagas"]] == ["of-ada"]
            assert [row["version"] for row in known.data["values"]] == [2]
            await one.tell("of-ada", 2)
            assert (await ada.until("saga")).data["version"] == 2


async def test_an_open_stream_gets_one_correct_reset_however_often_the_restore_fails(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.restore.LONGEST", 0.2)
    service = Service()
    async with world(redis_url, restore=service, beat=0.1) as one, client(one) as ada:
        await ada.until("snapshot")
        service.away, service.asked = True, 0
        await one.redis.call("FLUSHALL")
        while service.asked < 4:
            # The same happens every 25 to 40 seconds.
            one.hub._recovery.check_soon()
            event = await ada.next(beats=True)
            assert event is not None and event.name == "beat"
        async with client(one, after=ada.cursor) as again:
            event = await again.next(beats=True)
            assert event is not None and event.name == "beat"
            service.away = False
            for who in (ada, again):
                event = await who.next()
                assert event is not None and event.name == "reset"
                assert [row["id"] for row in event.data["sagas"]] == ["of-ada"]
            one.hub._recovery.check_soon()
            await one.tell("of-ada", 2)
            for who in (ada, again):
                event = await who.next()
                assert event is not None and (event.name, event.data["version"]) == ("saga", 2)


async def test_a_journal_restored_by_another_gateway_is_sent_here_too(redis_url: str) -> None:
    here, there = Service(), Service()
    here.away = True
    async with (
        world(redis_url, restore=here) as one,
        world(redis_url, restore=there) as other,
        client(one) as ada,
    ):
        await until(lambda: here.asked > 0)
        async with client(other) as elsewhere:
            await elsewhere.until("snapshot")
        assert [row["id"] for row in (await ada.until("snapshot")).data["sagas"]] == ["of-ada"]


async def test_no_journal_is_restored_for_a_client_that_left(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.restore.LONGEST", 0.05)
    service = Service()
    service.away = True
    async with world(redis_url, restore=service) as one:
        async with client(one):
            await until(lambda: service.asked >= 3)
        await one.settled(0)
        await asyncio.sleep(0.1)
        asked = service.asked
        await asyncio.sleep(0.3)
        assert service.asked == asked


async def test_many_journals_lost_together_are_restored_a_few_at_a_time_and_completely(
    redis_url: str,
) -> None:
    """With its defaults an upstream's bulkhead lets 100 calls through and 100 wait; here are 300 people."""
    running = most = 0
    pause = 0.0

    async def restore(principal: Principal) -> Sequence[SagaStatus]:
        nonlocal running, most
        if running >= 200:
            raise RuntimeError("the bulkhead is full")
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(pause)
        finally:
            running -= 1
        return [saga(principal.subject)]

    async with world(redis_url, restore=restore) as one, contextlib.AsyncExitStack() as stack:
        clients: list[Client] = []
        for number in range(300):
            clients.append(await stack.enter_async_context(client(one, who=f"u{number}")))
        for number, each in enumerate(clients):
            assert [row["id"] for row in (await each.until("snapshot")).data["sagas"]] == [f"of-u{number}"]
        most, pause = 0, 0.1
        await one.redis.call("FLUSHALL")
        one.hub._recovery.check_soon()
        async with asyncio.timeout(GUARD):
            states = [(await each.until("reset")).data["sagas"] for each in clients]
        assert [[row["id"] for row in sagas] for sagas in states] == [[f"of-u{n}"] for n in range(300)]
        assert 8 <= most <= 64, f"{most} restores ran at once"


async def test_a_restore_that_hangs_for_one_owner_does_not_delay_other_owners(redis_url: str) -> None:
    hanging = asyncio.Event()

    async def restore(principal: Principal) -> Sequence[SagaStatus]:
        if principal.subject == "stuck" and broken:
            hanging.set()
            await asyncio.Event().wait()
        return []

    broken = False
    async with (
        world(redis_url, restore=restore) as one,
        client(one, who="stuck") as stuck,
        client(one) as ada,
    ):
        await stuck.until("snapshot")
        await ada.until("snapshot")
        # The timeout is long after this test has failed, so a task that waits for it waits for ever.
        assert one.hub._restorer is not None
        one.hub._restorer._within = 2 * GUARD
        broken = True
        await one.redis.call("FLUSHALL")
        # Both journals are compared; one restore hangs. What is published for ada meanwhile follows no known position.
        one.hub._recovery.check_soon()
        await asyncio.wait_for(hanging.wait(), GUARD)
        assert (await ada.until("reset")).data["sagas"] == []
        await one.redis.call("FLUSHALL")
        await one.tell("o1", 1)
        while True:
            event = await ada.next()
            assert event is not None
            if event.name in ("saga", "reset") and "o1" in str(event.data):
                break


async def test_values_arrive_while_the_owners_node_is_away_and_the_journal_is_lost(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner's channel stays unconfirmed, as while its node of a cluster is away."""
    monkeypatch.setattr("bff.live.restore.FIRST", 0.1)
    service, topics = Service(), [ValueTopic("stock/{sku}", public=True)]
    service.away = True
    async with world(redis_url, restore=service, topics=topics, beat=0.2) as one:
        await one.values.put(STOCK, 1, {"available": 9}, AT)
        async with client(one, f"/bff/live?value={STOCK}") as ada:
            assert (await ada.until("value")).data["version"] == 1
            ready, asked = one.channels.wait_confirmed, asyncio.Event()

            async def away(*channels: str, timeout: float = 1.0) -> None:
                if channel_of(person("ada").id) in channels:
                    asked.set()
                    raise StoreUnavailable("the node of a channel is away")
                await ready(*channels, timeout=timeout)

            monkeypatch.setattr(one.channels, "wait_confirmed", away)
            for stream in one.hub._streams:
                one.hub._joins.want(stream)
            await asyncio.wait_for(asked.wait(), GUARD)
            await one.values.put(STOCK, 2, {"available": 8}, AT)
            async with asyncio.timeout(GUARD):
                assert (await ada.until("value")).data["version"] == 2


async def test_a_large_value_reaches_a_stream_that_awaits_its_restore_behind_a_wrapped_send(
    redis_url: str,
) -> None:
    service, topics = Service(), [ValueTopic("stock/{sku}", public=True)]
    service.away = True
    async with world(redis_url, restore=service, topics=topics, beat=0.2, wrap=wrapped) as one:
        await one.values.put(STOCK, 1, "x" * 40_000, AT)
        async with client(one, f"/bff/live?value={STOCK}") as ada, asyncio.timeout(GUARD):
            assert (await ada.until("value")).data["version"] == 1
