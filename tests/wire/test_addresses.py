"""Addresses that change while a gateway serves, on real sockets: DNS, a watched file, one that goes away."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bff.transport.backends import DynamicBackends, open_wire
from bff.transport.wire import WireError, WireRequest

from ..conftest import closed_port
from ..waiting import until
from .upstream import RawServer, http, raw_server

ASK = WireRequest("GET", "/", {})


@asynccontextmanager
async def servers(count: int) -> AsyncIterator[list[RawServer]]:
    async def answer(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        writer.write(http(200, str(port).encode()))

    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(raw_server(answer)) for _ in range(count)]


def addresses(*urls: str, **options: Any) -> DynamicBackends:
    return DynamicBackends("s", urls, open_wire("aiohttp", connections=4, max_body=1000), **options)


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def ask(backends: DynamicBackends, times: int) -> Counter[str]:
    """As the pipeline does: pick, count, send, report."""
    seen: Counter[str] = Counter()
    for _ in range(times):
        backend = backends.pick()
        backend.pending += 1
        try:
            answer = await backend.wire.send(ASK)
            backends.succeeded(backend)
            seen[answer.body.decode()] += 1
        except WireError:
            backends.failed(backend)
            seen["failed"] += 1
        finally:
            backend.pending -= 1
    return seen


async def test_calls_go_to_all_backends_and_avoid_one_that_is_down() -> None:
    async with servers(2) as (one, two):
        backends = addresses(url(one.port), url(two.port), url(closed_port()), how="round-robin", failures=3)
        seen = await ask(backends, 60)
        assert seen["failed"] == 3
        assert abs(seen[str(one.port)] - seen[str(two.port)]) <= 4
        await backends.close()


async def test_a_watched_file_changes_the_addresses_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "addresses"
    async with servers(2) as (one, two):
        file.write_text(f"# first\n{url(one.port)}/ # here\n\n")
        backends = addresses(url(closed_port()), file=file, look=0.02)
        assert await ask(backends, 3) == {str(one.port): 3}
        backends.start()
        for text, expected in [
            (f"{url(two.port)}\n", {str(two.port): 3}),
            ("ftp://nowhere\n", {str(two.port): 3}),
            ("", {str(two.port): 3}),
            (f"{url(one.port)}\n{url(one.port)}\n", {str(one.port): 3}),
        ]:
            file.write_text(text)
            stat = file.stat()
            await until(lambda stat=stat: backends._seen == (stat.st_mtime_ns, stat.st_size))  # type: ignore[misc]
            await asyncio.sleep(0)
            assert await ask(backends, 3) == expected
        file.unlink()
        await until(lambda: backends._seen == (0, 0))
        assert await ask(backends, 1) == {str(one.port): 1}
        await backends.close()


async def test_an_address_that_is_gone_ends_its_calls_before_its_connections_are_closed() -> None:
    release = asyncio.Event()

    async def slow(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(http(200, b"old"))

    async with raw_server(slow) as old, servers(1) as (new,):
        ips = ["127.0.0.1"]
        backends = addresses(f"http://localhost:{old.port}", resolve=1)
        backend = backends.pick()
        backend.pending += 1
        call = asyncio.create_task(backend.wire.send(ASK))
        await until(lambda: bool(old.requests))
        backends._urls = (f"http://localhost:{new.port}",)
        await backends.refresh()
        assert [one.name for one in backends] == [f"http://{ip}:{new.port}" for ip in ips]
        assert backend not in list(backends)
        release.set()
        assert (await call).body == b"old"
        backend.pending -= 1
        await backends.refresh()
        await until(lambda: not old.open)
        await backends.close()


async def test_dns_is_asked_again_and_each_of_its_addresses_is_one_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Any] = [["127.0.0.2", "127.0.0.1", "127.0.0.1"], OSError("away"), ["127.0.0.2"]]
    loop = asyncio.get_running_loop()

    async def getaddrinfo(host: str, port: int, *, type: int) -> list[Any]:
        found = answers.pop(0)
        if isinstance(found, OSError):
            raise found
        return [(socket.AF_INET, type, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    async with servers(1) as (one,):
        backends = addresses(f"http://shop.test:{one.port}", resolve=1)
        kept = []
        for expected in (["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2"]):
            await backends.refresh()
            assert [backend.name for backend in backends] == [f"http://{ip}:{one.port}" for ip in expected]
            kept.append(next(backend for backend in backends if "127.0.0.2" in backend.name))
        assert kept[0] is kept[1] is kept[2], "an address that stays keeps its connections and standing"
        assert [backend.name for backend in backends] == [f"http://127.0.0.2:{one.port}"]
        await backends.close()
