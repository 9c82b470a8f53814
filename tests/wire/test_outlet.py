"""How a stream is written: in one step under uvicorn, through a buffer on any other server, and in order in both
cases."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from bff.calls import SagaStatus
from bff.edge.http.outlet import Direct, Inline, Queued, outlet
from bff.edge.http.protocol import HttpProtocol
from bff.edge.settings import Settings
from bff.stores.journal import Entry

from ..waiting import GUARD, until
from .test_stream import AT, Client, World, client, offsets, person, world


def wrapped(app: Any) -> Any:
    """Middleware that wraps `send`, so that the effect of one step of it is unknown."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            await asyncio.sleep(0)
            await send(message)

        await app(scope, receive, sending)

    return middleware


async def tell(one: World, versions: range, size: int) -> None:
    for version in versions:
        saga = SagaStatus(
            id="o1", type="order", status="RUNNING", version=version, at=AT, data={"text": "x" * size}
        )
        await one.journal.append(person("ada").id, Entry.of(saga, now_ms=0))


async def read(who: Client, events: int) -> list[int]:
    return offsets([await who.until("saga") for _ in range(events)])


@pytest.mark.parametrize("server", ["httptools", "h11", "wrapped"])
async def test_events_are_contiguous_across_a_connection_that_stops_taking_them(
    redis_url: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It reads nothing until the test has filled all buffers on the way.
    monkeypatch.setattr("bff.live.scheduler.STALL", GUARD)
    http, wrap = ("httptools", wrapped) if server == "wrapped" else (server, lambda app: app)
    async with (
        world(redis_url, http=http, wrap=wrap, queue=1000) as one,
        client(one, limit=1024) as ada,
    ):
        await ada.until("snapshot")
        (stream,), last = one.hub._streams, 0

        async def more() -> None:
            nonlocal last
            await tell(one, range(last + 1, last + 6), 1_500)
            last += 5
            await until(lambda: stream.position is not None and stream.position.offset >= last)

        for _ in range(3):
            first = last + 1
            # More than the connection takes, but less than the outlet may buffer.
            while len(stream._outlet._buffer or ()) < 4:
                assert last < first + 10_000  # more than the operating system's buffers
                await more()
            await more()
            assert stream.state == "live"
            assert await read(ada, last + 1 - first) == list(range(first, last + 1))


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_a_message_that_does_not_fit_is_not_written_in_part(redis_url: str, http: str) -> None:
    """`Inline` and `Direct` rely on this behaviour of uvicorn."""
    async with world(redis_url, http=http) as one, client(one, limit=1024) as ada:
        await ada.until("snapshot")
        (stream,) = one.hub._streams
        out = stream._outlet
        assert type(out) is (Direct if http == "httptools" else Inline)
        taken = 0
        while out.write(b"x" * 10_000):
            taken += 1
        held = out._cycle.transport.get_write_buffer_size()
        assert taken > 0 and held > 0
        for _ in range(5):
            assert not out.write(b"y" * 10_000)
        assert out._cycle.transport.get_write_buffer_size() == held


async def test_direct_writes_the_same_bytes_as_uvicorns_send(redis_url: str) -> None:
    async with world(redis_url) as one, client(one) as ada:
        await ada.until("snapshot")
        (stream,) = one.hub._streams
        out = stream._outlet
        assert isinstance(out, Direct)
        for size in (1, 15, 16, 4_096):
            for write in (out.write, super(Direct, out).write):
                frame = b"event: mark\ndata: %b\n\n" % (b"x" * size)
                assert write(frame)
                assert await ada.reader.readuntil(b"\n\n\r\n") == b"%x\r\n%b\r\n" % (len(frame), frame)


def test_only_uvicorns_own_send_is_stepped_directly() -> None:
    async def send(message: Any) -> None: ...

    async def ask() -> object:
        return outlet(send, 256)

    assert isinstance(asyncio.run(ask()), Queued)


@pytest.mark.parametrize("server", ["httptools", "wrapped"])
async def test_bye_ends_the_request_on_any_server_and_the_connection_serves_the_next(
    redis_url: str, server: str
) -> None:
    wrap = wrapped if server == "wrapped" else lambda app: app
    async with world(redis_url, wrap=wrap) as one, client(one) as ada:
        await ada.until("snapshot")
        await one.hub.end_session("session-of-ada")
        assert (await ada.until("bye")).data["reason"] == "logout"
        assert await ada.next() is None
        await one.settled(0)
        ada.writer.write(b"GET /bff/live/snapshot HTTP/1.1\r\nHost: x\r\n\r\n")
        await ada.head()
        assert ada.status == 200


async def test_an_open_stream_is_one_task(redis_url: str) -> None:
    async with world(redis_url) as one, client(one) as first:
        await first.until("snapshot")
        before = await _tasks_at_rest()
        async with client(one, who="bob") as second:
            await second.until("snapshot")
            assert await _tasks_at_rest() == before + 1


async def _tasks_at_rest() -> int:
    """The number of tasks when the short-lived ones have ended."""
    counted = []
    for _ in range(20):
        await asyncio.sleep(0.02)
        counted.append(len(asyncio.all_tasks()))
    return min(counted)


async def test_an_http_1_0_client_gets_a_stream_without_chunks(redis_url: str) -> None:
    """RFC 9112, 6.1: no Transfer-Encoding in an answer to HTTP/1.0; the body ends with the connection."""
    protocol = partial(HttpProtocol, settings=Settings())
    async with world(redis_url, http=protocol) as one:  # type: ignore[arg-type]  # as `bff serve` gives it
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(b"GET /bff/live HTTP/1.0\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(GUARD):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding" not in head.lower() and b"connection: close" in head.lower()
            assert await reader.readuntil(b"event: snapshot") == b"retry: 1000\n\nevent: snapshot"
            await tell(one, range(1, 3), 10)
            await reader.readuntil(b'"version":2')
            await one.hub.end_session("session-of-ada")
            rest = await reader.read()
        assert rest.rpartition(b"event: bye\n")[2] == b'data: {"reason":"logout","retry_after":null}\n\n'
        writer.close()
