"""One upstream call against every way an upstream can misbehave on the wire: the error is the reason of the contract,
names the owner, comes in time, and leaves nothing open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest
from pydantic import BaseModel

from bff import Call, Missing, Principal, Upstream, UpstreamError, optional
from bff.calls import CircuitOpen, Deadline, Refused, RequestContext, Unreachable, use_context
from bff.transport.backends import WireName, open_wire
from bff.transport.client import UpstreamClient
from bff.transport.pipeline import CallPipeline

from ..clients import upstream_client
from ..conftest import closed_port
from ..waiting import GUARD
from .upstream import RawServer, http, raw_server


class Thing(BaseModel):
    name: str


class Store(Upstream, team="Store team", contact="#store"):
    def thing(self, how: str) -> Call[Thing]:
        return self.get("/{how}", Thing, how=how)

    def make(self, how: str) -> Call[Thing]:
        return self.post("/{how}", Thing, {"name": "x"}, how=how)


store = Store()
ADA = Principal("https://issuer", "ada", "her-token", 0.0)
GOOD = b'{"name":"good"}'

FAULTS = {
    "ok": http(200, GOOD),
    "cookie": http(200, GOOD, "content-type: application/json\r\nset-cookie: a=b; path=/\r\n"),
    "garbage": b"\x00\x01\x02 what\r\n\r\n",
    "half": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n" + GOOD,
    "hugehead": b"HTTP/1.1 200 OK\r\nx-big: " + b"a" * 200_000 + b"\r\ncontent-length: 0\r\n\r\n",
    "toolarge": http(200, b'{"name":"' + b"a" * 50_000 + b'"}'),
    "html": http(200, b"<html>", "content-type: text/html\r\n"),
    "notjson": http(200, b"{nope"),
    "notutf8": http(200, b'{"name":"\xff\xfe"}'),
    "deep": http(200, b"[" * 5_000),
    "wrongmodel": http(200, b'{"title":"x"}'),
    "empty": http(200, b""),
    "500": http(500, b"{}"),
    "502": http(502, b"<html>", "content-type: text/html\r\n"),
    "503": http(503, b"{}", "content-type: application/json\r\nretry-after: 7\r\n"),
    "429": http(429, b"{}", "content-type: application/json\r\nretry-after: 3\r\n"),
    "404": http(
        404, b'{"code":"no-such","detail":"None of that."}', "content-type: application/problem+json\r\n"
    ),
    "302": http(302, b"", "location: http://127.0.0.1:1/\r\n"),
}


async def _misbehave(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
    how = path.strip("/").partition("?")[0]
    if how == "silent":
        await asyncio.sleep(3600)
    elif how == "reset":
        writer.transport.abort()
    elif how == "close":
        writer.close()
    elif how == "drip":
        for byte in http(200, GOOD):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
    else:
        writer.write(FAULTS[how])
        if how in ("half", "garbage"):
            await writer.drain()
            writer.close()


class PipelineTo(Protocol):
    def __call__(
        self, port: int, *, failures: int = 1000, timeout: float = GUARD / 2
    ) -> AbstractAsyncContextManager[tuple[CallPipeline, UpstreamClient]]:
        """A pipeline whose only upstream is at this port, over the wire that the test selects."""


@pytest.fixture(params=["h1", "aiohttp", "httpx"])
def pipeline_to(request: pytest.FixtureRequest) -> PipelineTo:
    wire_name: WireName = request.param

    @asynccontextmanager
    async def made(
        port: int, *, failures: int = 1000, timeout: float = GUARD / 2
    ) -> AsyncIterator[tuple[CallPipeline, UpstreamClient]]:
        wire = open_wire(wire_name, connections=10, max_body=20_000)(f"http://127.0.0.1:{port}", None)
        one = upstream_client(wire, failures=failures, open_for=60.0, timeout=timeout)
        pipeline = CallPipeline({"store": one})
        try:
            yield pipeline, one
        finally:
            await pipeline.close()

    return made


def scope(pipeline: CallPipeline, seconds: float = GUARD, mutation: str | None = None) -> RequestContext:
    return RequestContext(
        Deadline.after(seconds), pipeline, "6f1c1d6e-0000-4000-8000-000000000000", ADA, mutation=mutation
    )


@pytest.mark.parametrize(
    ("how", "reason", "retry_after"),
    [
        ("silent", "timeout", None),
        ("drip", "timeout", None),
        ("reset", "unreachable", None),
        ("close", "unreachable", None),
        ("garbage", "invalid", None),
        ("half", "unreachable", None),
        ("hugehead", "invalid", None),
        ("toolarge", "invalid", None),
        ("html", "invalid", None),
        ("notjson", "invalid", None),
        ("notutf8", "invalid", None),
        ("deep", "invalid", None),
        ("wrongmodel", "invalid", None),
        ("empty", "invalid", None),
        ("500", "failed", None),
        ("502", "failed", None),
        ("302", "failed", None),
        ("503", "overloaded", 7.0),
        ("429", "overloaded", 3.0),
        ("404", "refused", None),
    ],
)
async def test_each_fault_becomes_its_reason_and_names_the_owner(
    pipeline_to: PipelineTo, how: str, reason: str, retry_after: float | None
) -> None:
    async with raw_server(_misbehave) as server, pipeline_to(server.port) as (pipeline, _):
        with use_context(scope(pipeline)):
            call = store.thing(how)
            part = await optional(call.within(0.3) if reason == "timeout" else call)
            assert isinstance(part, Missing)
            assert (part.reason, part.retry_after) == (reason, retry_after)
            assert part.owner.team == "Store team"
            assert (await store.thing("ok")).name == "good", "the next call succeeds"


async def test_a_refused_connection_is_unreachable_at_once(pipeline_to: PipelineTo) -> None:
    async with pipeline_to(closed_port()) as (pipeline, _):
        with use_context(scope(pipeline)), pytest.raises(Unreachable):
            await store.thing("ok")


async def test_a_refusal_carries_the_problem_of_the_service(pipeline_to: PipelineTo) -> None:
    async with raw_server(_misbehave) as server, pipeline_to(server.port) as (pipeline, _):
        with use_context(scope(pipeline)), pytest.raises(Refused) as raised:
            await store.thing("404")
        assert (raised.value.status, raised.value.problem["code"]) == (404, "no-such")


async def test_the_breaker_opens_and_then_nothing_is_sent(pipeline_to: PipelineTo) -> None:
    async with raw_server(_misbehave) as server, pipeline_to(server.port, failures=3) as (pipeline, upstream):
        with use_context(scope(pipeline)):
            for _ in range(3):
                with pytest.raises(UpstreamError):
                    await store.thing("500")
            sent = len(server.requests)
            with pytest.raises(CircuitOpen) as raised:
                await store.thing("ok")
            assert len(server.requests) == sent
            assert raised.value.retry_after is not None and 0 < raised.value.retry_after <= 60
            assert upstream.circuit == "open"


async def test_a_short_deadline_does_not_open_the_breaker(pipeline_to: PipelineTo) -> None:
    async with raw_server(_misbehave) as server, pipeline_to(server.port, failures=1) as (pipeline, upstream):
        with use_context(scope(pipeline)):
            part = await optional(store.thing("silent"), within=0.05)
            assert isinstance(part, Missing) and part.reason == "timeout"
            assert upstream.circuit == "closed"


async def test_nothing_is_sent_when_the_deadline_has_passed(pipeline_to: PipelineTo) -> None:
    async with raw_server(_misbehave) as server, pipeline_to(server.port) as (pipeline, _):
        with use_context(scope(pipeline, seconds=0.0)):
            part = await optional(store.thing("ok"))
        assert isinstance(part, Missing) and part.reason == "timeout"
        assert server.requests == []


def header(server: RawServer, name: str) -> str | None:
    for line in server.requests[-1].decode().split("\r\n"):
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return None


async def test_request_headers_are_built_from_the_scope_alone(pipeline_to: PipelineTo) -> None:
    async with raw_server(_misbehave) as server, pipeline_to(server.port) as (pipeline, _):
        with use_context(scope(pipeline, mutation="click-1")):
            await store.make("ok")
            key = header(server, "idempotency-key")
            assert header(server, "authorization") == "Bearer her-token"
            assert header(server, "x-correlation-id") == "6f1c1d6e-0000-4000-8000-000000000000"
            assert header(server, "bff-owner") == "https://issuer|ada"
            assert header(server, "bff-mutation") == "click-1"
            left = header(server, "bff-deadline-ms")
            assert left is not None and 0 < int(left) <= GUARD / 2 * 1000
            await store.make("ok")
            assert header(server, "idempotency-key") == key, (
                "the same click and destination give the same key"
            )
            await store.make("cookie")
            assert header(server, "idempotency-key") != key, "another destination gives another key"
            await store.thing("ok")
            assert header(server, "idempotency-key") is None
            assert header(server, "bff-mutation") is None
            assert header(server, "cookie") is None, "an upstream's cookie is not stored"
            await store.thing("ok").public()
            assert header(server, "authorization") is None


async def test_a_keyed_write_on_a_stale_connection_is_sent_once_more(pipeline_to: PipelineTo) -> None:
    drops = iter([False, True, False])

    async def drop_second(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        if next(drops):
            writer.close()
        else:
            writer.write(http(200, GOOD))

    async with raw_server(drop_second) as server, pipeline_to(server.port) as (pipeline, _):
        with use_context(scope(pipeline, mutation="click-1")):
            assert (await store.make("x")).name == "good"
            assert (await store.make("x")).name == "good"
        assert len(server.requests) == 3


async def test_an_unkeyed_write_is_never_sent_twice(pipeline_to: PipelineTo) -> None:
    async with raw_server(_misbehave) as server, pipeline_to(server.port) as (pipeline, _):
        with use_context(scope(pipeline)), pytest.raises(Unreachable):
            await store.make("close")
        assert len(server.requests) == 1
