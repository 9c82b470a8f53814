"""The assortment of the demo shop. Promises eight products, each with a drawing the page owns; refuses nothing."""

from __future__ import annotations

from typing import Any, Final


def _product(
    sku: str, name: str, category: str, cents: int, grams: int, description: str
) -> dict[str, Any]:  # a row as the database takes it
    return {
        "sku": sku,
        "name": name,
        "description": description,
        "category": category,
        "price_cents": cents,
        "currency": "EUR",
        "weight_g": grams,
        "art": sku.rsplit("-", 1)[0],
    }


PRODUCTS: Final = (
    _product(
        "mug-01",
        "Harbour mug",
        "Kitchen",
        1890,
        380,
        "Stoneware, salt-glazed, holds 300 ml and warms both hands.",
    ),
    _product(
        "teapot-01",
        "Quiet teapot",
        "Kitchen",
        5400,
        940,
        "Pours without a drop lost. One litre, with a steel strainer.",
    ),
    _product(
        "lamp-01",
        "Reading lamp",
        "Living",
        8900,
        1650,
        "Turned ash and a warm light that dims down to a candle.",
    ),
    _product(
        "blanket-01", "Wool blanket", "Living", 12900, 1400, "Woven of undyed wool, 140 by 200 centimetres."
    ),
    _product(
        "notebook-01",
        "Field notebook",
        "Desk",
        1250,
        210,
        "Thread-bound, 160 pages that take ink, lies flat when open.",
    ),
    _product(
        "pen-01", "Brass pen", "Desk", 3600, 45, "Solid brass that ages with you. Takes any standard refill."
    ),
    _product(
        "plant-01",
        "Desk fern",
        "Garden",
        2200,
        1200,
        "A small fern in a clay pot that forgives a missed week.",
    ),
    _product(
        "bike-01",
        "Toy racer",
        "Play",
        14900,
        2300,
        "Beech and steel, made to order in a small workshop. Few at a time.",
    ),
)
