"""Bodies of forwards on the connection of `bff serve`: streamed both ways, bounded, and cut where one side leaves."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from bff import Call, Download, Gateway, Upstream
from bff.edge.app.build import App

from ..waiting import GUARD, close_listener, until
from .gateway import bearer, settings_for
from .own_connection import behind_own_connection
from .scripted import KEY  # noqa: F401  # the key of the tokens
from .scripted import upstream as keys
from .test_gateway_serve import serve
from .test_memory import resident

SIZE = 40_000_000
LARGE = 200_000_000
PIECE = b"0123456789abcdef" * 4096


class Store(Upstream, team="Store", contact="#store", service="store"):
    def file(self, name: str) -> Call[None]:
        return self.get("/{name}", None, name=name)


store = Store()
closed: list[str] = []


async def rows(kind: str) -> AsyncIterator[bytes]:
    try:
        yield b"id,name\n"
        if kind == "broken":
            raise ValueError("half way")
        yield b"1,Ada\n"
    finally:
        closed.append(kind)


@dataclass
class Files:
    """A service that counts what arrives and sends what is asked for. gate: it reads nothing before this is set."""

    port: int = 0
    received: int = 0
    complete: list[bool] = field(default_factory=list)
    sent: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    digest: str = ""
    size: int = SIZE

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if head.startswith("get"):
            asked = re.search(r"range: bytes=(\d+)-", head)
            first = int(asked.group(1)) if asked else 0
            status = (
                f"206 Partial\r\ncontent-range: bytes {first}-{self.size - 1}/{self.size}"
                if first
                else "200 OK"
            )
            length = self.size - first
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: image/png\r\ncontent-length: {length}\r\n\r\n".encode()
            )
            self.sent = 0
            while self.sent < length:
                piece = PIECE[: length - self.sent]
                writer.write(piece)
                await writer.drain()
                self.sent += len(piece)
            return
        self.complete.append(False)
        self.received = 0
        await self.gate.wait()
        found = hashlib.sha256()
        async for piece in self._pieces(head, reader):
            found.update(piece)
            self.received += len(piece)
        self.digest = found.hexdigest()
        self.complete[-1] = True
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def _pieces(self, head: str, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        if "content-length:" in head:
            left = int(head.partition("content-length:")[2].partition("\r\n")[0])
            while left:
                piece = await reader.read(min(left, 65_536))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", left)
                left -= len(piece)
                yield piece
            return
        while size := int(await reader.readline() or b"x", 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)


@dataclass
class World:
    files: Files
    client: httpx.AsyncClient
    port: int
    runtime: App

    @property
    def permits(self) -> int:
        """Exchanges with the service in progress."""
        return self.runtime.calls.pipeline.clients["store"].permits.bulkhead.used


@asynccontextmanager
async def running(redis_url: str, **forward: object) -> AsyncIterator[World]:
    files = Files()
    listening = await asyncio.start_server(files.serve, "127.0.0.1", 0, limit=65_536)
    files.port = listening.sockets[0].getsockname()[1]
    async with keys() as scripted:
        settings = settings_for(
            redis_url,
            scripted.port,
            GUARD,
            upstreams={"store": {"url": f"http://127.0.0.1:{files.port}"}},
            http={"forward": {"idle": 0.5, **forward}},
        )
        gateway = Gateway("files", deadline=GUARD, settings=settings)
        gateway.forward("/files/{name}", store, "/{name}", methods=("GET", "PUT"), upload=SIZE)

        @gateway.view("/export/{kind}")
        async def export(kind: str) -> Download:
            if kind == "call":
                return Download(store.file("a"), "Bericht für Ada.png", "image/png")
            return Download(rows(kind), "rows.csv", "text/csv; charset=utf-8")

        runtime = await gateway.start()
        try:
            async with (
                behind_own_connection(gateway, runtime) as port,
                httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=GUARD
                ) as client,
            ):
                yield World(files, client, port, runtime)
        finally:
            await close_listener(listening)
            await gateway.stop()


async def pieces(size: int = SIZE) -> AsyncIterator[bytes]:
    left = size
    while left:
        piece = PIECE[:left]
        left -= len(piece)
        yield piece


WHOLE = PIECE * (SIZE // len(PIECE)) + PIECE[: SIZE % len(PIECE)]


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_upload_arrives_as_it_was_sent(redis_url: str, chunked: bool) -> None:
    async with running(redis_url) as world:
        world.files.gate.set()
        content = pieces() if chunked else WHOLE
        stored = await world.client.put("/files/a", headers=bearer(), content=content)
        assert (stored.status_code, world.files.received) == (204, SIZE)
        assert world.files.digest == hashlib.sha256(WHOLE).hexdigest()


async def test_a_service_that_does_not_read_holds_the_client_back(redis_url: str) -> None:
    async with running(redis_url, idle=GUARD) as world:
        taken = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal taken
            async for piece in pieces():
                taken += len(piece)
                yield piece

        sending = asyncio.create_task(world.client.put("/files/a", headers=bearer(), content=counted()))
        await until(lambda: taken > 0)
        # The buffers of three sockets and two programs are full; then nothing moves.
        before = -1
        while before != taken:
            before = taken
            await asyncio.sleep(0.3)
        assert taken < SIZE
        world.files.gate.set()
        assert (await sending).status_code == 204 and world.files.received == SIZE


async def test_a_client_that_leaves_during_its_upload_leaves_an_incomplete_one(redis_url: str) -> None:
    async with running(redis_url, idle=GUARD) as world:
        world.files.gate.set()
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        token = bearer()["authorization"]
        head = f"PUT /files/a HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ncontent-length: {SIZE}\r\n\r\n"
        writer.write(head.encode() + WHOLE[:100_000])
        await until(lambda: world.files.received >= 100_000)
        writer.transport.abort()
        await asyncio.sleep(0.2)
        assert world.files.complete == [False]
        # Nothing of it is left: the next exchange works.
        assert (await world.client.put("/files/a", headers=bearer(), content=b"x")).status_code == 204


async def test_a_piece_that_does_not_come_in_time_is_408(redis_url: str) -> None:
    async with running(redis_url) as world:
        world.files.gate.set()

        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        token = bearer()["authorization"]
        head = f"PUT /files/a HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ncontent-length: {SIZE}\r\n\r\n"
        writer.write(head.encode() + PIECE)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ") and b'"too-slow"' in answer
        assert world.files.complete == [False]


async def test_an_upload_that_only_drips_is_408_and_gives_its_permit_back(redis_url: str) -> None:
    async with running(redis_url) as world:
        world.files.gate.set()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        token = bearer()["authorization"]
        head = f"PUT /files/a HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ncontent-length: {SIZE}\r\n\r\n"
        writer.write(head.encode())

        async def drip() -> None:
            # Each piece comes in time.
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        try:
            async with asyncio.timeout(GUARD):
                answer = await reader.read()
        finally:
            dripping.cancel()
            await asyncio.wait([dripping])
            writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ") and b'"too-slow"' in answer
        assert world.files.complete == [False]


async def test_a_client_that_takes_a_download_by_drips_is_cut_off(redis_url: str) -> None:
    async with running(redis_url, rate=1_000_000) as world:
        with socket.socket() as slow:
            # A window as small as possible: what the kernel takes counts as taken.
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(slow, ("127.0.0.1", world.port))
            token = bearer()["authorization"]
            request = f"GET /files/a HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n\r\n"
            await loop.sock_sendall(slow, request.encode())

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    while await loop.sock_recv(slow, 1_024):
                        await asyncio.sleep(0.05)

            taking = asyncio.create_task(drip())
            await until(lambda: world.permits == 1)
            await until(lambda: world.permits == 0)
            # The client has not left: it has not even got what the kernel holds for it.
            assert not taking.done() and world.files.sent < SIZE
            taking.cancel()
            await asyncio.wait([taking])


async def test_more_bytes_than_the_forward_takes_are_413(redis_url: str) -> None:
    async with running(redis_url) as world:
        world.files.gate.set()
        announced = await world.client.put("/files/a", headers=bearer(), content=WHOLE + b"x")
        assert (announced.status_code, announced.json()["code"]) == (413, "body-too-large")
        assert world.files.complete == []


async def test_a_download_waits_for_a_client_that_reads_slowly_and_ends_when_it_leaves(
    redis_url: str,
) -> None:
    async with running(redis_url, idle=GUARD) as world:
        async with world.client.stream("GET", "/files/a", headers=bearer()) as answer:
            assert answer.headers["content-length"] == str(SIZE)
            received = 0
            async for piece in answer.aiter_bytes(65_536):
                received += len(piece)
                if received > 200_000:
                    break
            before = -1
            while before != world.files.sent:
                before = world.files.sent
                await asyncio.sleep(0.3)
            assert world.files.sent < SIZE
        whole = await world.client.get("/files/a", headers=bearer())
        assert hashlib.sha256(whole.content).hexdigest() == hashlib.sha256(WHOLE).hexdigest()


async def test_a_download_beyond_the_bound_breaks_off(redis_url: str) -> None:
    async with running(redis_url, download=1_000_000) as world:
        with pytest.raises(httpx.RemoteProtocolError):
            await world.client.get("/files/a", headers=bearer())


async def test_a_view_gives_a_file_from_a_service_or_from_an_iterator(redis_url: str) -> None:
    async with running(redis_url) as world:
        file = await world.client.get("/export/call", headers=bearer())
        assert hashlib.sha256(file.content).hexdigest() == hashlib.sha256(WHOLE).hexdigest()
        assert file.headers["content-disposition"] == (
            "attachment; filename=\"Bericht f_r Ada.png\"; filename*=UTF-8''Bericht%20f%C3%BCr%20Ada.png"
        )
        assert (file.headers["content-type"], file.headers["content-length"]) == ("image/png", str(SIZE))
        assert (file.headers["cache-control"], file.headers["content-security-policy"].split(";")[0]) == (
            "no-store",
            "sandbox",
        )
        listed = await world.client.get("/export/rows", headers=bearer())
        assert (listed.text, listed.headers["content-type"]) == (
            "id,name\n1,Ada\n",
            "text/csv; charset=utf-8",
        )
        assert (await world.client.head("/export/rows", headers=bearer())).content == b""
        closed.clear()
        with pytest.raises(httpx.RemoteProtocolError):
            await world.client.get("/export/broken", headers=bearer())
        assert closed == ["broken"]
        assert (await world.client.get("/export/rows")).status_code == 401


@pytest.mark.parametrize("destination", ["script", "worker", "serviceworker", "style"])
async def test_no_page_runs_a_download(redis_url: str, destination: str) -> None:
    async with running(redis_url) as world:
        for kind in ("call", "rows"):
            asked = bearer() | {"sec-fetch-dest": destination}
            refused = await world.client.get(f"/export/{kind}", headers=asked)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert world.files.sent == 0


@pytest.mark.slow
async def test_two_hundred_megabytes_each_way_take_hardly_any_memory(redis_url: str, tmp_path: Path) -> None:
    """Up, down, and down from a range, with a reader that is slow in between."""
    files = Files(size=LARGE)
    files.gate.set()
    listening = await asyncio.start_server(files.serve, "127.0.0.1", 0)
    place = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with serve(
        redis_url, tmp_path, target="tests.wire.forwarded:served", BFF_UPSTREAMS__SHELF__URL=place
    ) as served:
        # What the first exchange of each kind loads is not counted.
        for _ in range(3):
            assert (await served.client.put("/files/a", headers=bearer(), content=b"x")).status_code == 204
        before, most = resident(served), 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, resident(served))
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        try:
            stored = await served.client.put("/files/a", headers=bearer(), content=pieces(LARGE))
            assert (stored.status_code, files.received) == (204, LARGE)
            for first in (0, LARGE // 2):
                headers = bearer() | ({"range": f"bytes={first}-"} if first else {})
                received = 0
                async with served.client.stream("GET", "/files/a", headers=headers) as answer:
                    assert answer.status_code == (206 if first else 200)
                    async for piece in answer.aiter_bytes(1_000_000):
                        received += len(piece)
                        if received < 5_000_000:
                            await asyncio.sleep(0.1)
                assert received == LARGE - first
        finally:
            watching.cancel()
        print(f"\n{(most - before) / 1e6:.1f} MB more than the {before / 1e6:.0f} MB before")
        assert most - before <= 30_000_000
    await close_listener(listening)
