"""Two hundred orders through the gateway, while it, the orders service and a participant are killed repeatedly for a
minute: every order ends right, the accounts balance, and every client receives each event once and in order."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .system import Follower, Shop, basket, following, key, running

pytestmark = pytest.mark.slow

ORDERS = 200
SECONDS = 60.0
PEOPLE = ("ada", "grace", "bruno")
SKUS = ("mug-01", "notebook-01", "pen-01", "blanket-01")
STREAMS = 5
DOOMED = ("gateway", "orders", "inventory", "payments", "shipping")


@pytest.fixture
def own_shop(tmp_path: Path) -> Iterator[Shop]:
    with running(tmp_path, STEP_PAUSE_MS="30") as shop:
        yield shop


async def _order(shop: Shop, api: httpx.AsyncClient, sku: str, at: float) -> str:
    """Place an order as the page does: with the same key until there is an answer."""
    await asyncio.sleep(at)
    click = key()
    while True:
        try:
            answer = await api.post("/api/orders", json=basket(sku), headers={"idempotency-key": click})
        except httpx.TransportError:
            await asyncio.sleep(0.2)
            continue
        if answer.status_code == 202:
            return str(answer.json()["saga"]["id"])
        assert answer.status_code in (409, 429, 502, 503, 504), answer.text
        await asyncio.sleep(float(answer.headers.get("retry-after", "0.2")))


async def _break(shop: Shop, dice: random.Random, done: asyncio.Event) -> Counter[str]:
    kills: Counter[str] = Counter()
    while not done.is_set():
        await asyncio.sleep(dice.uniform(1.0, 3.0))
        name = dice.choice(DOOMED)
        kills[name] += 1
        if name == "gateway":
            await asyncio.to_thread(shop.kill_gateway)
        else:
            await asyncio.to_thread(shop.world.kill, name)
        await asyncio.sleep(dice.uniform(0.5, 1.5))
        if name == "gateway":
            await asyncio.to_thread(shop.start_gateway)
        else:
            await asyncio.to_thread(shop.world.start, name)
    return kills


async def test_two_hundred_orders_end_right_under_a_minute_of_kills(own_shop: Shop) -> None:
    shop = own_shop
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"CHAOS_SEED={seed}")
    dice = random.Random(seed)
    start = {sku: shop.world.stock(sku) for sku in SKUS}
    bought = {person: [dice.choice(SKUS) for _ in range(ORDERS)][: ORDERS // 3 + 1] for person in PEOPLE}
    done = asyncio.Event()
    async with (
        following(shop, "ada", STREAMS) as ada,
        following(shop, "grace", STREAMS) as grace,
        following(shop, "bruno", STREAMS) as bruno,
    ):
        followers = [*ada, *grace, *bruno]
        breaking = asyncio.create_task(_break(shop, random.Random(seed + 1), done))
        ids: dict[str, list[str]] = {}
        async with shop.api("ada") as a, shop.api("grace") as g, shop.api("bruno") as b:
            apis = {"ada": a, "grace": g, "bruno": b}
            for person in PEOPLE:
                ids[person] = []
            placed = await asyncio.gather(
                *(
                    _order(shop, apis[person], sku, dice.uniform(0, SECONDS))
                    for person in PEOPLE
                    for sku in bought[person]
                )
            )
        answers = iter(placed)
        for person in PEOPLE:
            ids[person] = [next(answers) for _ in bought[person]]
        done.set()
        kills = await breaking
        for follower in followers:
            mine = ids[follower.person]
            await follower.until(lambda one, mine=mine: all(one.ended(id) for id in mine), 90)

        resets = 0
        ends: Counter[str] = Counter()
        for follower in followers:
            resets += sum(event.name == "reset" for event in follower.events)
            _contiguous(follower)
        for person, stream in (("ada", ada[0]), ("grace", grace[0]), ("bruno", bruno[0])):
            for id in ids[person]:
                newest = stream.newest(id)
                assert newest is not None
                truth = await asyncio.to_thread(shop.world.order, id, person)
                assert (newest["status"], newest["version"]) == (truth["status"], truth["version"])
                ends[f"{newest['status']} {newest['reason']}"] += 1
    completed = Counter(
        sku
        for person in PEOPLE
        for id, sku in zip(ids[person], bought[person], strict=True)
        if shop.world.order(id, person)["status"] == "COMPLETED"
    )
    for sku in SKUS:
        assert shop.world.stock(sku) == start[sku] - completed[sku], sku
    for person in PEOPLE:
        for id in ids[person]:
            charged = [one["status"] for one in shop.world.charges(id)]
            finished = shop.world.order(id, person)["status"] == "COMPLETED"
            assert charged.count("captured") == (1 if finished else 0), (id, charged)
    assert set(ends) <= {"COMPLETED None", "COMPENSATED card-declined", "REJECTED out-of-stock"}, ends
    assert kills["gateway"] >= 1 and kills["orders"] >= 1
    print(f"kills {dict(kills)}; ends {dict(ends)}; resets {resets} over {len(followers)} streams")


def _contiguous(follower: Follower) -> None:
    """Within an epoch each position follows the one before; only a reset may start an epoch."""
    last: str | None = None
    for event in follower.events:
        if event.name in ("snapshot", "reset"):
            last = event.id
        elif event.name == "saga":
            assert last is not None and event.id is not None
            epoch, offset = last.rsplit("-", 1)
            assert event.id == f"{epoch}-{int(offset) + 1}", follower.person
            last = event.id
