"""Overload: admission refuses at once, and screens leave out optional parts before that. Retries do not make an outage
worse, and its end is noticed soon."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from bff import Call, Gateway, Part, Upstream, optional
from bff.edge.settings import Settings

from ..waiting import GUARD, until
from . import crowd
from .gateway import serving
from .own_connection import behind_own_connection
from .upstream import RawServer, http, raw_server

DESK = "https://desk.test"


class Thing(BaseModel):
    name: str


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self, name: str) -> Call[Thing]:
        return self.get("/{name}", Thing, name=name).public()


class Screen(BaseModel):
    one: Thing
    two: Part[Thing]


class Lean(BaseModel):
    part: Part[Thing]


shelf = Shelf()


def declare() -> Gateway:
    gateway = Gateway("overload", deadline=GUARD)

    @gateway.view("/api/screen/{name}", public=True)
    async def screen(name: str) -> Screen:
        return Screen(one=await shelf.thing(name), two=await optional(shelf.thing("two")))

    @gateway.view("/api/part/{name}", public=True)
    async def part(name: str) -> Lean:
        return Lean(part=await optional(shelf.thing(name)))

    @gateway.view("/api/heavy", public=True)
    async def heavy() -> Thing:
        time.sleep(0.15)
        return Thing(name="heavy")

    return gateway


class Upper:
    """An upstream that can be held or broken. how: `ok`, `held`, `500`, `reset`, `silent`."""

    def __init__(self) -> None:
        self.how = "ok"
        self.free = asyncio.Event()

    async def __call__(self, path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        how = self.how
        if how == "held" and path.startswith("/held"):
            await self.free.wait()
        elif how == "silent":
            await asyncio.sleep(3600)
        if how == "reset":
            writer.transport.abort()
        else:
            writer.write(http(500, b"{}") if how == "500" else http(200, b'{"name":"good"}'))


@asynccontextmanager
async def running(
    redis_url: str, admission: dict[str, Any] | None = None, **upstream: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Upper, RawServer, Gateway]]:
    upper = Upper()
    async with raw_server(upper) as server:
        gateway = declare()
        settings = Settings.model_validate(
            {
                "redis": {"url": redis_url, "timeout": 10},
                "limits": {"default": "1000000000/minute"},
                # Another program on the machine may delay this one: only the tests of lag look at it.
                "admission": {"lag": 10.0, "standing": 10.0, **(admission or {})},
                "http": {"origins": [DESK]},
                "upstreams": {
                    "shelf": {"url": f"http://127.0.0.1:{server.port}", "timeout": GUARD, **upstream}
                },
            }
        )
        await gateway.start(settings)
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        limits = httpx.Limits(max_connections=400, max_keepalive_connections=400, keepalive_expiry=1.0)
        async with (
            serving(gateway, sock),
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=GUARD, limits=limits) as client,
        ):
            try:
                yield client, upper, server, gateway
            finally:
                await gateway.stop()


async def test_a_request_beyond_the_limit_in_flight_is_refused_as_the_contract_says(
    redis_url: str,
) -> None:
    async with running(redis_url, {"in_flight": 2, "lean": 1.0, "retry_after": 3}) as (
        client,
        upper,
        server,
        _,
    ):
        upper.how = "held"
        held = [asyncio.create_task(client.get(f"/api/screen/held-{number}")) for number in range(2)]
        await until(lambda: len(server.requests) == 2)
        correlation = str(uuid.uuid4())
        # The held requests stay held until the end; the test does not wait for them here.
        refused = await client.get("/api/part/x", headers={"x-correlation-id": correlation})
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "3"
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["x-correlation-id"] == correlation
        assert refused.headers["cache-control"] == "no-store"
        problem = refused.json()
        assert (problem["code"], problem["status"], problem["retry_after"]) == ("unavailable", 503, 3.0)
        assert problem["correlation_id"] == correlation and problem["instance"].endswith(correlation)
        assert len(problem["trace_id"]) == 32
        assert (await client.head("/api/part/x")).status_code == 503
        assert (await client.get("/livez")).status_code == 200, "a busy gateway is alive"
        assert (await client.get("/readyz")).status_code == 200
        assert len(server.requests) == 2, "no work was done for refused requests"
        upper.free.set()
        assert [(await one).status_code for one in held] == [200, 200]
        assert (await client.get("/api/part/x")).status_code == 200


async def test_a_page_of_an_allowed_site_can_read_that_it_was_refused(redis_url: str) -> None:
    async with running(redis_url, {"in_flight": 1, "lean": 1.0}) as (client, upper, server, gateway):
        upper.how = "held"
        held = asyncio.create_task(client.get("/api/screen/held"))
        await until(lambda: bool(server.requests))
        # Refused by the application, and by the connection itself before the application is called.
        async with behind_own_connection(gateway, await gateway.start()) as port:
            for base in (str(client.base_url), f"http://127.0.0.1:{port}"):
                asks = {"origin": DESK, "access-control-request-method": "GET"}
                asked = await client.options(f"{base}/api/part/x", headers=asks)
                assert asked.status_code == 204, "otherwise the browser would not send the real request"
                assert asked.headers["access-control-allow-origin"] == DESK

                refused = await client.get(f"{base}/api/part/x", headers={"origin": DESK})
                assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
                assert refused.headers["access-control-allow-origin"] == DESK
                exposed = refused.headers["access-control-expose-headers"].split(", ")
                assert {"retry-after", "x-correlation-id"} <= set(exposed)
                assert "Origin" in refused.headers["vary"].split(", ")

                other = {"origin": "https://evil.test", "access-control-request-method": "GET"}
                for method in ("OPTIONS", "GET"):
                    answer = await client.request(method, f"{base}/api/part/x", headers=other)
                    assert answer.status_code == 503
                    assert "access-control-allow-origin" not in answer.headers
        upper.free.set()
        assert (await held).status_code == 200


async def test_screens_leave_out_optional_parts_before_requests_are_refused(redis_url: str) -> None:
    async with running(redis_url, {"in_flight": 10, "lean": 0.2}) as (client, upper, server, _):
        upper.how = "held"
        held = [asyncio.create_task(client.get(f"/api/screen/held-{number}")) for number in range(2)]
        await until(lambda: len(server.requests) == 2)
        lean = await client.get("/api/screen/one")
        assert lean.status_code == 200
        assert lean.json()["one"] == {"name": "good"}
        assert (lean.json()["two"]["state"], lean.json()["two"]["reason"]) == ("missing", "overloaded")
        assert lean.json()["two"]["owner"]["service"] == "shelf"
        assert lean.json()["two"]["retry_after"] is not None
        assert (lean.headers["bff-complete"], lean.headers["cache-control"]) == ("false", "no-store")
        assert len(server.requests) == 3, "the service was not called for it"
        upper.free.set()
        assert {(await one).json()["two"]["state"] for one in held} == {"ready"}, (
            "earlier requests get all parts"
        )
        assert (await client.get("/api/screen/one")).headers["bff-complete"] == "true"


def _two_waves(port: int, path: str, count: int) -> list[int]:
    """The statuses of `count` requests sent at once, and of as many sent 0.3 s later."""
    with contextlib.ExitStack() as stack:
        everyone = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=GUARD))
            for _ in range(2 * count)
        ]
        for wave in (everyone[:count], everyone[count:]):
            for one in wave:
                one.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            time.sleep(0.3)
        return [int(one.recv(65_536).split()[1]) for one in everyone]


async def test_requests_are_refused_only_while_the_loop_is_late(
    redis_url: str,
) -> None:
    async with running(redis_url, {"lag": 0.1, "standing": 0.25}) as (client, _, _, gateway):
        # From a thread, which runs while the loop is blocked: twelve at once, and as many a moment later.
        statuses = await asyncio.to_thread(_two_waves, client.base_url.port or 0, "/api/heavy", 12)
        assert statuses[0] == 200 and set(statuses) == {200, 503}, "every admitted request was answered"
        assert 503 in statuses[12:], "some requests came while it was late"

        async def served() -> bool:
            return (await client.get("/api/part/x")).status_code == 200

        await until(served)
        runtime = await gateway.start()
        assert runtime.admission.in_flight == 0


async def test_a_few_requests_are_served_although_the_loop_is_late(redis_url: str) -> None:
    async with running(redis_url, {"lag": 0.025, "standing": 0.1}) as (client, _, _, _):
        end = time.monotonic() + 1.5

        def hold_up() -> None:
            time.sleep(0.05)
            if time.monotonic() < end:
                asyncio.get_running_loop().call_soon(hold_up)

        hold_up()
        while time.monotonic() < end:
            answers = await asyncio.gather(*(client.get("/api/part/x") for _ in range(3)))
            assert {answer.status_code for answer in answers} == {200}


async def _outage(
    redis_url: str, how: str, *, lasts: float, within: float, rate: float = 100.0
) -> tuple[float, float, float]:
    """Attempts for each request during an outage, seconds until requests succeed again after it, and the longest
    answer."""
    async with running(redis_url, timeout=0.5 if how == "silent" else GUARD) as (client, upper, server, _):
        asked = 0
        took: list[float] = []
        well_since: float | None = None

        async def ask() -> None:
            nonlocal well_since
            began = time.monotonic()
            # Every request asks for another thing, so that coalescing does not hide the attempts.
            answer = await client.get(f"/api/part/{uuid.uuid4()}")
            took.append(time.monotonic() - began)
            if answer.headers.get("bff-complete") != "true":
                well_since = None
            elif well_since is None:
                well_since = time.monotonic()

        async def load(seconds: float) -> None:
            nonlocal asked
            began = time.monotonic()
            sent = 0
            async with asyncio.TaskGroup() as group:
                while (now := time.monotonic() - began) < seconds:
                    while sent < now * rate:
                        group.create_task(ask())
                        sent += 1
                    await asyncio.sleep(0.005)
            asked += sent

        await load(0.5)
        asked, before = 0, len(server.requests)
        upper.how = how
        await load(lasts)
        attempts = len(server.requests) - before
        upper.how = "ok"
        over = time.monotonic()
        during, well_since = asked, None
        while time.monotonic() - over < within and (
            well_since is None or time.monotonic() - well_since < 0.5
        ):
            await load(0.25)
        assert well_since is not None, "requests did not succeed again"
        return attempts / during, well_since - over, max(took)


@pytest.mark.parametrize(
    ("how", "lasts", "within"),
    [
        # The end of the outage is noticed. The tests that run alone check how soon.
        ("500", 1.0, GUARD),
        *(
            pytest.param(how, 8.0, 5.0, marks=[pytest.mark.slow, pytest.mark.alone])
            for how in ("500", "reset", "silent")
        ),
    ],
)
async def test_retries_do_not_multiply_in_an_outage_and_its_end_is_noticed_within_5_seconds(
    redis_url: str, how: str, lasts: float, within: float
) -> None:
    attempts, recovery, longest = await _outage(redis_url, how, lasts=lasts, within=within + 3)
    print(
        f"{how}, {lasts:g} s: {attempts:.3f} attempts a request; back after {recovery:.2f} s, longest {longest:.2f}"
    )
    assert attempts <= 1.2
    assert recovery <= within


@pytest.mark.slow
@pytest.mark.alone
async def test_at_twice_the_saturating_load_admitted_requests_are_answered_in_time(redis_url: str) -> None:
    open_door = {"admission__in_flight": 1_000_000, "admission__lag": 10}
    async with crowd.upstream(20) as upstream:
        async with crowd.gateway(redis_url, upstream, **open_door) as port:
            await crowd.saturated(port, seconds=1)
            # The best of three, so that another program's load does not count as saturation.
            rate = max([await crowd.saturated(port, seconds=1.5) for _ in range(3)])
            without = await crowd.crowd(port, rate=2 * rate, seconds=4)
        async with crowd.gateway(redis_url, upstream) as port:
            await crowd.saturated(port, seconds=1)
            found = await crowd.crowd(port, rate=2 * rate, seconds=4)
    print(
        f"saturated at {rate:.0f} screens/s, asked for {2 * rate:.0f}/s\nwithout: {without}\nwith:    {found}"
    )
    assert without.later_than(crowd.BUDGET + 0.025) > 0.1, "the control run must show what admission is for"
    assert found.later_than(crowd.BUDGET + 0.025) <= 0.01
    assert found.refused and found.broken == 0
    assert len(found.admitted) - found.timeouts > len(without.admitted) - without.timeouts
