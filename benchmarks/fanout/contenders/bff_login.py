"""bff with a view that requires a sign-in: an API client's bearer token."""

from __future__ import annotations

from .contender import Contender, served_by_bff

CONTENDER = Contender(
    "bff, login",
    "as public, and ES256 bearer token verified (remembered for a minute), limit per person, token passed on",
    "/own/{sku}",
    token=True,
    start=served_by_bff,
    packages=("pyjwt", "cryptography", "opentelemetry-sdk"),
)
