"""When a client disconnects, its reads are cancelled at once; a claimed command is carried out."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from bff.policies.events import Attempted, PolicyEvent

from ..waiting import GUARD, until
from .gateway import World, bearer, running
from .own_connection import own_server
from .scripted import Gate


@asynccontextmanager
async def served_by_ours(redis_url: str) -> AsyncIterator[tuple[World, int, uvicorn.Server]]:
    """The gateway behind the protocol of `bff serve`; yields the port and the server, too."""
    async with running(redis_url) as world:
        runtime = await world.gateway.start()
        async with own_server(world.gateway, runtime) as server:
            yield world, server.servers[0].sockets[0].getsockname()[1], server


async def ask(
    port: int, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> asyncio.StreamWriter:
    """Send a request and return the connection without waiting for an answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()
    return writer


async def test_reads_for_a_client_that_leaves_are_cancelled_at_once(redis_url: str) -> None:
    async with served_by_ours(redis_url) as (world, port, _):
        runtime = await world.gateway.start()
        seen: list[PolicyEvent] = []
        pipeline = runtime.calls.pipeline
        pipeline.observe, pipeline._observed = seen.append, True
        gate = Gate()
        world.upstream.answers["/things/late"] = gate
        upstream = pipeline.clients["shelf"]
        client = await ask(port, "GET", "/api/required/late", bearer())
        await until(lambda: any(one.path == "/things/late" for one in world.upstream.asked))
        assert upstream.permits.bulkhead.used == 1
        client.transport.abort()
        await until(lambda: upstream.permits.bulkhead.used == 0)
        assert runtime.admission.in_flight == 0
        cut = [event for event in seen if isinstance(event, Attempted)]
        assert [(event.outcome, event.side) for event in cut] == [("cancelled", "client")]
        assert upstream.circuit == "closed" and upstream.budget.active == 0


async def test_a_client_that_leaves_after_its_answer_has_no_effect(redis_url: str) -> None:
    async with served_by_ours(redis_url) as (world, port, _):
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = "".join(f"{name}: {value}\r\n" for name, value in bearer().items())
            writer.write(f"GET /api/required/ok HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() * 2)
            for _ in range(2):
                assert b" 200 " in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]
                await reader.readexactly(len(b'{"thing":{"name":"ok"}}'))
            writer.transport.abort()
        answer = await world.get("/api/required/ok")
        assert answer.status_code == 200


async def test_a_claimed_command_is_carried_out_although_its_client_left(redis_url: str) -> None:
    async with served_by_ours(redis_url) as (world, port, server):
        gate = Gate(b'{"name":"made"}')
        world.upstream.answers["/things/made"] = gate
        key = str(uuid.uuid4())
        headers = bearer() | {"idempotency-key": f'"{key}"', "content-type": "application/json"}
        client = await ask(port, "POST", "/api/things/made", headers, b'{"name":"x"}')
        await until(lambda: any(one.path == "/things/made" for one in world.upstream.asked))
        client.transport.abort()
        await until(lambda: not server.server_state.connections)
        gate.open.set()

        async def again() -> tuple[int, str | None]:
            answer = await world.client.post("/api/things/made", headers=headers, content=b'{"name":"x"}')
            return answer.status_code, answer.headers.get("idempotency-replayed")

        async with asyncio.timeout(GUARD):
            while (found := await again())[0] == 409:
                await asyncio.sleep(0.02)
        assert found == (200, "true")
        assert len([one for one in world.upstream.asked if one.path == "/things/made"]) == 1


async def test_the_connection_itself_answers_a_request_that_admission_refuses(redis_url: str) -> None:
    async with served_by_ours(redis_url) as (world, port, _):
        runtime = await world.gateway.start()
        runtime.admission.in_flight = 1000
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        post = b"POST /api/things/ok HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody"
        get = b"GET /api/required/ok HTTP/1.1\r\nhost: x\r\n\r\n"
        for request, body in ((get, True), (post, True), (get.replace(b"GET", b"HEAD"), False), (get, True)):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:-2])
            assert headers["content-type"] == "application/problem+json"
            assert headers["retry-after"] == "1" and headers["x-content-type-options"] == "nosniff"
            if body:
                problem = json.loads(await reader.readexactly(int(headers["content-length"])))
                assert problem["code"] == "unavailable"
                assert problem["correlation_id"] == headers["x-correlation-id"]
        writer.write(get.replace(b"/api/required/ok", b"/livez"))
        assert b" 200 " in (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]
        writer.close()
        runtime.admission.in_flight = 0
        assert world.upstream.asked == []


async def test_a_stream_ends_with_its_connection_although_another_request_waits_behind_it(
    redis_url: str,
) -> None:
    async with served_by_ours(redis_url) as (world, port, server):
        runtime = await world.gateway.start()
        writer = await ask(port, "GET", "/bff/live", bearer())
        await until(lambda: runtime.live.hub.count == 1)
        writer.write(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        await writer.drain()
        # The second request was read: it waits behind the stream.
        (connection,) = server.server_state.connections
        await until(lambda: len(connection.pipeline) == 1)
        writer.close()
        await until(lambda: runtime.live.hub.count == 0)
