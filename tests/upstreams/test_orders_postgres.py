"""Orders on a PostgreSQL server: killed around every effect, and several processes that finish each other's sagas."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from tests.upstreams.postgres import Postgres, postgres_session
from tests.upstreams.test_orders_crash import (  # the same tests, on the other database
    test_a_kill_around_each_actions_effect_still_completes_with_one_effect_each,
    test_a_kill_around_each_undos_effect_still_compensates,
    test_many_sagas_killed_at_random_moments_all_end_right,
    test_sigterm_ends_orders_promptly_and_the_next_start_finishes_its_sagas,
    told_once,
)
from tests.upstreams.world import World, eventually

__all__ = [
    "postgres_session",
    "test_a_kill_around_each_actions_effect_still_completes_with_one_effect_each",
    "test_a_kill_around_each_undos_effect_still_compensates",
    "test_many_sagas_killed_at_random_moments_all_end_right",
    "test_sigterm_ends_orders_promptly_and_the_next_start_finishes_its_sagas",
]

pytestmark = pytest.mark.slow


def orders_on(server: Postgres, database: str) -> Callable[[str], str | None]:
    """The database of each service: a new one for orders, the usual one for the others."""
    server.add(f"{database}-orders")
    return lambda service: server.url(f"{database}-{{service}}") if service == "orders" else None


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, postgres_session: Postgres) -> Iterator[World]:
    where = orders_on(postgres_session, "one")
    with World(tmp_path_factory.mktemp("world"), where) as world:
        yield world


@pytest.fixture
def world(started: World) -> Iterator[World]:
    yield started
    started.calm()


@pytest.fixture
def three(tmp_path: Path, postgres_session: Postgres) -> Iterator[World]:
    where = orders_on(postgres_session, f"three-{time.monotonic_ns()}")
    with World(tmp_path, where, orders=3, STEP_PAUSE_MS="300") as world:
        yield world


def test_sagas_of_two_killed_processes_of_three_are_finished(three: World) -> None:
    world = three
    before = world.stock("mug-01") + world.stock("notebook-01")
    for person in ("ada", "grace", "bruno"):
        world.user_token(person)

    def place(n: int) -> tuple[str, str]:
        person = ("ada", "grace", "bruno")[n % 3]
        sku = "mug-01" if n % 2 else "notebook-01"
        answer = world.place(person, [(sku, 1)], at=world.orders[n // 3 % 3])
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"]), person

    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(place, range(36)))
    world.kill("orders")
    world.kill("orders-1")
    began = time.monotonic()
    for order_id, person in placed:
        order = world.ended(order_id, person, at="orders-2")
        expected = ("COMPENSATED", "card-declined") if person == "bruno" else ("COMPLETED", None)
        assert (order["status"], order["reason"]) == expected
        assert [charge["status"] for charge in world.charges(order_id)] == ["captured"] * (person != "bruno")
        told_once(world, order_id)
    print(f"all {len(placed)} ended {time.monotonic() - began:.1f} s after the kills")
    sold = sum(person != "bruno" for _, person in placed)
    assert world.stock("mug-01") + world.stock("notebook-01") == before - sold
    # The killed processes are started again, find nothing to do, and one of the three recovers orphans.
    world.start("orders")
    world.start("orders-1")
    with Redis.from_url(world.valkey.url) as redis:
        eventually(lambda: len(redis.keys("orders:exec:*")) == 3)
        assert redis.get("orders:recovery") is not None


def test_one_key_at_three_processes_at_once_is_one_order(three: World) -> None:
    world = three
    world.user_token("ada")
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: world.place(key="same", at=world.orders[n % 3]), range(12)))
    assert {answer.status_code for answer in answers} == {202}
    (order_id,) = {answer.json()["id"] for answer in answers}
    assert world.ended(order_id)["version"] == 4
    assert len(world.charges(order_id)) == 1
    told_once(world, order_id)
    assert len(world.published(order_id)) == 4


def test_a_cancel_at_one_process_reaches_a_saga_that_waits_at_another(three: World) -> None:
    world = three
    for name in world.orders:
        world.kill(name)
        world.start(name, RETRY_FIRST_SECONDS="60", RETRY_CAP_SECONDS="60", STEP_PAUSE_MS="0")
    world.faults("payments", match="POST /charges$", status=503, error_rate=1.0)
    answer = world.place(at="orders-2")
    order_id = answer.json()["id"]
    world.told(order_id, "charge", attempt=2)
    assert world.cancel(order_id).status_code == 202
    order = world.ended(order_id)
    assert (order["status"], order["reason"]) == ("COMPENSATED", "cancelled")


def test_while_redis_is_away_no_saga_is_adopted_and_every_process_goes_on(three: World) -> None:
    world = three
    world.faults("payments", match="POST /charges$", hold="before", times=1)
    order_id = str(world.place(at="orders-1").json()["id"])
    world.wait_held("payments")
    world.valkey.stop()
    world.kill("orders-1")
    # No process adopts sagas, and the running ones answer as before.
    end = time.monotonic() + 7  # longer than a lease and the grace of orphan recovery
    while time.monotonic() < end:
        assert world.order(order_id)["status"] == "RUNNING"
        assert world.http.get(f"{world.url('orders')}/livez").status_code == 200
        time.sleep(0.2)
    world.valkey.start()
    assert world.ended(order_id)["status"] == "COMPLETED"
    world.calm()
    assert len(world.charges(order_id)) == 1
