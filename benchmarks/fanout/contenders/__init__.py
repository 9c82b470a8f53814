"""The contenders, one file each; bff's rows are in one. To add one (another framework, another language), add a file
and a line here."""

from __future__ import annotations

from . import (
    bff,
    fastapi_aiohttp,
    fastapi_httpx,
    fastify_dutiful,
    fastify_undici,
    nginx_ssi,
    starlette_aiohttp,
    starlette_guarded,
    starlette_httpx,
)
from .contender import Ask, Contender

ALL: tuple[Contender, ...] = (
    *bff.ROWS,
    nginx_ssi.CONTENDER,
    fastify_undici.CONTENDER,
    fastify_dutiful.CONTENDER,
    starlette_aiohttp.CONTENDER,
    starlette_guarded.CONTENDER,
    fastapi_aiohttp.CONTENDER,
    starlette_httpx.CONTENDER,
    fastapi_httpx.CONTENDER,
)

__all__ = ["ALL", "Ask", "Contender"]
