"""An undo that fails for long: what is kept of it is bounded, in the history and in the records of the engine; a crash
in the middle replays a bounded part; and it still ends right when it can."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from tests.upstreams.world import World, eventually

# As fast as it goes: what takes days in production takes seconds here.
HASTY = {
    "RETRY_FIRST_SECONDS": "0.01",
    "RETRY_CAP_SECONDS": "0.01",
    "ATTENTION_CAP_SECONDS": "0.01",
    "ATTENTION_ATTEMPTS": "2",
    "ATTEMPTS_PER_RUN": "20",
}


@pytest.fixture(scope="module")
def started(services: World) -> World:
    services.again(**HASTY)
    return services


@pytest.fixture
def world(started: World) -> Iterator[World]:
    yield started
    started.calm()


def records(world: World, order_id: str) -> dict[str, int]:
    """How many steps the engine remembers of each run of the order's saga."""
    with contextlib.closing(sqlite3.connect(world.folder / "orders" / "orders-engine.db")) as engine:
        found = engine.execute(
            "SELECT workflow_uuid, count(*) FROM operation_outputs WHERE workflow_uuid = ? "
            "OR workflow_uuid LIKE ? GROUP BY workflow_uuid",
            (order_id, f"{order_id}~%"),
        )
        return {str(name): int(count) for name, count in found}


def test_a_stuck_undo_keeps_a_bounded_history_is_killed_and_still_ends(world: World) -> None:
    world.faults("payments", match="POST /charges/", status=500, error_rate=1.0)
    world.faults("shipping", refuse=True, match="POST /shipments$")
    order_id = world.order_id()
    eventually(lambda: world.order(order_id)["version"] > 130)
    world.kill("orders")
    world.start("orders")
    before = world.order(order_id)["version"]
    eventually(lambda: world.order(order_id)["version"] > before + 20)

    order = world.order(order_id)
    assert order["status"] == "NEEDS_ATTENTION" and order["history_count"] == order["version"]
    versions = [entry["version"] for entry in order["history"]]
    assert len(versions) <= 100
    assert versions[:50] == list(range(1, 51))
    assert versions[50:] == list(range(versions[50], order["version"] + 1))
    (stuck,) = [one for one in world.stuck() if one["id"] == order_id]
    assert stuck["since"] == next(entry["at"] for entry in order["history"] if entry["step"] == "refund")

    # The engine, too, remembers a bounded part of each run: some five steps for each of its twenty attempts.
    runs = records(world, order_id)
    assert len(runs) >= 4 and max(runs.values()) < 150

    world.calm()
    order = world.ended(order_id)
    assert (order["status"], order["reason"]) == ("COMPENSATED", "no-carrier")
    assert [charge["status"] for charge in world.charges(order_id)] == ["refunded"]
    assert order["history"][-1]["status"] == "COMPENSATED"
    events = world.published(order_id)
    distinct = list(dict.fromkeys(event["id"] for event in events))
    assert distinct == [f"{order_id}:{n}" for n in range(1, order["version"] + 1)]


def test_an_operator_ends_an_undo_that_is_in_its_third_run(world: World) -> None:
    world.faults("payments", match="POST /charges/", status=500, error_rate=1.0)
    world.faults("shipping", refuse=True, match="POST /shipments$")
    order_id = world.order_id()
    eventually(lambda: f"{order_id}~3" in records(world, order_id))
    assert world.operate(order_id, "retry").status_code == 202
    assert world.operate(order_id, "give-up", {"reason": "Paid by hand."}).status_code == 202
    eventually(lambda: world.order(order_id)["reason"] == "given-up")
    assert world.order(order_id)["history"][-1]["note"] == "Paid by hand."


def test_a_history_is_read_in_pages(world: World) -> None:
    order_id = world.order_id()
    order = world.ended(order_id)
    url, seen, after = f"{world.url('orders')}/orders/{order_id}/history", [], 0
    while after is not None:
        answer = world.http.get(url, params={"after": after, "limit": 3}, headers=world.bearer("ada"))
        page = answer.raise_for_status().json()
        assert page["history_count"] == order["version"] and len(page["history"]) <= 3
        seen += page["history"]
        after = page["next"]
    assert seen == order["history"] and len(seen) == 4
    assert world.http.get(url, headers=world.bearer("grace")).status_code == 404
