"""Starlette and httpx over aiohttp's connections."""

from __future__ import annotations

import httpx
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .contender import Ask, Contender, served_by_uvicorn
from .handwritten import LIMITS, TIMEOUT, merged

client = httpx.AsyncClient(transport=AiohttpTransport(limits=LIMITS), timeout=TIMEOUT)


async def screen(request: Request) -> Response:
    return await merged(client, request, {})


app = Starlette(routes=[Route("/open/{sku}", screen)])

CONTENDER = Contender(
    "starlette + httpx-aiohttp",
    "gather, decode, merge, encode; no limit, no ids, no log",
    Ask("/open/{sku}"),
    start=served_by_uvicorn("starlette_aiohttp", "--no-access-log"),
    packages=("starlette", "httpx", "httpx-aiohttp", "aiohttp"),
)
