"""bff with a public view."""

from __future__ import annotations

from .contender import Contender, served_by_bff

CONTENDER = Contender(
    "bff, public",
    "models checked, deadline, breakers, Redis limit, trace and correlation ids, JSON access log",
    "/open/{sku}",
    token=False,
    start=served_by_bff,
    packages=("starlette", "httpx", "httpx-aiohttp", "aiohttp", "pydantic", "redis", "limits"),
)
