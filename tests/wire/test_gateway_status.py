"""What a gateway says of itself in its own process: `Gateway.status()`."""

from __future__ import annotations

from bff import Gateway, GatewayStatus

from ..waiting import until
from .gateway import bearer, running


def test_a_gateway_that_does_not_run_has_no_breakers_and_no_streams() -> None:
    assert Gateway("quiet").status() == GatewayStatus(running=False, breakers={}, streams=0)


async def test_the_status_has_the_worst_breaker_of_each_upstream_and_the_open_streams(redis_url: str) -> None:
    breaker = {"breaker": {"failures": 1, "open_for": 60}}
    async with running(redis_url, shelf_settings=breaker) as world:
        assert world.gateway.status() == GatewayStatus(True, {"shelf": "closed"}, 0)
        headers = bearer() | {"accept": "text/event-stream"}
        async with world.client.stream("GET", "/bff/live", headers=headers) as stream:
            assert stream.status_code == 200
            await until(lambda: world.gateway.status().streams == 1)
        await world.get("/api/required/broken")
        await until(lambda: world.gateway.status() == GatewayStatus(True, {"shelf": "open"}, 0))
    assert world.gateway.status() == GatewayStatus(running=False, breakers={}, streams=0)
