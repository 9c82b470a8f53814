"""The tariff of parcels, which shipping publishes in its estimates and orders charges by.

Guarantees that what a customer is shown and what is charged are the same figure, without a request to shipping at the
time of an order. Refuses currencies other than EUR.
"""

from __future__ import annotations

TARIFF_CURRENCY = "EUR"


def parcel_cents(weight_g: int) -> int:
    """4.90 EUR up to a kilogram, and 1.20 EUR for each further one begun."""
    kilograms = max(1, -(-weight_g // 1000))
    return 490 + 120 * (kilograms - 1)
