"""Two hundred sagas while orders and a participant are killed repeatedly: no order is lost, doubled or stuck."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.upstreams.postgres import Postgres, postgres_session
from tests.upstreams.test_orders_crash import told_once
from tests.upstreams.test_orders_postgres import orders_on
from tests.upstreams.world import OPEN_STATUSES, World, eventually
from tests.waiting import GUARD

__all__ = ["postgres_session"]

pytestmark = pytest.mark.slow

SAGAS = 200
SECONDS = 60.0
PARTICIPANTS = ("inventory", "payments", "shipping")
Answered = Callable[[], httpx.Response]


@dataclass(frozen=True)
class Plan:
    """What one customer does: when, who, which order, and whether and when it is cancelled."""

    at: float
    person: str
    sku: str
    key: str
    door: int
    cancel_after: float | None


def plans(chance: random.Random, stock: dict[str, int]) -> list[Plan]:
    """Nearly as many pieces as there are; some products run out."""
    skus = chance.choices(list(stock), weights=list(stock.values()), k=SAGAS)
    return [
        Plan(
            at=SECONDS * number / SAGAS,
            person=chance.choices(("ada", "grace", "bruno"), weights=(3, 3, 1))[0],
            sku=sku,
            key=f"chaos-{number}",
            door=chance.randrange(3),
            cancel_after=chance.uniform(0.0, 1.0) if chance.random() < 0.15 else None,
        )
        for number, sku in enumerate(skus)
    ]


def insistent(ask: Answered, seconds: float = 5 * GUARD) -> httpx.Response:
    """Send again with the same key until there is an answer, as a gateway's client would."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code < 500:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"no answer within {seconds} s: {answer and answer.text}")
        time.sleep(0.1)


def buy(world: World, plan: Plan, began: float) -> str:
    time.sleep(max(0.0, began + plan.at - time.monotonic()))  # the customers come one after the other
    door = world.orders[plan.door % len(world.orders)]
    placed = insistent(lambda: world.place(plan.person, [(plan.sku, 1)], key=plan.key, at=door))
    assert placed.status_code == 202, placed.text
    order_id = str(placed.json()["id"])
    if plan.cancel_after is not None:
        time.sleep(plan.cancel_after)
        answer = insistent(lambda: world.cancel(order_id, plan.person, key=f"{plan.key}-cancel"))
        assert answer.status_code in (202, 409), answer.text
    return order_id


def break_things(world: World, chance: random.Random, done: threading.Event) -> Counter[str]:
    """Kill an orders process, or one participant, or both; start them again 0.5 to 1.5 s later."""
    kills: Counter[str] = Counter()
    while not done.wait(chance.uniform(0.5, 2.0)):
        doomed = {
            0: [chance.choice(world.orders)],
            1: [chance.choice(PARTICIPANTS)],
            2: [chance.choice(world.orders), chance.choice(PARTICIPANTS)],
        }[chance.randrange(3)]
        for name in doomed:
            world.kill(name)
            kills[name] += 1
        time.sleep(chance.uniform(0.5, 1.5))
        for name in doomed:
            world.start(name)
    return kills


def right(plan: Plan, order: dict[str, Any]) -> bool:
    """Whether an order may end with this result."""
    ends = {("REJECTED", "out-of-stock")}
    ends.add(("COMPENSATED", "card-declined") if plan.person == "bruno" else ("COMPLETED", None))
    if plan.cancel_after is not None:
        ends.add(("COMPENSATED", "cancelled"))
    return (order["status"], order["reason"]) in ends


@pytest.fixture(params=["sqlite", "postgres"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    where, orders = None, 1
    if request.param == "postgres":
        started: Postgres = request.getfixturevalue("postgres_session")
        where, orders = orders_on(started, f"chaos-{time.monotonic_ns()}"), 3
    # On a busy machine a killed participant is away for longer, and an order that gives up is no fault.
    with World(tmp_path, where, orders, STEP_PAUSE_MS="60", FORWARD_SECONDS=str(5 * GUARD)) as world:
        yield world


def test_two_hundred_sagas_under_random_kills_all_end_right_and_the_accounts_balance(world: World) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"CHAOS_SEED={seed}")
    chance = random.Random(seed)
    start = world.levels()
    todo = plans(chance, start)
    for person in ("ada", "grace", "bruno"):
        world.user_token(person)
    world.service_token()
    world.operator()

    done = threading.Event()
    with ThreadPoolExecutor(25) as pool:
        breaking = pool.submit(break_things, world, random.Random(seed + 1), done)
        began = time.monotonic()
        try:
            placed = list(pool.map(lambda plan: (buy(world, plan, began), plan), todo))
        finally:
            done.set()
        kills = breaking.result()
    calm = time.monotonic()
    assert len({order_id for order_id, _ in placed}) == SAGAS

    def all_ended() -> bool:
        return all(world.order(one, plan.person)["status"] not in OPEN_STATUSES for one, plan in placed)

    eventually(all_ended, 5 * GUARD)
    took = time.monotonic() - calm
    orders = {order_id: world.order(order_id, plan.person) for order_id, plan in placed}
    wrong = [
        (order_id, plan, orders[order_id]["status"], orders[order_id]["reason"])
        for order_id, plan in placed
        if not right(plan, orders[order_id])
    ]
    assert wrong == []
    assert world.stuck() == []

    completed = {order_id for order_id, order in orders.items() if order["status"] == "COMPLETED"}
    charges = world.charges()
    assert len({charge["order_id"] for charge in charges}) == len(charges)
    captured = {charge["order_id"]: charge for charge in charges if charge["status"] == "captured"}
    assert captured.keys() == completed
    assert all(
        charge["amount_cents"] == orders[order_id]["data"]["total_cents"]
        for order_id, charge in captured.items()
    )
    assert {charge["status"] for charge in charges} <= {"captured", "refunded"}
    shipments = world.shipments()
    assert {one["order_id"] for one in shipments if one["status"] == "booked"} == completed
    assert len({one["order_id"] for one in shipments}) == len(shipments)
    sold = Counter(plan.sku for order_id, plan in placed if order_id in completed)
    assert world.levels() == {sku: available - sold[sku] for sku, available in start.items()}

    for order_id, order in orders.items():
        told_once(world, order_id)
        versions = [entry["version"] for entry in order["history"]]
        assert versions == list(range(1, order["version"] + 1))
    ends = Counter((order["status"], order["reason"]) for order in orders.values())
    print(f"kills: {dict(kills)}; ends: {dict(ends)}; all ended {took:.1f} s after the last kill")
    assert sum(kills.values()) >= 5
