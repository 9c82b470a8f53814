"""The assortment of the demo shop, from `products.csv`. Promises eight products, each with a drawing the page owns;
refuses nothing."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final


def _products() -> list[dict[str, Any]]:  # rows as the database takes them
    with (Path(__file__).parent / "products.csv").open(newline="", encoding="utf-8") as file:
        return [
            {
                **row,
                "price_cents": int(row["price_cents"]),
                "currency": "EUR",
                "weight_g": int(row["weight_g"]),
                "art": row["sku"].rsplit("-", 1)[0],
            }
            for row in csv.DictReader(file)
        ]


PRODUCTS: Final = _products()
