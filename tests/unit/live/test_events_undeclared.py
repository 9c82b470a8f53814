"""Events that the gateway has no use for: which are ours all the same, which are ignored, and what is wrong with the
others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from bff import SagaStatus
from bff.live.ingest.events import CURES, MAX_BODY, WRONG, BadEvent, Registry, SagaEvent, Undeclared

STATUS: dict[str, Any] = {"status": "RUNNING", "owner": "https://i|ada", "at": "2026-03-01T10:00:00Z"}
VALUE: dict[str, Any] = {"version": 1, "at": "2026-03-01T10:00:00Z", "data": {}}


class Stock(BaseModel):
    available: int = 0


def event(type: str, data: Any = STATUS, **changes: Any) -> bytes:
    whole = {"specversion": "1.0", "id": "1", "source": "/s", "type": type, "subject": "o1", "sequence": "1"}
    return json.dumps(
        {name: one for name, one in (whole | {"data": data} | changes).items() if one is not ...}
    ).encode()


def meaning(body: bytes, *ignored: str) -> Any:
    return Registry({"order": SagaStatus}, {"stock": Stock}, ignored).meaning(body, now_ms=0)


@pytest.mark.parametrize(
    ("type", "data", "wrong", "near"),
    [
        ("shop.ordr.status", STATUS, "undeclared-saga", "order"),
        ("shop.payment.status", STATUS, "undeclared-saga", ""),
        ("shop.stok.value", VALUE, "undeclared-value", "stock"),
        ("order.status", STATUS, "undeclared-type", ""),
        ("shop.order.updated", STATUS, "undeclared-type", ""),
    ],
)
def test_an_event_that_only_has_another_type_is_ours(
    type: str, data: dict[str, Any], wrong: Any, near: str
) -> None:
    assert meaning(event(type, data)) == Undeclared(type, wrong, True, near)


@pytest.mark.parametrize(
    "body",
    [
        event("com.example.push", {"ref": "main"}),
        event("com.example.push", ...),
        event("home.lamp.status", {"on": True}),
        event("home.lamp.status", STATUS, sequence="0"),
        event("home.lamp.status", STATUS, sequence=...),
        event("home.lamp.status", STATUS | {"status": "BROKEN"}),
        event("home.lamp.value", VALUE | {"version": 2}),
    ],
)
def test_an_event_of_another_kind_is_not_ours(body: bytes) -> None:
    found = meaning(body)
    assert isinstance(found, Undeclared) and not found.ours


def test_types_that_are_for_others_are_ignored() -> None:
    assert meaning(event("billing.invoice.status"), "billing.*") is None
    assert meaning(event("billing.invoice.status"), "x", "*.invoice.status") is None
    assert isinstance(meaning(event("billingXinvoice.status"), "billing.invoice.status"), Undeclared)
    assert isinstance(meaning(event("shop.order.status"), "billing.*"), SagaEvent)
    assert meaning(event("shop.order.status"), "shop.order.*") is None, "also one that is declared"


@pytest.mark.parametrize(
    ("body", "wrong", "fields"),
    [
        (None, "no-event", ()),
        (b"x" * (MAX_BODY + 1), "too-large", ()),
        (b"{", "not-json", ()),
        (b"[]", "not-json", ()),
        (b'{"type":NaN}', "not-json", ()),
        (b"[" * 50_000, "not-json", ()),
        (b"{}", "attribute", ("type",)),
        (event("shop.order.status", specversion="0.3"), "attribute", ("specversion",)),
        (event("shop.order.status", sequence=1), "attribute", ("sequence",)),
        (event("shop.order.status", sequence="0"), "attribute", ("sequence",)),
        (event("shop.order.status", subject="x" * 129), "attribute", ("subject",)),
        (event("shop.order.status", ...), "data", ("data",)),
        (event("shop.order.status", STATUS | {"status": "DONE"}), "data", ("data.status",)),
        (event("shop.order.status", STATUS | {"owner": ""}), "data", ("data.owner",)),
        (event("shop.stock.value", VALUE | {"version": 2}), "attribute", ("sequence",)),
        (event("shop.stock.value", VALUE | {"data": {"available": "1"}}), "data", ("data.data.available",)),
        (event("shop.stock.value", VALUE, subject="a b"), "attribute", ("subject",)),
        (event("shop.stock.changed", {"owner": 1}, sequence=...), "data", ("data.owner",)),
    ],
)
def test_what_is_wrong_has_a_reason_and_a_place(
    body: bytes | None, wrong: str, fields: tuple[str, ...]
) -> None:
    with pytest.raises(BadEvent) as caught:
        Registry({"order": SagaStatus}, {"stock": Stock}).meaning(body, now_ms=0)
    assert (caught.value.wrong, caught.value.fields) == (wrong, fields)


def test_every_reason_has_a_cure() -> None:
    assert set(CURES) == set(WRONG)
