"""What a team writes by hand: one client, `asyncio.gather`, decode, merge, encode. It has no handling of failing
services."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse

from ..bodies import KINDS, REQUIRED
from .contender import WAIT

SERVICES = {kind: os.environ.get(f"BENCH_{kind.upper()}", "") for kind in KINDS}
# As many connections as bff may open to three services; the library's default of 20 kept-alive ones would slow it down.
LIMITS = httpx.Limits(max_connections=300, max_keepalive_connections=300)
TIMEOUT = httpx.Timeout(WAIT)


async def merged(client: httpx.AsyncClient, request: Request, headers: dict[str, str]) -> JSONResponse:
    """The screen of the address's sku."""
    sku = request.path_params["sku"]
    answers = await asyncio.gather(
        *(client.get(f"{url}/{kind}/{sku}", headers=headers) for kind, url in SERVICES.items())
    )
    screen: dict[str, Any] = {}
    for kind, answer in zip(SERVICES, answers, strict=True):
        part = answer.raise_for_status().json()
        screen[kind] = part if kind == REQUIRED else {"state": "ready", "data": part}
    return JSONResponse(screen)
