"""FastAPI and stock httpx."""

from __future__ import annotations

import httpx

from .contender import Ask, Contender, served_by_uvicorn
from .fastapi_screen import made_with
from .handwritten import LIMITS, SERVICES, TIMEOUT

client = httpx.AsyncClient(limits=LIMITS, timeout=TIMEOUT)


async def fetch(kind: str, sku: str) -> bytes:
    answer = await client.get(f"{SERVICES[kind]}/{kind}/{sku}")
    return answer.raise_for_status().content


app = made_with(fetch)

CONTENDER = Contender(
    "FastAPI + httpx",
    "as FastAPI + aiohttp, with stock httpx",
    Ask("/open/{sku}"),
    start=served_by_uvicorn("fastapi_httpx", "--no-access-log"),
    packages=("fastapi", "httpx", "httpcore"),
)
