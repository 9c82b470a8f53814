"""The contenders, one file each. A new one (another framework, another language) is a file and a line here."""

from __future__ import annotations

from . import bff_login, bff_public, starlette_aiohttp, starlette_guarded, starlette_httpx
from .contender import Contender

ALL: tuple[Contender, ...] = (
    bff_public.CONTENDER,
    bff_login.CONTENDER,
    starlette_aiohttp.CONTENDER,
    starlette_guarded.CONTENDER,
    starlette_httpx.CONTENDER,
)

__all__ = ["ALL", "Contender"]
