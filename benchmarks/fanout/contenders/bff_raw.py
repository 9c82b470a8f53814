"""bff with a public view of `Raw` parts."""

from __future__ import annotations

from .contender import Contender, served_by_bff

CONTENDER = Contender(
    "bff, public, Raw",
    "as public, bodies checked to be JSON and spliced instead of modelled",
    "/raw/{sku}",
    token=False,
    start=served_by_bff,
    packages=(),
)
