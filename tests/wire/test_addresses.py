"""Backend addresses that change while a gateway serves, on real sockets: DNS, a watched file, a removed address."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bff.network import Network
from bff.transport.backends import DynamicBackends, open_exchanges, open_wire
from bff.transport.exchanges import Exchanges
from bff.transport.resolvers import BackendAddress, DnsResolver, FileResolver, Resolver, ResolverContext
from bff.transport.wire import WireConnectionError, WireError, WireRequest

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


def addresses(*urls: str, resolver: Resolver | None = None, **options: Any) -> DynamicBackends:
    opener = open_wire("aiohttp", connections=4, max_body=1000)
    return DynamicBackends("s", urls, opener, resolver=resolver, **options)


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def ask(backends: DynamicBackends, times: int) -> Counter[str]:
    """Send a call as the pipeline does: pick, count, send, report."""
    seen: Counter[str] = Counter()
    for _ in range(times):
        backend = backends.pick()
        backend.pending += 1
        try:
            answer = await backend.wire.send(ASK)
            backends.record_success(backend)
            seen[answer.body.decode()] += 1
        except WireError:
            backends.record_failure(backend)
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
        closed = url(closed_port())
        resolver = FileResolver(ResolverContext("s", (closed,), file=file, look=0.02))
        backends = addresses(closed, resolver=resolver)
        await backends.start()
        assert await ask(backends, 3) == {str(one.port): 3}
        for text, expected in [
            (f"{url(two.port)}\n", {str(two.port): 3}),
            ("ftp://nowhere\n", {str(two.port): 3}),
            ("", {str(two.port): 3}),
            (f"{url(one.port)}\n{url(one.port)}\n", {str(one.port): 3}),
        ]:
            file.write_text(text)
            stat = file.stat()
            await until(lambda stat=stat: resolver.version == (stat.st_mtime_ns, stat.st_size))  # type: ignore[misc]
            await asyncio.sleep(0)
            assert await ask(backends, 3) == expected
        file.unlink()
        await until(lambda: resolver.version is None)
        assert await ask(backends, 1) == {str(one.port): 1}
        await backends.close()


async def test_a_removed_address_ends_its_calls_before_its_connections_are_closed() -> None:
    release = asyncio.Event()

    async def slow(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(http(200, b"old"))

    async with raw_server(slow) as old, servers(1) as (new,):
        ips = ["127.0.0.1"]
        resolver = DnsResolver(ResolverContext("s", (f"http://localhost:{old.port}",), interval=1))
        backends = addresses(f"http://localhost:{old.port}", resolver=resolver)
        backend = backends.pick()
        backend.pending += 1
        call = asyncio.create_task(backend.wire.send(ASK))
        await until(lambda: bool(old.requests))
        resolver.url = f"http://localhost:{new.port}"
        await backends.refresh()
        assert [one.name for one in backends] == [f"http://{ip}:{new.port}" for ip in ips]
        assert backend not in list(backends)
        release.set()
        assert (await call).body == b"old"
        backend.pending -= 1
        await backends.refresh()
        await until(lambda: not old.open)
        await backends.close()


async def test_dns_is_resolved_again_and_each_address_is_a_backend(
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
        shop = f"http://shop.test:{one.port}"
        backends = addresses(shop, resolver=DnsResolver(ResolverContext("s", (shop,), interval=1)))
        kept = []
        for expected in (["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2"]):
            await backends.refresh()
            assert [backend.name for backend in backends] == [f"http://{ip}:{one.port}" for ip in expected]
            kept.append(next(backend for backend in backends if "127.0.0.2" in backend.name))
        assert kept[0] is kept[1] is kept[2], "an address that stays keeps its connections and its state"
        assert [backend.name for backend in backends] == [f"http://127.0.0.2:{one.port}"]
        await backends.close()


class Listed:
    """A resolver that returns what the test sets: addresses, or an exception."""

    interval = 0.01

    def __init__(self) -> None:
        self.asked = 0
        self.found: list[BackendAddress] | Exception = []

    async def resolve(self) -> list[BackendAddress]:
        self.asked += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def asked_again(self) -> None:
        asked = self.asked
        await until(lambda: self.asked > asked + 1)


async def test_a_failing_resolver_is_logged_once_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with servers(2) as (one, two):
        resolver = Listed()
        backends = addresses(url(one.port), resolver=resolver)
        await backends.start()
        for wrong in (
            RuntimeError("a bug"),
            [BackendAddress("ftp://nowhere")],
            [BackendAddress(f"http://h{number}") for number in range(257)],
        ):
            caplog.clear()
            resolver.found = wrong
            await resolver.asked_again()
            assert [line.message for line in caplog.records] == [
                "addresses cannot be resolved; the last ones stay in use"
            ]
            assert await ask(backends, 1) == {str(one.port): 1}
        resolver.found = [BackendAddress(url(two.port))]
        await resolver.asked_again()
        assert await ask(backends, 1) == {str(two.port): 1}
        await backends.close()


async def test_a_resolver_that_hangs_does_not_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bff.transport.backends.FIRST", 0.01)

    class Hanging:
        interval = 0.0

        async def resolve(self) -> list[BackendAddress]:
            await asyncio.Event().wait()
            return []

    async with servers(1) as (one,):
        backends = addresses(url(one.port), resolver=Hanging())
        await backends.start()
        assert await ask(backends, 1) == {str(one.port): 1}
        await backends.close()


async def test_a_forward_to_an_address_that_was_closed_is_a_lost_connection() -> None:
    opened = open_exchanges(connections=1, network=Network())
    backends = addresses("http://127.0.0.1:1", open_exchanges=opened)
    backend = backends.pick()
    assert isinstance(backends.exchanges(backend), Exchanges)
    await backends.close()
    with pytest.raises(WireConnectionError, match="not used any more"):
        backends.exchanges(backend)
