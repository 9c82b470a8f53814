"""Starlette and httpx over aiohttp with what a careful team adds by hand, for comparison with bff's view with login:
PyJWT, a fixed window in Redis, a correlation id, uvicorn's access log."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from typing import Any

import httpx
import jwt
from httpx_aiohttp import AiohttpTransport
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..issuer import AUDIENCE, ISSUER, PEOPLE
from .contender import Ask, Contender, served_by_uvicorn
from .handwritten import LIMITS, TIMEOUT, merged

LIMIT = 1_000_000_000
client = httpx.AsyncClient(transport=AiohttpTransport(limits=LIMITS), timeout=TIMEOUT)
store: Any = Redis.from_url(
    os.environ.get("BENCH_REDIS", "redis://127.0.0.1")
)  # typed for both of its clients
_keys: dict[str, jwt.PyJWK] = {}
_asking = asyncio.Lock()


async def _key(kid: str) -> jwt.PyJWK:
    async with _asking:
        if kid not in _keys:
            answer = await client.get(os.environ["BENCH_KEYS"])
            _keys.update({key.key_id or "": key for key in jwt.PyJWKSet.from_dict(answer.json()).keys})
    return _keys[kid]


async def _subject(token: str) -> str:
    try:
        key = await _key(jwt.get_unverified_header(token)["kid"])
        claims = jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
    except (jwt.PyJWTError, KeyError):
        raise HTTPException(401) from None
    return str(claims["sub"])


async def _limited(who: str) -> None:
    window = f"limit:{who}:{int(time.time()) // 60}"
    async with store.pipeline(transaction=False) as batch:
        count, _ = await batch.incr(window).expire(window, 120).execute()
    if count > LIMIT:
        raise HTTPException(429)


async def screen(request: Request) -> Response:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    await _limited(await _subject(token))
    correlation = request.headers.get("x-correlation-id") or str(uuid.uuid4())
    passed_on = {"authorization": f"Bearer {token}", "x-correlation-id": correlation}
    response = await merged(client, request, passed_on)
    response.headers["x-correlation-id"] = correlation
    return response


app = Starlette(routes=[Route("/own/{sku}", screen)])

CONTENDER = Contender(
    "starlette + httpx-aiohttp, login",
    "gather, decode, merge, encode; ES256 bearer token verified each time, a fixed window in Redis per person, token "
    "and correlation id passed on, uvicorn's access log",
    Ask("/own/{sku}", people=PEOPLE),
    start=served_by_uvicorn("starlette_guarded"),
    packages=("pyjwt", "cryptography", "redis"),
)
