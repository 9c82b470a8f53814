"""A gateway's screens in each content coding, as a real client decodes them, and their ETags."""

from __future__ import annotations

import sys

import pytest
from pydantic import BaseModel

from bff import Gateway
from bff.edge.settings import Settings

from ..waiting import GUARD
from .gateway import bearer, running


class Page(BaseModel):
    text: str


def declare(settings: Settings) -> Gateway:
    gateway = Gateway("pages", deadline=GUARD, settings=settings)

    @gateway.view("/api/page/{words}")
    async def page(words: int) -> Page:
        return Page(text="long " * words)

    return gateway


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip"])
async def test_a_screen_is_the_same_in_each_coding_and_is_known_again(redis_url: str, coding: str) -> None:
    async with running(redis_url, declared=declare) as world:
        plain = await world.get("/api/page/20000", **{"accept-encoding": "identity"})
        coded = await world.get("/api/page/20000", **{"accept-encoding": coding})
        assert (coded.headers["content-encoding"], coded.content) == (coding, plain.content)
        assert int(plain.headers["content-length"]) == len(plain.content)
        assert coded.headers["etag"] == f'{plain.headers["etag"][:-1]}-{coding}"'
        known = {"accept-encoding": coding, "if-none-match": coded.headers["etag"]}
        again = await world.get("/api/page/20000", **known)
        assert (again.status_code, again.headers["etag"]) == (304, coded.headers["etag"])
        # In another coding the answer has other bytes, so the tag is not known.
        other = await world.get("/api/page/20000", **(known | {"accept-encoding": "identity"}))
        assert other.status_code == 200


async def test_a_screen_beyond_the_bound_is_sent_as_it_is(redis_url: str) -> None:
    async with running(redis_url, declared=declare, http={"compress_to": 50_000}) as world:
        for words, coding in ((9_000, "zstd"), (11_000, None)):
            found = await world.client.get(f"/api/page/{words}", headers=bearer())
            assert found.headers.get("content-encoding") == coding


async def test_a_gateway_without_the_libraries_uses_gzip(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("brotli", "zstandard"):
        monkeypatch.setitem(sys.modules, library, None)
    async with running(redis_url, declared=declare) as world:
        headers = bearer() | {"accept-encoding": "gzip;q=0.1, br, zstd"}
        async with world.client.stream("GET", "/api/page/9000", headers=headers) as found:
            assert found.headers["content-encoding"] == "gzip"
