"""Shipping's API on a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

from openapi_spec_validator import validate

from tests.upstreams.conftest import Issuer, Serve
from upstreams.shipping.app import build


def shipment_of(owner: str = "http://issuer|ada", quantity: int = 1) -> dict[str, Any]:
    return {"order_id": "order-1", "owner": owner, "lines": [{"sku": "mug-01", "quantity": quantity}]}


async def test_an_estimate_needs_no_token_and_grows_with_the_weight(serve: Serve) -> None:
    shipping = await serve(build)
    light = (await shipping.get("/estimates?weight_g=380")).json()
    heavy = (await shipping.get("/estimates?weight_g=12000")).json()
    assert light == {"days_min": 2, "days_max": 4, "price_cents": 490, "currency": "EUR"}
    assert heavy["price_cents"] > light["price_cents"]
    assert heavy["days_max"] > light["days_max"]


async def test_an_estimate_without_a_weight_is_refused_with_a_pointer(serve: Serve) -> None:
    shipping = await serve(build)
    for query in ("", "?weight_g=heavy", "?weight_g=-1"):
        answer = await shipping.get(f"/estimates{query}")
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/weight_g"]


async def test_fifty_bookings_at_once_make_one_shipment(serve: Serve, issuer: Issuer) -> None:
    shipping = await serve(build)
    token = issuer.saga_token()
    answers = await asyncio.gather(
        *(shipping.post("/shipments", shipment_of(), token=token) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert set(answers[0].json()) == {"order_id", "shipment_id", "tracking", "status"}
    listed = (await shipping.get("/shipments", token=token)).json()["shipments"]
    assert [shipment["status"] for shipment in listed] == ["booked"]


async def test_other_lines_for_a_booked_order_are_refused(serve: Serve, issuer: Issuer) -> None:
    shipping = await serve(build)
    await shipping.post("/shipments", shipment_of(), token=issuer.saga_token())
    answer = await shipping.post("/shipments", shipment_of(quantity=2), token=issuer.saga_token())
    assert (answer.status_code, answer.json()["code"]) == (409, "order-differs")


async def test_a_booked_shipment_is_cancelled_and_not_booked_again(serve: Serve, issuer: Issuer) -> None:
    shipping = await serve(build)
    token = issuer.saga_token()
    await shipping.post("/shipments", shipment_of(), token=token)
    for _ in range(2):
        answer = await shipping.post("/shipments/order-1/cancel", token=token)
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    late = await shipping.post("/shipments", shipment_of(), token=token)
    assert (late.status_code, late.json()["code"]) == (409, "cancelled")
    assert (await shipping.get("/shipments/order-1", token=token)).json()["status"] == "cancelled"


async def test_a_cancellation_that_comes_first_refuses_the_late_booking(serve: Serve, issuer: Issuer) -> None:
    shipping = await serve(build)
    token = issuer.saga_token()
    assert (await shipping.post("/shipments/order-1/cancel", token=token)).status_code == 200
    late = await shipping.post("/shipments", shipment_of(), token=token)
    assert (late.status_code, late.json()["code"]) == (409, "cancelled")
    assert (await shipping.get("/shipments", token=token)).json() == {"shipments": []}


async def test_only_the_owner_and_the_saga_see_a_shipment(serve: Serve, issuer: Issuer) -> None:
    shipping = await serve(build)
    await shipping.post("/shipments", shipment_of(owner=f"{issuer.url}|ada"), token=issuer.saga_token())
    mine = await shipping.get("/shipments/order-1", token=issuer.token("ada"))
    assert mine.json()["lines"] == [{"sku": "mug-01", "quantity": 1}]
    assert (await shipping.get("/shipments/order-1", token=issuer.token("grace"))).status_code == 404
    assert (await shipping.post("/shipments", shipment_of(), token=issuer.token("ada"))).status_code == 403


async def test_the_planned_refusal_is_no_carrier(serve: Serve, issuer: Issuer) -> None:
    shipping = await serve(build)
    await shipping.faults(refuse=True)
    answer = await shipping.post("/shipments", shipment_of(), token=issuer.saga_token())
    assert (answer.status_code, answer.json()["code"]) == (409, "no-carrier")


async def test_shippings_openapi_is_valid(serve: Serve) -> None:
    shipping = await serve(build)
    validate((await shipping.get("/openapi.json")).json())
