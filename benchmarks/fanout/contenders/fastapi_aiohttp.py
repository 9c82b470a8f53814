"""FastAPI and a plain aiohttp session."""

from __future__ import annotations

import aiohttp

from .contender import WAIT, Ask, Contender, served_by_uvicorn
from .fastapi_screen import made_with
from .handwritten import SERVICES

_session: aiohttp.ClientSession | None = None


async def fetch(kind: str, sku: str) -> bytes:
    global _session
    if _session is None:
        _session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=300), timeout=aiohttp.ClientTimeout(total=WAIT)
        )
    async with _session.get(f"{SERVICES[kind]}/{kind}/{sku}", raise_for_status=True) as answer:
        return await answer.read()


app = made_with(fetch)

CONTENDER = Contender(
    "FastAPI + aiohttp",
    "gather, models checked, response model; no deadline of its own, no limit, no ids, no log",
    Ask("/open/{sku}"),
    start=served_by_uvicorn("fastapi_aiohttp", "--no-access-log"),
    packages=("fastapi", "aiohttp"),
)
