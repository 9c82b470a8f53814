"""A forward proxy: CONNECT tunnels, and requests with a whole address. It alone knows the names of a test's hosts."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..waiting import close_listener
from .served import no_connections


@dataclass
class ForwardProxy:
    """hosts: the port on loopback of each `host:port`; login: user and password that it requires; asked: the first line
    of each request, in order."""

    hosts: dict[str, int]
    login: tuple[str, str] | None = None
    port: int = 0
    asked: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list, repr=False)

    @property
    def url(self) -> str:
        """Its address under a name of loopback."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.asked.append(head[0])
        method, target, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        if self.login is not None:
            pair = base64.b64encode(":".join(self.login).encode("latin-1")).decode()
            if headers.get("proxy-authorization") != f"Basic {pair}":
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
                return
        parts = urlsplit(target if "://" in target else f"//{target}")
        port = self.hosts.get(f"{parts.hostname}:{parts.port or 80}")
        if port is None:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
            return
        behind, to_target = await asyncio.open_connection("127.0.0.1", port)
        self.writers.append(to_target)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            sent = {name: value for name, value in headers.items() if not name.startswith("proxy-")}
            lines = [
                f"{method} {path or '/'} HTTP/1.1",
                *(f"{name}: {value}" for name, value in sent.items()),
            ]
            to_target.write("\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1"))
        try:
            await asyncio.gather(_pump(reader, to_target), _pump(behind, writer))
        finally:
            to_target.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def forward_proxy(
    hosts: Mapping[str, int], login: tuple[str, str] | None = None
) -> AsyncIterator[ForwardProxy]:
    proxy = ForwardProxy(dict(hosts), login)
    tasks: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        await close_listener(listening)
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in proxy.writers:
            writer.transport.abort()
        await no_connections(listening)
        # The loop closes transports on its next turns.
        for _ in range(3):
            await asyncio.sleep(0)
