"""The engine's records of ended sagas are deleted while orders runs; the orders themselves stay."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from tests.upstreams.world import World, eventually


@pytest.fixture
def world(services: World) -> Iterator[World]:
    services.again(SAGA_RETENTION_SECONDS="0.2")
    yield services
    services.again()


def records(world: World, order_id: str) -> int:
    """How many rows the engine has of an order's saga."""
    file = world.folder / "orders" / "orders-engine.db"
    with contextlib.closing(sqlite3.connect(file, timeout=30)) as engine:
        counts = [
            engine.execute(f"SELECT count(*) FROM {table} WHERE workflow_uuid = ?", (order_id,)).fetchone()[0]
            for table in ("workflow_status", "operation_outputs", "workflow_input", "workflow_output")
        ]
    return sum(counts)


def test_records_of_ended_sagas_are_deleted_and_those_under_way_stay(world: World) -> None:
    world.faults("payments", hold="before", match="POST /charges$", times=1)
    under_way = world.order_id()
    world.wait_held("payments")
    ended = world.order_id(key="once")
    order = world.ended(ended)
    assert order["status"] == "COMPLETED"
    eventually(lambda: records(world, ended) == 0)
    assert records(world, under_way) > 0

    # The order is all there, and its key begins no second one.
    assert world.order(ended) == order
    assert world.order_id(key="once") == ended
    world.release("payments")
    assert world.ended(under_way)["status"] == "COMPLETED"
    eventually(lambda: records(world, under_way) == 0)
    assert records(world, ended) == 0 and len(world.charges(ended)) == 1
