"""Processes killed with SIGKILL: orders at critical moments, the gateway while streams are open."""

from __future__ import annotations

import asyncio

import pytest

from .system import Follower, Shop, basket, following, key, place

STREAMS = 50


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_order_completes_when_orders_is_killed_while_payments_holds_the_charge(
    shop: Shop, moment: str
) -> None:
    world = shop.world
    stock = world.stock("mug-01")
    async with shop.api("ada") as api, following(shop, "ada") as [stream]:
        world.faults("payments", hold=moment, match="POST /charges$")
        answer = await place(api, basket())
        id = answer.json()["saga"]["id"]
        await asyncio.to_thread(world.wait_held, "payments")
        world.kill("orders")
        world.calm("payments")
        await asyncio.to_thread(world.start, "orders")
        await stream.until(lambda one: one.ended(id))
        newest = stream.newest(id)
        assert newest is not None and newest["status"] == "COMPLETED"
        versions = [one["version"] for one in stream.sagas(id)]
        assert versions == sorted(set(versions)), "every event once, in order"
    assert len(world.charges(id)) == 1
    assert len(world.shipments(id)) == 1
    assert world.stock("mug-01") == stock - 1


async def test_fifty_streams_resume_and_orders_complete_when_the_gateway_is_killed(shop: Shop) -> None:
    people = ("ada", "grace")
    async with (
        following(shop, "ada", STREAMS // 2) as of_ada,
        following(shop, "grace", STREAMS // 2) as of_grace,
    ):
        followers = [*of_ada, *of_grace]
        shop.world.faults("payments", latency_ms=150)
        ids: dict[str, list[str]] = {person: [] for person in people}

        async def orders(person: str) -> None:
            async with shop.api(person) as api:
                for number in range(4):
                    click = key()
                    while True:
                        # As the page does: with the same key until there is an answer.
                        try:
                            answer = await api.post(
                                "/api/orders", json=basket("mug-01"), headers={"idempotency-key": click}
                            )
                        except Exception:
                            await asyncio.sleep(0.1)
                            continue
                        if answer.status_code == 202:
                            break
                        await asyncio.sleep(0.1)
                    ids[person].append(answer.json()["saga"]["id"])
                    if person == "ada" and number == 1:
                        shop.kill_gateway()
                        await asyncio.to_thread(shop.start_gateway)

        await asyncio.gather(*(orders(person) for person in people))
        for follower in followers:
            mine = ids[follower.person]
            await follower.until(lambda one, mine=mine: all(one.ended(id) for id in mine))
        for follower in followers:
            assert follower.connects >= 2, "the stream was cut"
            _told_once_in_order(follower)
            for id in ids[follower.person]:
                newest = follower.newest(id)
                assert newest is not None and newest["status"] == "COMPLETED"
        per_person = {
            person: {tuple(_ids(one)) for one in followers if one.person == person} for person in people
        }
        assert all(len(different) == 1 for different in per_person.values()), "all streams agree"
    for person in people:
        for id in ids[person]:
            assert len(shop.world.charges(id)) == 1


def _ids(follower: Follower) -> list[str]:
    """Positions after the snapshot with which the stream began."""
    return [event.id for event in follower.events if event.name == "saga" and event.id is not None]


def _told_once_in_order(follower: Follower) -> None:
    names = {event.name for event in follower.events}
    assert "reset" not in names
    assert [event.name for event in follower.events].count("snapshot") == 1
    first = follower.events[0].id
    assert first is not None
    epoch, start = first.rsplit("-", 1)
    expected = [f"{epoch}-{int(start) + number}" for number in range(1, len(_ids(follower)) + 1)]
    assert _ids(follower) == expected, "contiguous: no event lost or repeated"
