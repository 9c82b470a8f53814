"""The kit itself: a gateway in this process, with a real upstream that answers the given bytes."""

from __future__ import annotations

from bff import Call, Gateway, Raw, Upstream

from ..waiting import GUARD
from .kit import answer, client, upstream


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self) -> Call[Raw]:
        return self.get("/thing", Raw).public()


shelf = Shelf()
gateway = Gateway("case", deadline=GUARD)


@gateway.view("/api/thing", public=True)
async def thing() -> Raw:
    return await shelf.thing()


async def test_a_request_goes_through_the_gateway_to_the_upstream_and_back(redis_url: str) -> None:
    async with (
        upstream(answer(b'{"a":1}')) as server,
        client(gateway, redis_url, {"shelf": server.port}) as http,
    ):
        response = await http.get("/api/thing")
    assert (response.status_code, response.content) == (200, b'{"a":1}')
    assert server.requests[0].startswith(b"GET /thing HTTP/1.1\r\n")
