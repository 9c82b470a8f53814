"""The contenders, one file each. To add one (another framework, another language), add a file and a line here."""

from __future__ import annotations

from . import (
    bff_login,
    bff_public,
    bff_raw,
    fastapi_aiohttp,
    fastapi_httpx,
    fastify_undici,
    nginx_ssi,
    starlette_aiohttp,
    starlette_guarded,
    starlette_httpx,
)
from .contender import Contender

ALL: tuple[Contender, ...] = (
    bff_public.CONTENDER,
    bff_raw.CONTENDER,
    bff_login.CONTENDER,
    nginx_ssi.CONTENDER,
    fastify_undici.CONTENDER,
    starlette_aiohttp.CONTENDER,
    starlette_guarded.CONTENDER,
    fastapi_aiohttp.CONTENDER,
    starlette_httpx.CONTENDER,
    fastapi_httpx.CONTENDER,
)

__all__ = ["ALL", "Contender"]
