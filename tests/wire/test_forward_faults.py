"""Forwards on the connection of `bff serve`: exchanges whose two halves overlap, texts outside ASCII in headers, and
answers that must not be compressed or cached for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from bff import Gateway, Upstream

from ..waiting import GUARD, close_listener
from .gateway import bearer, settings_for
from .own_connection import behind_own_connection
from .scripted import upstream as keys
from .test_frontend import NEW, house
from .upstream import RawServer, http


class Store(Upstream, team="Store", contact="#store", service="store"):
    """The service of these tests."""


store = Store()
NAME = "報告.pdf"


@dataclass
class World:
    client: httpx.AsyncClient
    port: int


@asynccontextmanager
async def running(redis_url: str, service: int) -> AsyncIterator[World]:
    async with keys() as scripted:
        settings = settings_for(
            redis_url, scripted.port, GUARD, upstreams={"store": {"url": f"http://127.0.0.1:{service}"}}
        )
        gateway = Gateway("files", deadline=GUARD, settings=settings)
        gateway.forward("/files/{name}", store, "/{name}", methods=("GET", "PUT"), upload=1_000_000)
        gateway.forward("/open/{name}", store, "/{name}", public=True)
        runtime = await gateway.start()
        try:
            async with (
                behind_own_connection(gateway, runtime) as port,
                httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=GUARD
                ) as client,
            ):
                yield World(client, port)
        finally:
            await gateway.stop()


@asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    """A service that answers each piece of a chunked body as it arrives."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")
            while size := int(await reader.readline(), 16):
                piece = await reader.readexactly(size + 2)
                writer.write(b"%x\r\n" % size + piece)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        await close_listener(listening)


async def test_a_service_may_answer_while_the_request_still_arrives(redis_url: str) -> None:
    async with echoing() as service, running(redis_url, service) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        try:
            token = bearer()["authorization"]
            head = f"PUT /files/a HTTP/1.1\r\nhost: a\r\nauthorization: {token}\r\n"
            writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
            writer.write(b"5\r\nfirst\r\n")
            async with asyncio.timeout(GUARD):
                begun = await reader.readuntil(b"first\r\n")
                assert begun.startswith(b"HTTP/1.1 200"), begun
                for piece in (b"again", b"third"):
                    writer.write(b"5\r\n" + piece + b"\r\n")
                    await reader.readuntil(piece + b"\r\n")
                writer.write(b"0\r\n\r\n")
                assert (await reader.readuntil(b"0\r\n\r\n")).endswith(b"0\r\n\r\n")
        finally:
            writer.close()


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[RawServer]:
    async def reply(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    server = RawServer(reply)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        await close_listener(listening)


@pytest.mark.parametrize("name", [NAME.encode(), "Übung.pdf".encode("latin-1")], ids=["UTF-8", "Latin-1"])
async def test_a_header_of_a_service_outside_ascii_passes_byte_by_byte(redis_url: str, name: bytes) -> None:
    disposition = b'attachment; filename="%b"' % name
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/pdf\r\ncontent-disposition: " + disposition
    async with (
        saying(head + b"\r\ncontent-length: 1\r\n\r\nx") as service,
        running(redis_url, service.port) as world,
    ):
        found = await world.client.get("/open/a")
    assert (found.status_code, found.content) == (200, b"x")
    assert dict(found.headers.raw)[b"content-disposition"] == disposition


async def test_a_header_of_a_client_outside_ascii_passes_byte_by_byte_or_not_at_all(redis_url: str) -> None:
    async with saying(http(204, b"")) as service, running(redis_url, service.port) as world:

        async def put(name: bytes) -> httpx.Response:
            disposition = b'attachment; filename="%b"' % name
            headers = [
                (b"authorization", bearer()["authorization"].encode()),
                (b"content-disposition", disposition),
            ]
            return await world.client.put("/files/a", headers=headers, content=b"x")

        assert (await put(NAME.encode())).status_code == 204
        assert b'filename="%b"' % NAME.encode() in service.requests[0]
        refused = await put("Übung.pdf".encode("latin-1"))
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid-request")
        assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({}, "identity"),
        ({"sec-fetch-site": "same-site"}, "identity"),
        ({"sec-fetch-site": "same-origin"}, "gzip"),
    ],
)
async def test_a_service_compresses_an_answer_to_a_cookie_only_for_this_sites_own_page(
    redis_url: str, headers: dict[str, str], asked: str
) -> None:
    async with house(redis_url) as here:
        sent = await here.person() | headers | {"accept-encoding": "gzip"}
        found = await here.client.get(f"{here.site}/api/files/ok", headers=sent)
        assert found.status_code == 200, found.text
        assert here.service.last.headers["accept-encoding"] == asked


async def test_a_service_compresses_an_answer_to_a_token_or_a_frontend_server(redis_url: str) -> None:
    async with saying(http(200, b"{}")) as service, running(redis_url, service.port) as world:
        await world.client.get("/files/a", headers=bearer() | {"accept-encoding": "gzip"})
        assert b"accept-encoding: gzip" in service.requests[0].lower().split(b"\r\n")
    async with house(redis_url) as here:
        sent = await here.person() | {"accept-encoding": "gzip", "bff-frontend": NEW}
        await here.client.get(f"{here.site}/api/files/ok", headers=sent)
        assert here.service.last.headers["accept-encoding"] == "gzip"


async def test_a_write_with_the_tag_of_a_compressed_read_reaches_the_service_with_its_own_tag(
    redis_url: str,
) -> None:
    text = b'{"text":"' + b"long " * 1000 + b'"}'
    tagged = http(200, text, 'content-type: application/json\r\netag: "v1"\r\n')
    async with saying(tagged) as service, running(redis_url, service.port) as world:
        read = await world.client.get("/files/a", headers=bearer() | {"accept-encoding": "gzip"})
        assert (read.headers["content-encoding"], read.headers["etag"]) == ("gzip", '"v1-gzip"')
        await world.client.put(
            "/files/a", headers=bearer() | {"if-match": read.headers["etag"]}, content=b"x"
        )
        assert b'if-match: "v1-gzip", "v1"' in service.requests[1].lower().split(b"\r\n")
