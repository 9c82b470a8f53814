"""Orders killed in the middle: every saga ends after a restart, and nothing is charged, reserved or shipped twice."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from tests.upstreams.world import World, eventually
from tests.waiting import GUARD


@pytest.fixture(scope="module")
def started(services: World) -> World:
    services.again()
    return services


@pytest.fixture
def world(started: World) -> Iterator[World]:
    yield started
    started.calm()


def told_once(world: World, order_id: str) -> None:
    """The stream has every version; a repeat is the same event again."""
    events = world.published(order_id)
    bodies = {event["id"]: event for event in events}
    assert list(dict.fromkeys(event["id"] for event in events)) == [
        f"{order_id}:{n}" for n in range(1, len(bodies) + 1)
    ]
    assert all(bodies[event["id"]] == event for event in events)


def restart_after_kill(world: World) -> float:
    """Kill orders and start it again; returns when it was started."""
    world.kill("orders")
    began = time.monotonic()
    world.start("orders")
    return began


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_around_each_actions_effect_still_completes_with_one_effect_each(
    world: World, when: Literal["before", "after"]
) -> None:
    before = world.stock("pen-01")
    placed = []
    for name, match in (
        ("shipping", "POST /shipments$"),
        ("payments", "POST /charges$"),
        ("inventory", "POST /reservations$"),
    ):
        world.faults(name, match=match, hold=when, times=1)
        placed.append(world.order_id(lines=[("pen-01", 1)]))
        world.wait_held(name)
    began = restart_after_kill(world)
    for order_id in placed:
        assert world.ended(order_id)["status"] == "COMPLETED"
    assert time.monotonic() - began < GUARD  # 2 s on a quiet machine

    # The held requests continue now, long after their sagas have ended: they must not act again.
    world.calm()
    for order_id in placed:
        assert [charge["status"] for charge in world.charges(order_id)] == ["captured"]
        assert [one["status"] for one in world.shipments(order_id)] == ["booked"]
        told_once(world, order_id)
    assert world.stock("pen-01") == before - 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_around_each_undos_effect_still_compensates(
    world: World, when: Literal["before", "after"]
) -> None:
    before = world.stock("plant-01")
    placed = []
    for name, action, undo, step in (
        ("shipping", "POST /shipments$", "POST /shipments/", "cancel-shipment"),
        ("payments", "POST /charges$", "POST /charges/", "refund"),
    ):
        world.faults(name, match=action, hold="after", times=1)
        order_id = world.order_id(lines=[("plant-01", 1)])
        world.wait_held(name)
        assert world.cancel(order_id).status_code == 202
        world.faults(name, match=undo, hold=when, times=1)
        world.release(name)
        world.told(order_id, step, status="COMPENSATING")
        world.wait_held(name)
        placed.append((order_id, "ada", "cancelled"))
    world.faults("inventory", match="POST /reservations/", hold=when, times=1)
    placed.append((world.order_id("bruno", [("plant-01", 1)]), "bruno", "card-declined"))
    world.wait_held("inventory")

    restart_after_kill(world)
    for order_id, person, reason in placed:
        order = world.ended(order_id, person)
        assert (order["status"], order["reason"]) == ("COMPENSATED", reason)
    world.calm()
    charges = [[charge["status"] for charge in world.charges(order_id)] for order_id, _, _ in placed]
    assert charges == [["refunded"], ["refunded"], []]
    shipments = [[one["status"] for one in world.shipments(order_id)] for order_id, _, _ in placed]
    assert shipments == [["cancelled"], [], []]
    for order_id, _, _ in placed:
        told_once(world, order_id)
    assert world.stock("plant-01") == before


def test_many_sagas_killed_at_random_moments_all_end_right(world: World) -> None:
    world.stop("orders")
    world.start("orders", STEP_PAUSE_MS="60")
    before = world.stock("mug-01")
    for person in ("ada", "grace", "bruno"):
        world.user_token(person)
    people = ["ada", "grace", "bruno", "ada"] * 6
    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(lambda person: (world.order_id(person, [("mug-01", 1)]), person), people))
    for pause in (0.1, 0.35):
        time.sleep(pause)  # not a wait for anything: the moment of the kill is meant to be any
        restart_after_kill(world)
    for order_id, person in placed:
        order = world.ended(order_id, person)
        assert order["status"] == ("COMPENSATED" if person == "bruno" else "COMPLETED")
        assert len(world.charges(order_id)) == (person != "bruno")
        told_once(world, order_id)
    assert world.stock("mug-01") == before - sum(person != "bruno" for person in people)


def test_sigterm_ends_orders_promptly_and_the_next_start_finishes_its_sagas(world: World) -> None:
    world.faults("payments", match="POST /charges$", hold="before", times=1)
    order_id = world.order_id()
    world.wait_held("payments")
    assert world.stop("orders") < GUARD / 2
    world.start("orders")
    assert world.ended(order_id)["status"] == "COMPLETED"
    world.calm()
    assert len(world.charges(order_id)) == 1
    assert world.order(order_id)["version"] == 4


def test_a_cancel_wakes_a_saga_that_waits_between_attempts(world: World) -> None:
    world.stop("orders")
    world.start("orders", RETRY_FIRST_SECONDS="30", RETRY_CAP_SECONDS="30")
    world.faults("payments", match="POST /charges$", status=503, error_rate=1.0)
    order_id = world.order_id()
    eventually(lambda: _rests(world, order_id))
    assert world.cancel(order_id).status_code == 202
    order = world.ended(order_id)
    assert (order["status"], order["reason"]) == ("COMPENSATED", "cancelled")


def _rests(world: World, order_id: str) -> bool:
    with contextlib.closing(sqlite3.connect(world.folder / "orders" / "orders-engine.db")) as engine:
        found = engine.execute(
            "SELECT 1 FROM operation_outputs WHERE workflow_uuid = ? AND function_name = 'DBOS.sleep'",
            (order_id,),
        )
        return found.fetchone() is not None


def test_an_order_entered_but_not_started_before_the_kill_is_started_at_the_next_start(world: World) -> None:
    order_id = world.order_id(key="entered")
    world.ended(order_id)
    world.kill("orders")
    # As after a crash between the entry and the start: it is in the database, and the engine does not know it.
    _forget_the_saga(world, order_id)
    world.start("orders")
    order = world.ended(order_id)
    assert order["status"] == "COMPLETED"
    assert len(world.charges(order_id)) == 1


def _forget_the_saga(world: World, order_id: str) -> None:
    folder = world.folder / "orders"
    with contextlib.closing(sqlite3.connect(folder / "orders.db")) as book, book:
        book.execute("DELETE FROM history WHERE order_id = ?", (order_id,))
        book.execute("UPDATE orders SET version = 0, status = 'PENDING', ended = 0 WHERE id = ?", (order_id,))
    with contextlib.closing(sqlite3.connect(folder / "orders-engine.db")) as engine, engine:
        for table in ("operation_outputs", "workflow_status"):
            engine.execute(f"DELETE FROM {table} WHERE workflow_uuid = ?", (order_id,))


def test_the_engine_has_its_own_database_in_wal_mode(world: World) -> None:
    folder = world.folder / "orders"
    with contextlib.closing(sqlite3.connect(folder / "orders-engine.db")) as engine:
        assert engine.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        versions = engine.execute("SELECT DISTINCT application_version FROM workflow_status").fetchall()
    assert versions == [("orders-1",)]
    with contextlib.closing(sqlite3.connect(folder / "orders.db")) as book:
        tables = {name for (name,) in book.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"orders", "history"} <= tables
    assert "workflow_status" not in tables
