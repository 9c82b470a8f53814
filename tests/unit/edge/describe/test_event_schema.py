"""The JSON Schema of events: it says of every event what the gateway does with it."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from bff import Gateway, SagaStatus
from bff.edge.describe import event_schema
from bff.live.ingest.events import BadEvent, Registry, Undeclared

OWNER = "https://id.example|ada"


class Line(BaseModel):
    sku: str
    count: int = 1


class Order(SagaStatus):
    data: Line | None = None


class Stock(BaseModel):
    sku: str
    available: int


def declared() -> Gateway:
    gateway = Gateway("desk")
    gateway.saga("order", Order)
    gateway.saga("return", SagaStatus)
    gateway.value("stock/{sku}", Stock, public=True)
    return gateway


SCHEMA = event_schema.document(declared())
VALIDATOR = Draft202012Validator(SCHEMA)
REGISTRY = Registry({"order": Order, "return": SagaStatus}, {"stock": Stock})

_ENVELOPE = {"specversion": "1.0", "id": "1", "source": "/services/orders"}
STATUS: dict[str, Any] = {
    **_ENVELOPE,
    "type": "shop.order.status",
    "subject": "o1",
    "sequence": "1",
    "traceparent": None,
    "data": {
        "status": "RUNNING",
        "owner": OWNER,
        "at": "2026-03-01T10:00:00Z",
        "step": "charge",
        "attempt": 1,
        "reason": None,
        "mutation": "k1",
        "mutations": ["k2"],
        "data": {"sku": "mug", "count": 2},
    },
}
VALUE: dict[str, Any] = {
    **_ENVELOPE,
    "type": "shop.stock.value",
    "subject": "sku-1",
    "sequence": "7",
    "data": {
        "version": 7,
        "at": "2026-03-01T10:00:00Z",
        "data": {"sku": "sku-1", "available": 3},
        "mutations": [],
    },
}
CHANGED: dict[str, Any] = {
    **_ENVELOPE,
    "type": "site.article.changed",
    "subject": "a/b",
    "data": {"owner": OWNER},
}
EVENTS = (STATUS, VALUE, CHANGED)


def places(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The place of every member of an object, inner ones included."""
    if not isinstance(tree, dict):
        return []
    return [place for name, inner in tree.items() for place in [(*path, name), *places(inner, (*path, name))]]


def changed(event: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The event with this value at this place; `...` leaves the member out."""
    tree = copy.deepcopy(event)
    inner = tree
    for name in place[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return tree


def is_used(event: Any) -> bool:
    try:
        meaning = REGISTRY.meaning(json.dumps(event).encode(), now_ms=0)
    except BadEvent:
        return False
    return not isinstance(meaning, Undeclared)


def test_it_is_a_valid_schema_that_its_own_events_fit() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for event in EVENTS:
        assert VALIDATOR.is_valid(event) and is_used(event)


WRONG = st.one_of(
    st.sampled_from(
        [..., None, True, 0, 1, -1, 7, 2**53, 1.5, "", "1", "07", "7", "RUNNING", "running", [], {}]
    ),
    st.sampled_from(
        ["shop.order.status", "order.status", "a.b.return.status", "shop.stock.value", "shop.x.value"]
    ),
    st.sampled_from(["x" * 128, "x" * 129, "x" * 194, "x" * 195, "x" * 200, "x" * 201, "x" * 512, "x" * 513]),
    st.sampled_from(
        ["1" * 15, "1" * 16, "a b", "a/b", ["k"] * 32, ["k"] * 33, ["k" * 255], ["k" * 256], [1]]
    ),
    st.sampled_from(["2" * 64, "2" * 65, {"sku": "x", "available": 1, "more": 1}, {"owner": ""}]),
)


@given(st.data())
def test_an_event_fits_exactly_where_the_gateway_uses_it(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from(EVENTS))
    broken = changed(event, data.draw(st.sampled_from(places(event))), data.draw(WRONG))
    if event is VALUE and "sequence" in broken and isinstance(broken.get("data"), dict):
        # JSON Schema cannot compare two members.
        broken["sequence"] = str(broken["data"].get("version", "7"))
    assert VALIDATOR.is_valid(broken) == is_used(broken), broken


def test_a_gateway_without_sagas_and_values_accepts_changes_alone() -> None:
    schema = Draft202012Validator(event_schema.document(Gateway("plain")))
    assert schema.is_valid(CHANGED) and not schema.is_valid(STATUS) and not schema.is_valid(VALUE)
