"""Every call of the shop against its service: what the service declares, and what it really answers."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from openapi_spec_validator import validate
from pydantic import TypeAdapter

from bff import Upstream
from tests.upstreams.world import World
from web.shop import clients
from web.shop.gateway import shop
from web.shop.models import Cart, Line

from .checker import complaints, methods, sampled

UPSTREAMS = [one for one in vars(clients).values() if isinstance(one, Upstream)]
METHODS = methods(UPSTREAMS)
SAMPLES: dict[str, Any] = {
    "sku": "mug-01",
    "weight_g": 350,
    "order_id": "0d0b9a3e-5a61-5e2c-8a3e-0f6f0c1f5f10",
    "owner": "http://localhost:8101|ada",
    "cart": Cart(lines=[Line(sku="mug-01", quantity=1)]),
}
Documents = dict[str, dict[str, Any]]


def service_of(name: str) -> str:
    return name.partition(".")[0]


def test_every_upstream_of_the_gateway_is_compared_with_its_service() -> None:
    assert {type(one) for one in shop.upstreams()} <= {type(one) for one in UPSTREAMS}
    assert {service_of(name) for name in METHODS} == {one.owner.service for one in UPSTREAMS}
    assert "orders.place" in METHODS and "inventory.levels" in METHODS


def test_every_document_is_openapi(documents: Documents) -> None:
    for document in documents.values():
        validate(document)


@pytest.mark.parametrize("name", METHODS)
def test_the_service_declares_what_the_call_sends_and_reads(name: str, documents: Documents) -> None:
    assert complaints(name, sampled(METHODS[name], SAMPLES), documents[service_of(name)]) == []


@pytest.mark.parametrize("name", METHODS)
def test_a_live_answer_matches_the_model_of_the_call(name: str, services: World, order: str) -> None:
    # Only an order under way can be cancelled.
    order_id = services.order_id() if name == "orders.cancel" else order
    call = sampled(METHODS[name], {**SAMPLES, "order_id": order_id})
    headers = {} if call.shared else services.bearer("ada")
    if call.method != "GET":
        headers |= {"Idempotency-Key": f'"{secrets.token_hex(32)}"', "Content-Type": "application/json"}
    answer = services.http.request(
        call.method,
        services.url(service_of(name)) + call.path,
        params=list(call.query),
        content=call.body,
        headers=headers,
    )
    assert answer.is_success, answer.text
    TypeAdapter(call.model).validate_json(answer.content)


Bend = Callable[[dict[str, Any]], object]


def schemas(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"]
    return found


BENDS: list[tuple[str, Bend, str]] = [
    (
        "orders.place",
        lambda d: schemas(d)["OrderData"]["properties"].pop("total_cents"),
        "orders.place: OrderStatus.data.total_cents is not in the service's answer",
    ),
    (
        "orders.mine",
        lambda d: schemas(d)["OrderLine"]["properties"].pop("name"),
        "orders.mine: Orders.orders[].data.lines[].name is not in the service's answer",
    ),
    (
        "orders.place",
        lambda d: schemas(d)["OrderStatus"]["properties"].update(version={"type": "string"}),
        "orders.place: OrderStatus.version is string in the service's answer, not integer",
    ),
    (
        "orders.place",
        lambda d: schemas(d)["OrderStatus"]["properties"]["status"]["enum"].append("LOST"),
        "orders.place: OrderStatus.status may be LOST in the service's answer",
    ),
    (
        "catalog.product",
        lambda d: schemas(d)["Product"]["properties"].update(
            price_cents={"anyOf": [{"type": "integer"}, {"type": "null"}]}
        ),
        "catalog.product: Product.price_cents is null in the service's answer, not integer",
    ),
    (
        "inventory.stock",
        lambda d: schemas(d)["Level"]["required"].remove("available"),
        "inventory.stock: Stock.available may be missing in the service's answer",
    ),
    (
        "shipping.estimate",
        lambda d: d["paths"]["/estimates"]["get"]["parameters"][0].update(name="grams"),
        "shipping.estimate: parameter weight_g is not known to the service",
    ),
    (
        "payments.charge",
        lambda d: d["paths"].pop("/charges/{order_id}"),
        "payments.charge: GET /charges/{order_id} is not in the service's OpenAPI",
    ),
    (
        "orders.place",
        lambda d: schemas(d)["CartLine"]["properties"].update(
            amount=schemas(d)["CartLine"]["properties"].pop("quantity")
        ),
        "orders.place: body.lines.[].quantity is not read by the service",
    ),
    (
        "orders.place",
        lambda d: schemas(d)["NewOrder"]["required"].append("coupon"),
        "orders.place: body: 'coupon' is a required property",
    ),
]


@pytest.mark.parametrize(("name", "bend", "complaint"), BENDS, ids=[bend[2] for bend in BENDS])
def test_what_a_service_removes_is_reported_by_name(
    name: str, bend: Bend, complaint: str, documents: Documents
) -> None:
    bent = copy.deepcopy(documents[service_of(name)])
    bend(bent)
    assert complaint in complaints(name, sampled(METHODS[name], SAMPLES), bent)


def test_what_a_service_adds_is_not_reported(documents: Documents) -> None:
    bent = copy.deepcopy(documents["orders"])
    for schema in schemas(bent).values():
        if "properties" in schema:
            schema["properties"]["extra"] = {"type": "string"}
    bent["paths"]["/orders/{id}"]["get"].setdefault("parameters", []).append(
        {"name": "lang", "in": "query", "schema": {"type": "string"}}
    )
    for name in METHODS:
        if service_of(name) == "orders":
            assert complaints(name, sampled(METHODS[name], SAMPLES), bent) == []
