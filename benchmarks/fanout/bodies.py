"""The answers of the three services (0.9, 1.8 and 2.6 KB), and the one document that every contender must make from
them."""

from __future__ import annotations

import json
from typing import Any

KINDS = ("product", "stock", "delivery")
REQUIRED = "product"
ROUTES = 100
"""Of the gateway with many."""
_MARK = "p000000000"
"""A sku. All have the same length, so that all answers have the same length."""
FAULT = "f"
"""The first letter of a sku for which one optional service fails."""


def sku(number: int) -> str:
    """The sku of that number, 0 to 999,999,999."""
    return f"p{number:09d}"


def faulty(number: int) -> str:
    """A sku for which the service of `stock` answers 503."""
    return f"{FAULT}{number:09d}"


def reserved(sku: str) -> bytes:
    """The service's and the command's answer to a reservation."""
    return encoded({"sku": sku, "reserved": 1})


def parts(sku: str) -> dict[str, dict[str, Any]]:
    """Each service's answer for one sku."""
    return {
        "product": {
            "sku": sku,
            "name": "Stoneware mug, 350 ml",
            "description": " ".join(["Thrown by hand, glazed twice, at home in any dishwasher."] * 9),
            "category": "kitchen",
            "price_cents": 1890,
            "currency": "EUR",
            "weight_g": 412.5,
            "tags": ["mug", "stoneware", "gift", "kitchen", "blue"],
            "dimensions": {"height_mm": 95, "width_mm": 82, "depth_mm": 118},
            "available": True,
            "supplier": {"name": "Töpferei Süd", "city": "Dießen", "since": "2019-04-01"},
            "rating": 4.6,
        },
        "stock": {
            "sku": sku,
            "version": 4711,
            "places": [
                {
                    "place": f"warehouse-{n:02d}",
                    "available": 7 * n,
                    "reserved": n,
                    "next_delivery": f"2026-03-{n + 1:02d}T08:00:00Z",
                }
                for n in range(19)
            ],
        },
        "delivery": {
            "sku": sku,
            "options": [
                {
                    "carrier": f"carrier-{n:02d}",
                    "service": "next day before noon" if n % 2 else "standard",
                    "days_min": 1 + n % 3,
                    "days_max": 3 + n % 4,
                    "price_cents": 390 + 50 * n,
                    "currency": "EUR",
                    "tracked": n % 2 == 0,
                    "countries": ["DE", "AT", "CH", "NL"],
                    "co2_g": 120.5 + n,
                }
                for n in range(15)
            ],
        },
    }


def halves() -> dict[str, tuple[bytes, bytes]]:
    """Each service's answer, as the bytes before and after the sku."""
    made = {}
    for kind, part in parts(_MARK).items():
        before, _, after = encoded(part).partition(_MARK.encode())
        made[kind] = (before, after)
    return made


def encoded(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def screen(sku: str) -> dict[str, Any]:
    """The document: the required part unchanged, the optional ones as `ready`."""
    given = parts(sku)
    return {
        kind: part if kind == REQUIRED else {"state": "ready", "data": part} for kind, part in given.items()
    }


def check(sku: str, answered: Any) -> None:
    """Compare an answer with the document, key by key. Raises ValueError that names the first difference."""
    _same(screen(sku), answered, "")


def _same(wanted: Any, found: Any, where: str) -> None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in wanted.keys() | found.keys():
            if name not in wanted or name not in found:
                raise ValueError(f"{where}/{name} is {'missing' if name in wanted else 'too much'}")
            _same(wanted[name], found[name], f"{where}/{name}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
            _same(one, other, f"{where}/{index}")
    elif wanted != found or type(wanted) is not type(found):
        raise ValueError(f"{where} is {found!r} instead of {wanted!r}")
