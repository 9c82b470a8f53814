"""The operator API on real sagas: stuck ones are listed, tried again at once, or ended with an honest status."""

from __future__ import annotations

import contextlib
import datetime
import secrets
import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.upstreams.world import World, eventually

# One failed attempt needs attention; the next one would come after this test's time limit.
PATIENT = {
    "RETRY_FIRST_SECONDS": "60",
    "RETRY_CAP_SECONDS": "60",
    "ATTENTION_CAP_SECONDS": "60",
    "ATTENTION_ATTEMPTS": "1",
}


@pytest.fixture(scope="module")
def started(services: World) -> World:
    services.again(**PATIENT)
    return services


@pytest.fixture
def world(started: World) -> Iterator[World]:
    yield started
    started.calm()


def refund_stuck(world: World) -> str:
    """An order whose refund failed once and is tried again in a minute."""
    world.faults("payments", match="POST /charges/", status=500, error_rate=1.0)
    world.faults("shipping", match="POST /shipments$", hold="after", times=1)
    order_id = world.order_id()
    world.wait_held("shipping")
    assert world.cancel(order_id).status_code == 202
    world.release("shipping")
    world.told(order_id, "refund", status="NEEDS_ATTENTION", attempt=2)
    return order_id


def of_order(world: World, order_id: str) -> list[dict[str, Any]]:
    return [one for one in world.stuck() if one["id"] == order_id]


def instant(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def test_a_stuck_undo_is_listed_with_its_next_attempt_and_a_retry_runs_at_once(world: World) -> None:
    order_id = refund_stuck(world)
    (stuck,) = of_order(world, order_id)
    order = world.order(order_id)
    assert stuck == {
        "id": order_id,
        "owner": world.owner("ada"),
        "status": "NEEDS_ATTENTION",
        "step": "refund",
        "attempt": 2,
        "reason": "cancelled",
        "since": next(entry["at"] for entry in order["history"] if entry["step"] == "refund"),
        "next_try_at": order["data"]["next_try_at"],
        "last_error": "payments-unavailable",
    }
    wait = instant(stuck["next_try_at"]) - instant(order["at"])
    # A half of the pause is jitter.
    assert datetime.timedelta(seconds=25) < wait <= datetime.timedelta(seconds=60)
    event = world.events(order_id)[-1]["data"]
    assert event["data"] == order["data"]
    assert event["data"]["last_error"] == "payments-unavailable"

    world.calm("payments")
    answer = world.operate(order_id, "retry", key="now")
    assert (answer.status_code, answer.json()["id"]) == (202, order_id)
    again = world.operate(order_id, "retry", key="now")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    order = world.ended(order_id)
    assert (order["status"], order["reason"]) == ("COMPENSATED", "cancelled")
    assert (order["data"]["next_try_at"], order["data"]["last_error"]) == (None, None)
    assert [charge["status"] for charge in world.charges(order_id)] == ["refunded"]
    assert of_order(world, order_id) == []
    late = world.operate(order_id, "retry")
    assert (late.status_code, late.json()["code"]) == (409, "already-ended")


def test_a_retry_of_a_waiting_forward_step_runs_at_once_too(world: World) -> None:
    world.faults("payments", match="POST /charges$", status=503, error_rate=1.0)
    order_id = world.order_id()
    world.told(order_id, "charge", attempt=2)
    assert of_order(world, order_id) == []  # it waits, and has not waited for long
    world.calm("payments")
    assert world.operate(order_id, "retry").status_code == 202
    assert world.ended(order_id)["status"] == "COMPLETED"


def test_a_give_up_ends_the_saga_as_needing_attention_with_the_operators_reason(world: World) -> None:
    before = world.stock("mug-01")
    order_id = refund_stuck(world)
    words = {"reason": "Paid back by bank transfer."}
    answer = world.operate(order_id, "give-up", words, key="enough")
    assert answer.status_code == 202
    eventually(lambda: world.order(order_id)["reason"] == "given-up")
    order = world.order(order_id)
    assert (order["status"], order["step"], order["attempt"]) == ("NEEDS_ATTENTION", "refund", 1)
    assert (order["data"]["next_try_at"], order["data"]["last_error"]) == (None, "payments-unavailable")
    assert order["history"][-1]["note"] == words["reason"]
    assert {entry["note"] for entry in order["history"][:-1]} == {None}
    # The final status is true: the money is still captured, the stock is still reserved.
    assert [charge["status"] for charge in world.charges(order_id)] == ["captured"]
    assert world.stock("mug-01") == before - 1
    assert of_order(world, order_id) == []
    again = world.operate(order_id, "give-up", words, key="enough")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")
    late = world.operate(order_id, "give-up", words)
    assert (late.status_code, late.json()["code"]) == (409, "already-ended")
    world.calm("payments")
    _restart(world)
    assert world.order(order_id)["reason"] == "given-up"
    recent = world.http.get(
        f"{world.url('orders')}/orders", params={"since_hours": 0}, headers=world.bearer("ada")
    ).json()["orders"]
    assert order_id not in [one["id"] for one in recent]


def test_an_order_that_is_not_being_undone_cannot_be_given_up(world: World) -> None:
    world.faults("payments", match="POST /charges$", hold="before", times=1)
    order_id = world.order_id()
    world.wait_held("payments")
    refused = world.operate(order_id, "give-up", {"reason": "no"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not-undoing")
    for words in ({}, {"reason": ""}, {"reason": "x" * 501}):
        invalid = world.operate(order_id, "give-up", words)
        assert (invalid.status_code, invalid.json()["code"]) == (422, "invalid-input")
    world.release("payments")
    assert world.ended(order_id)["status"] == "COMPLETED"


def test_only_an_operator_may_operate(world: World) -> None:
    url = world.url("orders")
    saga = {"Authorization": f"Bearer {world.service_token()}"}
    for headers, status in ((world.bearer("ada"), 403), (saga, 403), ({}, 401)):
        asked = [
            world.http.get(f"{url}/operations/stuck", headers=headers),
            _post(world, "/operations/x/retry", headers),
            _post(world, "/operations/x/give-up", headers),
        ]
        assert [answer.status_code for answer in asked] == [status] * 3
    assert world.operate("nobody", "retry").status_code == 404
    assert world.operate("nobody", "give-up", {"reason": "x"}).status_code == 404


def _post(world: World, path: str, headers: dict[str, str]) -> httpx.Response:
    key = {"Idempotency-Key": f'"{secrets.token_hex(4)}"'}
    return world.http.post(f"{world.url('orders')}{path}", json={"reason": "x"}, headers={**headers, **key})


def _restart(world: World, **settings: str) -> None:
    world.kill("orders")
    world.start("orders", **settings)


def test_a_saga_that_does_not_match_its_records_stops_without_a_refund_and_is_listed(world: World) -> None:
    before = world.stock("pen-01")
    world.faults("payments", match="POST /charges$", hold="after", times=1)
    order_id = world.order_id(lines=[("pen-01", 1)])
    world.wait_held("payments")
    world.kill("orders")
    # As after a bad deployment: the next step of the saga is not the recorded one.
    with contextlib.closing(sqlite3.connect(world.folder / "orders" / "orders-engine.db")) as engine, engine:
        changed = engine.execute(
            "UPDATE operation_outputs SET function_name = 'another' "
            "WHERE workflow_uuid = ? AND function_name = 'reserve-1'",
            (order_id,),
        )
        assert changed.rowcount == 1
    world.start("orders", ATTENTION_SECONDS="1")
    eventually(lambda: _engine_says(world, order_id) == "ERROR")
    world.calm()
    eventually(lambda: bool(of_order(world, order_id)))
    (stuck,) = of_order(world, order_id)
    assert (stuck["status"], stuck["step"]) == ("RUNNING", "charge")
    assert [charge["status"] for charge in world.charges(order_id)] == ["captured"]
    assert world.stock("pen-01") == before - 1
    broken = world.operate(order_id, "retry")
    assert (broken.status_code, broken.json()["code"]) == (409, "saga-broken")
    _restart(world)


def _engine_says(world: World, order_id: str) -> str:
    with contextlib.closing(sqlite3.connect(world.folder / "orders" / "orders-engine.db")) as engine:
        found = engine.execute(
            "SELECT status FROM workflow_status WHERE workflow_uuid = ?", (order_id,)
        ).fetchone()
    return str(found[0])
