"""A gzip body of several members is read; one that cannot be read is the service's fault, and not an outage.

Input: two gzip members in a row, zeros behind the last one, a damaged body. Before: 502 `unreachable`, and after five
of them the breaker was open for every other call of that service.
Right: RFC 1952 section 2.2 (a file is a series of members). A body that cannot be decoded is `invalid` with the service
as owner, and opens no breaker.
"""

from __future__ import annotations

import gzip

import pytest

from bff import Call, Gateway, Raw, Upstream

from ..waiting import GUARD
from .kit import answer, client, upstream


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self, name: str) -> Call[Raw]:
        return self.get("/things/{name}", Raw, name=name).public()


shelf = Shelf()
gateway = Gateway("coded", deadline=GUARD)


@gateway.view("/api/things/{name}", public=True)
async def thing(name: str) -> Raw:
    return await shelf.thing(name)


GZIP = "Content-Encoding: gzip\r\n"


@pytest.mark.parametrize("wire", ["h1", "aiohttp", "httpx"])
@pytest.mark.parametrize("padding", [b"", bytes(512)])
async def test_a_gzip_body_of_several_members_is_read_whole(
    redis_url: str, wire: str, padding: bytes
) -> None:
    body = gzip.compress(b'{"a":') + gzip.compress(b"1}") + padding
    async with (
        upstream(answer(body, headers=GZIP)) as server,
        client(gateway, redis_url, {"shelf": server.port}, each={"wire": wire}) as http,
    ):
        response = await http.get("/api/things/x")
    assert (response.status_code, response.content) == (200, b'{"a":1}')


@pytest.mark.parametrize("wire", ["h1", "aiohttp", "httpx"])
async def test_a_body_that_cannot_be_read_is_invalid_and_opens_no_breaker(redis_url: str, wire: str) -> None:
    def reply(target: str) -> bytes:
        bad = target.endswith("/bad")
        return answer(b"no gzip at all" if bad else b"{}", headers=GZIP if bad else "")

    async with (
        upstream(reply) as server,
        client(gateway, redis_url, {"shelf": server.port}, each={"wire": wire}) as http,
    ):
        for _ in range(40):
            response = await http.get("/api/things/bad")
            assert (response.status_code, response.json()["code"]) == (502, "invalid")
        assert (await http.get("/api/things/good")).status_code == 200
