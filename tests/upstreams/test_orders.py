"""Orders with all its participants, as real processes: what customers see and which events are published."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from tests.upstreams.world import World
from tests.waiting import GUARD

MUG = 1890
PARCEL = 490
"""What shipping takes for a parcel up to a kilogram."""
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def started(services: World) -> World:
    services.again()
    return services


@pytest.fixture
def world(started: World) -> Iterator[World]:
    yield started
    started.calm()


def steps(order: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["status"], entry["step"]) for entry in order["history"]]


def told(world: World, order_id: str) -> list[tuple[str, str]]:
    """The events on the stream, once the last one is there; checks that the versions count from 1 without a gap and
    that event ids match."""
    events = world.published(order_id)
    assert [event["sequence"] for event in events] == [str(n) for n in range(1, len(events) + 1)]
    assert [event["id"] for event in events] == [f"{order_id}:{n}" for n in range(1, len(events) + 1)]
    return [(event["data"]["status"], event["data"]["step"]) for event in events]


def test_an_order_is_reserved_charged_and_shipped_with_an_event_for_each_step(world: World) -> None:
    before = world.stock("mug-01")
    correlation = str(uuid.uuid4())
    answer = world.place(
        lines=[("mug-01", 2), ("pen-01", 1)],
        headers={
            "BFF-Mutation": "click-1",
            "BFF-Owner": world.owner("ada"),
            "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
            "X-Correlation-ID": correlation,
        },
    )
    assert answer.status_code == 202
    accepted = answer.json()
    assert answer.headers["Location"] == f"/orders/{accepted['id']}"
    assert (accepted["status"], accepted["step"], accepted["version"]) == ("PENDING", None, 0)
    assert (accepted["type"], accepted["mutation"], accepted["reason"]) == ("order", "click-1", None)
    assert accepted["data"] == {
        "lines": [
            {"sku": "mug-01", "name": "Harbour mug", "quantity": 2, "price_cents": MUG},
            {"sku": "pen-01", "name": "Brass pen", "quantity": 1, "price_cents": 3600},
        ],
        "delivery_cents": PARCEL,
        "card": "first",
        "total_cents": 2 * MUG + 3600 + PARCEL,
        "currency": "EUR",
        "reached": None,
        "next_try_at": None,
        "last_error": None,
    }

    order = world.ended(accepted["id"])
    way = [("RUNNING", "reserve"), ("RUNNING", "charge"), ("RUNNING", "ship"), ("COMPLETED", "ship")]
    assert steps(order) == way
    assert (order["status"], order["version"], order["attempt"]) == ("COMPLETED", 4, 1)
    assert world.stock("mug-01") == before - 2
    (charge,) = world.charges(order["id"])
    assert (charge["amount_cents"], charge["currency"]) == (2 * MUG + 3600 + PARCEL, "EUR")
    assert charge["status"] == "captured"
    assert len(world.shipments(order["id"])) == 1

    assert told(world, order["id"]) == way
    for event, entry in zip(world.published(order["id"]), order["history"], strict=True):
        assert event["specversion"] == "1.0"
        assert event["type"] == "shop.order.status"
        assert event["source"] == "/services/orders"
        assert event["traceparent"].split("-")[1] == TRACE
        data = event["data"]
        assert (data["owner"], data["mutation"]) == (world.owner("ada"), "click-1")
        assert data["data"] == {**accepted["data"], "reached": entry["step"]}
        assert data["at"] == entry["at"]
        datetime.datetime.fromisoformat(data["at"])
    for name in ("inventory", "payments", "shipping"):
        log = world.log(name).read_text()
        assert correlation in log, name
        assert TRACE in log, name


def test_a_declined_card_releases_the_stock_and_the_order_has_the_reason(world: World) -> None:
    before = world.stock("teapot-01")
    order_id = world.order_id("bruno", [("teapot-01", 1)])
    order = world.ended(order_id, "bruno")
    assert told(world, order_id) == [
        ("RUNNING", "reserve"),
        ("RUNNING", "charge"),
        ("COMPENSATING", "release"),
        ("COMPENSATED", "release"),
    ]
    assert (order["status"], order["reason"]) == ("COMPENSATED", "card-declined")
    assert [entry["reason"] for entry in order["history"]] == [None, None, "card-declined", "card-declined"]
    assert world.stock("teapot-01") == before
    assert world.charges(order_id) == []


def test_too_little_stock_rejects_the_order_and_leaves_nothing_to_undo(world: World) -> None:
    before = world.stock("bike-01")
    order_id = world.order_id(lines=[("mug-01", 1), ("bike-01", 99)])
    order = world.ended(order_id)
    assert told(world, order_id) == [("RUNNING", "reserve"), ("REJECTED", "reserve")]
    assert order["reason"] == "out-of-stock"
    assert world.stock("bike-01") == before


def test_a_failing_refund_is_tried_again_visibly_until_it_needs_attention_and_still_ends(
    world: World,
) -> None:
    world.faults("shipping", status=503, error_rate=1.0)
    world.faults("payments", match="POST /charges/", status=500, error_rate=1.0, times=12)
    order_id = world.order_id()
    world.told(order_id, "ship", attempt=2)
    assert world.cancel(order_id).status_code == 202
    world.told(order_id, "cancel-shipment", status="COMPENSATING", attempt=2)
    world.calm("shipping")
    order = world.ended(order_id)
    assert (order["status"], order["reason"]) == ("COMPENSATED", "cancelled")
    told(world, order_id)
    refunds = [(e["status"], e["attempt"]) for e in order["history"] if e["step"] == "refund"]
    assert refunds == [("COMPENSATING", n) for n in range(1, 11)] + [
        ("NEEDS_ATTENTION", n) for n in (11, 12, 13)
    ]
    assert order["history"][-1]["step"] == "release"
    (charge,) = world.charges(order_id)
    assert charge["status"] == "refunded"
    assert [one["status"] for one in world.shipments(order_id)] == []


def test_a_cancel_between_the_steps_undoes_what_was_done(world: World) -> None:
    before = world.stock("mug-01")
    world.faults("payments", match="POST /charges", hold="after", times=1)
    order_id = world.order_id()
    world.wait_held("payments")
    answer = world.cancel(order_id, key="take-it-back", headers={"BFF-Mutation": "the-cancel"})
    assert answer.status_code == 202
    assert answer.json()["id"] == order_id
    assert answer.json()["mutations"] == [], "it has not taken effect yet"
    world.release("payments")
    order = world.ended(order_id)
    assert told(world, order_id) == [
        ("RUNNING", "reserve"),
        ("RUNNING", "charge"),
        ("COMPENSATING", "refund"),
        ("COMPENSATING", "release"),
        ("COMPENSATED", "release"),
    ]
    assert order["reason"] == "cancelled"
    assert order["mutations"] == ["the-cancel"]
    named = [event["data"]["mutations"] for event in world.published(order_id)]
    assert named == [[], [], ["the-cancel"], ["the-cancel"], ["the-cancel"]]
    assert world.stock("mug-01") == before
    assert [charge["status"] for charge in world.charges(order_id)] == ["refunded"]
    again = world.cancel(order_id, key="take-it-back")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (202, "true")


def test_a_cancel_during_shipping_is_remembered_and_one_after_it_is_too_late(world: World) -> None:
    world.faults("shipping", match="POST /shipments", hold="after", times=1)
    order_id = world.order_id()
    world.wait_held("shipping")
    assert world.cancel(order_id).status_code == 202
    world.release("shipping")
    assert world.ended(order_id)["status"] == "COMPENSATED"
    assert told(world, order_id)[-4:] == [
        ("COMPENSATING", "cancel-shipment"),
        ("COMPENSATING", "refund"),
        ("COMPENSATING", "release"),
        ("COMPENSATED", "release"),
    ]

    order_id = world.order_id()
    assert world.ended(order_id)["status"] == "COMPLETED"
    late = world.cancel(order_id)
    assert (late.status_code, late.json()["code"]) == (409, "too-late")
    assert world.order(order_id)["status"] == "COMPLETED"


def test_while_payments_is_away_the_attempts_are_visible_and_the_order_waits(world: World) -> None:
    world.kill("payments")
    order_id = world.order_id()
    world.told(order_id, "charge", attempt=3)
    world.start("payments")
    order = world.ended(order_id)
    assert order["status"] == "COMPLETED"
    charges = [entry["attempt"] for entry in order["history"] if entry["step"] == "charge"]
    assert charges == list(range(1, len(charges) + 1))
    assert len(charges) >= 3
    told(world, order_id)
    assert len(world.charges(order_id)) == 1


def test_one_key_sent_many_times_at_once_is_one_order(world: World) -> None:
    world.user_token("grace")

    def place() -> httpx.Response:
        end = time.monotonic() + GUARD
        # 503: the catalog took longer than the orders service waits for it, which means that the client tries again.
        while (answer := world.place("grace", [("notebook-01", 1)], key="thirty")).status_code == 503:
            assert time.monotonic() < end, answer.text
            time.sleep(1)
        return answer

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: place(), range(30)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    order_id = answers[0].json()["id"]
    assert world.ended(order_id, "grace")["status"] == "COMPLETED"
    assert told(world, order_id)[-1] == ("COMPLETED", "ship")
    assert len(world.charges(order_id)) == 1
    assert len(world.shipments(order_id)) == 1
    listed = world.http.get(f"{world.url('orders')}/orders", headers=world.bearer("grace")).json()["orders"]
    assert [order["id"] for order in listed].count(order_id) == 1

    other = world.place("grace", [("notebook-01", 2)], key="thirty")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    again = world.place("grace", [("notebook-01", 1)], key="thirty")
    assert (again.status_code, again.json()["status"]) == (202, "COMPLETED")
    assert world.place("ada", [("notebook-01", 1)], key="thirty").json()["id"] != order_id


def test_no_person_sees_or_cancels_the_order_of_another(world: World) -> None:
    order_id = world.order_id("ada")
    url = f"{world.url('orders')}/orders"
    assert world.http.get(f"{url}/{order_id}", headers=world.bearer("grace")).status_code == 404
    assert world.cancel(order_id, "grace").status_code == 404
    mine = world.http.get(url, headers=world.bearer("ada")).json()["orders"]
    theirs = world.http.get(url, headers=world.bearer("grace")).json()["orders"]
    assert mine[0]["id"] == order_id
    assert order_id not in [order["id"] for order in theirs]
    assert [order["at"] for order in mine]
    world.ended(order_id)
    recent = world.http.get(url, params={"since_hours": 0}, headers=world.bearer("ada")).json()["orders"]
    assert order_id not in [order["id"] for order in recent]
    recent = world.http.get(url, params={"since_hours": 1}, headers=world.bearer("ada")).json()["orders"]
    assert order_id in [order["id"] for order in recent]


def test_an_invalid_order_is_refused_with_pointers(world: World) -> None:
    unknown = world.place(lines=[("mug-01", 1), ("ghost-01", 1)])
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown-product")
    assert [error["pointer"] for error in unknown.json()["errors"]] == ["/lines/1/sku"]
    for lines in ([], [("mug-01", 0)], [("mug-01", 100)], [("mug-01", 1)] * 21):
        refused = world.place(lines=lines)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid-input")
    wrong = world.place(headers={"BFF-Owner": world.owner("grace")})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "owner-mismatch")
    url = f"{world.url('orders')}/orders"
    body = {"lines": [{"sku": "mug-01", "quantity": 1}]}
    assert world.http.post(url, json=body, headers=world.bearer("ada")).status_code == 400
    assert world.http.post(url, json=body, headers={"Idempotency-Key": "k"}).status_code == 401
    service = {"Authorization": f"Bearer {world.service_token()}", "Idempotency-Key": "k"}
    assert world.http.post(url, json=body, headers=service).status_code == 403
    assert world.http.get(f"{url}/{uuid.uuid4()}", headers=world.bearer("ada")).status_code == 404


def test_while_the_catalog_is_away_an_order_is_503_with_its_owner(world: World) -> None:
    world.faults("catalog", status=503, error_rate=1.0)
    away = world.place(key="no-catalog")
    assert (away.status_code, away.json()["code"]) == (503, "catalog-unavailable")
    assert away.json()["owner"]["team"] == "Catalog"
    assert away.headers["Retry-After"]
    world.calm("catalog")
    assert world.ended(world.order_id(key="no-catalog"))["status"] == "COMPLETED"


def test_readiness_names_the_database_the_engine_and_redis_and_the_openapi_is_valid(world: World) -> None:
    ready = world.http.get(f"{world.url('orders')}/readyz").json()
    assert set(ready["dependencies"]) == {"database", "engine", "redis"}
    assert all(part["ready"] for part in ready["dependencies"].values())
    validate(world.http.get(f"{world.url('orders')}/openapi.json").json())


def test_orders_go_on_while_redis_is_away_and_their_events_are_published_later_without_a_gap(
    world: World,
) -> None:
    world.faults("payments", match="POST /charges", hold="before", times=1)
    order_id = world.order_id()
    world.wait_held("payments")
    world.valkey.send(19)  # SIGSTOP: it accepts and does not answer
    try:
        world.release("payments")
        assert world.ended(order_id)["status"] == "COMPLETED"
        other = world.order_id("bruno", [("teapot-01", 1)])
        assert world.ended(other, "bruno")["status"] == "COMPENSATED"
    finally:
        world.valkey.send(18)  # SIGCONT
    for one, number in ((order_id, 4), (other, 4)):
        events = world.published(one)
        distinct = list(dict.fromkeys(event["id"] for event in events))
        assert distinct == [f"{one}:{n}" for n in range(1, number + 1)]
        bodies = {event["id"]: event for event in events}
        assert all(bodies[event["id"]] == event for event in events)


def test_a_refused_parcel_is_not_retried_and_the_charge_is_refunded(world: World) -> None:
    world.faults("shipping", refuse=True, match="POST /shipments$")
    before = world.stock("mug-01")
    order_id = world.order_id("ada", [("mug-01", 1)])
    order = world.ended(order_id)
    assert (order["status"], order["reason"]) == ("COMPENSATED", "no-carrier")
    assert [charge["status"] for charge in world.charges(order_id)] == ["refunded"]
    assert world.stock("mug-01") == before


def test_the_price_that_was_shown_is_charged_or_the_order_is_refused(world: World) -> None:
    url = f"{world.url('orders')}/orders"

    def placed(price: int | None, key: str) -> httpx.Response:
        lines = [{"sku": "pen-01", "quantity": 1}, {"sku": "mug-01", "quantity": 2, "price_cents": price}]
        headers = {**world.bearer("ada"), "Idempotency-Key": f'"{key}"'}
        return world.http.post(url, json={"lines": lines}, headers=headers)

    for price in (MUG - 1, MUG + 1):
        refused = placed(price, "shown")
        assert (refused.status_code, refused.json()["code"]) == (409, "price-changed")
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/lines/1/price_cents"]
    # Nothing was placed under that key: it may be used for what is ordered at the price of now.
    accepted = placed(MUG, "shown")
    assert accepted.status_code == 202
    assert world.ended(accepted.json()["id"])["status"] == "COMPLETED"
    (charge,) = world.charges(accepted.json()["id"])
    assert charge["amount_cents"] == 3600 + 2 * MUG + PARCEL
    assert placed(None, "unseen").status_code == 202


def test_the_delivery_that_was_shown_is_charged_or_the_order_is_refused(world: World) -> None:
    heavy = [{"sku": "blanket-01", "quantity": 3}]
    weight = 3 * world.http.get(f"{world.url('catalog')}/products/blanket-01").json()["weight_g"]
    estimated = world.http.get(f"{world.url('shipping')}/estimates", params={"weight_g": weight}).json()
    assert estimated["price_cents"] > PARCEL

    def placed(delivery: int, key: str) -> httpx.Response:
        headers = {**world.bearer("ada"), "Idempotency-Key": f'"{key}"'}
        wanted = {"lines": heavy, "delivery_cents": delivery}
        return world.http.post(f"{world.url('orders')}/orders", json=wanted, headers=headers)

    refused = placed(PARCEL, "delivery-shown")
    assert (refused.status_code, refused.json()["code"]) == (409, "price-changed")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/delivery_cents"]
    accepted = placed(estimated["price_cents"], "delivery-shown")
    assert accepted.status_code == 202
    order = world.ended(accepted.json()["id"])
    assert order["data"]["delivery_cents"] == estimated["price_cents"]
    lines = sum(line["quantity"] * line["price_cents"] for line in order["data"]["lines"])
    (charge,) = world.charges(order["id"])
    assert charge["amount_cents"] == order["data"]["total_cents"] == lines + estimated["price_cents"]


def test_a_person_whose_first_card_is_declined_can_pay_with_the_second(world: World) -> None:
    def ended(card: str) -> dict[str, Any]:
        headers = {**world.bearer("bruno"), "Idempotency-Key": f'"card-{card}"'}
        wanted = {"lines": [{"sku": "mug-01", "quantity": 1}], "card": card}
        answer = world.http.post(f"{world.url('orders')}/orders", json=wanted, headers=headers)
        return world.ended(answer.raise_for_status().json()["id"], "bruno")

    declined, paid = ended("first"), ended("second")
    assert (declined["status"], declined["reason"]) == ("COMPENSATED", "card-declined")
    assert paid["status"] == "COMPLETED"
    assert [order["data"]["card"] for order in (declined, paid)] == ["first", "second"]


def test_an_order_says_how_far_it_came_after_it_was_undone(world: World) -> None:
    world.faults("shipping", hold="before", match="POST /shipments$")
    order_id = world.order_id("ada", [("mug-01", 1)])
    world.wait_held("shipping")
    assert world.cancel(order_id).status_code == 202
    world.calm("shipping")
    order = world.ended(order_id)
    assert (order["status"], order["step"], order["data"]["reached"]) == ("COMPENSATED", "release", "ship")
    reached = [event["data"]["data"]["reached"] for event in world.published(order_id)]
    assert reached == ["reserve", "charge", "ship", "ship", "ship", "ship", "ship"]
