"""Our HTTP/1.1 wire on real sockets, on both event loops: its pool, its queue of callers, and the checks of answers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import random
import socket
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from bff.transport import h1_connector, h1_wire
from bff.transport.h1_wire import H1Wire
from bff.transport.wire import WireConnectionError, WireInvalidResponse, WireRequest, WireResponseTooLarge

from ..waiting import GUARD, until
from .upstream import RawServer, http, raw_server

Loop = Callable[[Awaitable[None]], None]
GOOD = http(200, b'{"name":"good"}')
ASK = WireRequest("GET", "/", {})


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Loop:
    """Runs a test to its end within a minute; an error that the loop reports fails it."""

    def run(test: Awaitable[None]) -> None:
        complaints: list[Any] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
            async with asyncio.timeout(GUARD):
                await test

        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
        assert complaints == []

    return run


def wire_to(server: RawServer, connections: int = 2, max_body: int = 20_000) -> H1Wire:
    return H1Wire(f"http://127.0.0.1:{server.port}", connections=connections, max_body=max_body)


def get(target: str) -> WireRequest:
    return WireRequest("GET", target, {})


class Peer:
    """Answers by path, and records on which connection each request came."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.release = asyncio.Event()
        self.answers: dict[str, bytes] = {}

    async def __call__(self, path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        self.seen.append((path, writer.get_extra_info("peername")[1]))
        if path.startswith("/hold"):
            await self.release.wait()
        writer.write(self.answers.get(path, GOOD))

    @property
    def connections(self) -> list[int]:
        return [number for _, number in self.seen]


def test_connections_are_bounded_and_the_one_used_last_is_used_next(loop: Loop) -> None:
    async def main() -> None:
        peer = Peer()
        async with raw_server(peer) as server:
            wire = wire_to(server, connections=3)
            await asyncio.gather(*(wire.send(ASK) for _ in range(30)))
            assert server.open == 3 and len(peer.seen) == 30
            await wire.send(ASK)
            last = peer.connections[-1]
            for _ in range(5):
                await wire.send(ASK)
            assert set(peer.connections[-5:]) == {last}
            await wire.close()
            await until(lambda: server.open == 0)

    loop(main())


def test_callers_that_wait_get_connections_in_order(loop: Loop) -> None:
    async def main() -> None:
        peer = Peer()
        async with raw_server(peer) as server:
            wire = wire_to(server, connections=1)
            calls = [asyncio.create_task(wire.send(get("/hold")))]
            for number in range(6):
                await asyncio.sleep(0)
                calls.append(asyncio.create_task(wire.send(get(f"/{number}"))))
            await until(lambda: len(peer.seen) == 1)
            calls[2].cancel()
            calls[5].cancel()
            await asyncio.sleep(0.01)
            peer.release.set()
            await asyncio.gather(*calls, return_exceptions=True)
            assert [path for path, _ in peer.seen] == ["/hold", "/0", "/2", "/3", "/5"]
            assert len(set(peer.connections)) == 1
            await wire.close()

    loop(main())


def test_the_slot_of_a_lost_connection_goes_to_a_waiting_caller(loop: Loop) -> None:
    async def main() -> None:
        peer = Peer()
        peer.answers["/hold"] = b"nonsense\r\n\r\n"
        async with raw_server(peer) as server:
            wire = wire_to(server, connections=1)
            bad = asyncio.create_task(wire.send(get("/hold")))
            await until(lambda: len(peer.seen) == 1)
            waiting = [asyncio.create_task(wire.send(ASK)) for _ in range(3)]
            await asyncio.sleep(0)
            peer.release.set()
            with pytest.raises(WireInvalidResponse):
                await bad
            assert [one.status for one in await asyncio.gather(*waiting)] == [200] * 3
            await wire.close()

    loop(main())


def test_no_slot_is_lost_whenever_a_caller_is_cancelled(loop: Loop) -> None:
    dice = random.Random(3)

    async def main() -> None:
        peer = Peer()
        peer.answers["/bad"] = b"nonsense\r\n\r\n"
        async with raw_server(peer) as server:
            wire = wire_to(server, connections=2)

            async def call() -> None:
                with contextlib.suppress(WireInvalidResponse):
                    await wire.send(get(dice.choice(["/", "/", "/bad"])))

            for _ in range(300):
                calls = [asyncio.create_task(call()) for _ in range(6)]
                for one in dice.sample(calls, 4):
                    for _ in range(dice.randrange(6)):
                        await asyncio.sleep(0)
                    one.cancel()
                await asyncio.wait(calls)
            assert wire._slots == len(wire._open) <= 2 and not wire._waiting
            # The loop would now report an error that was never retrieved.
            gc.collect()
            assert (await asyncio.gather(*(wire.send(ASK) for _ in range(10))))[9].status == 200
            await wire.close()
            await until(lambda: server.open == 0)

    loop(main())


def test_idle_connections_are_closed_after_keep_alive_and_those_in_use_are_not(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h1_wire, "KEEP_ALIVE", 0.2)

    async def main() -> None:
        peer = Peer()
        async with raw_server(peer) as server:
            wire = wire_to(server, connections=5)
            await asyncio.gather(*(wire.send(ASK) for _ in range(5)))
            assert len(set(peer.connections)) == 5
            held = asyncio.create_task(wire.send(get("/hold")))
            await until(lambda: server.open == 1)
            await asyncio.sleep(0.3)
            peer.release.set()
            assert (await held).status == 200
            await until(lambda: server.open == 0)
            assert wire._slots == 0
            await wire.close()

    loop(main())


def test_a_connection_past_keep_alive_is_not_used_even_before_the_sweep(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        peer = Peer()
        async with raw_server(peer) as server:
            wire = wire_to(server)
            await wire.send(ASK)
            await asyncio.sleep(0.02)
            monkeypatch.setattr(h1_wire, "KEEP_ALIVE", 0.005)
            await wire.send(ASK)
            assert len(set(peer.connections)) == 2
            await wire.close()

    loop(main())


LAST = {
    "it said close": http(200, b"{}", "connection: close\r\n"),
    "it speaks 1.0": b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n{}",
    "a second answer came": http(200, b"{}") + http(200, b'{"name":"smuggled"}'),
    "more than the length came": http(200, b"{}") + b"}",
    "204 with a length": b"HTTP/1.1 204 X\r\ncontent-length: 5\r\n\r\n",
    "304 and a body": b"HTTP/1.1 304 X\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("why", LAST)
def test_a_connection_with_ambiguous_framing_is_not_used_again(loop: Loop, why: str) -> None:
    async def main() -> None:
        peer = Peer()
        peer.answers["/last"] = LAST[why]
        async with raw_server(peer) as server:
            wire = wire_to(server)
            await wire.send(get("/last"))
            assert (await wire.send(ASK)).body == b'{"name":"good"}'
            assert len(set(peer.connections)) == 2
            await wire.close()

    loop(main())


def test_an_unsolicited_response_never_reaches_the_next_caller(loop: Loop) -> None:
    async def twice(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(GOOD)
        if path == "/":
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(http(200, b'{"name":"smuggled"}'))

    async def main() -> None:
        async with raw_server(twice) as server:
            wire = wire_to(server)
            await wire.send(ASK)
            await until(lambda: wire._slots == 0, "the connection was not closed")
            assert (await wire.send(get("/next"))).body == b'{"name":"good"}'
            await wire.close()

    loop(main())


def test_a_response_before_the_request_was_read_counts_and_closes_the_connection(loop: Loop) -> None:
    async def main() -> None:
        gone, ended = asyncio.Event(), asyncio.Event()

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http(413, b"{}"))
            await writer.drain()
            with contextlib.suppress(ConnectionError):
                while await reader.read(1_000_000):
                    await gone.wait()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            ended.set()

        listening = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1024)
        port = listening.sockets[0].getsockname()[1]
        wire = H1Wire(f"http://127.0.0.1:{port}", connections=1, max_body=1000)
        answer = await wire.send(WireRequest("POST", "/", {}, b"x" * 30_000_000))
        assert answer.status == 413
        await until(lambda: wire._slots == 0)
        gone.set()
        await wire.close()
        await ended.wait()
        listening.close()
        await listening.wait_closed()
        await asyncio.sleep(0.05)

    loop(main())


@pytest.mark.parametrize(
    ("body", "coding", "expected"),
    [
        (gzip.compress(b"plain"), "gzip", b"plain"),
        (gzip.compress(b"plain"), "X-GZip", b"plain"),
        (zlib.compress(b"plain"), "deflate", b"plain"),
        (zlib.compress(b"plain")[2:-4], "deflate", b"plain"),
        (b"", "gzip", b""),
        (b"not asked for", "br", WireInvalidResponse),
        (b"plain", "identity", b"plain"),
        (gzip.compress(b"plain")[:-1], "gzip", WireInvalidResponse),
        (gzip.compress(b"plain") + b"x", "gzip", WireInvalidResponse),
        (b"plain", "gzip", WireInvalidResponse),
        (b"plain", "deflate", WireInvalidResponse),
        (gzip.compress(b"a" * 20_000), "gzip", b"a" * 20_000),
        (gzip.compress(b"a" * 20_001), "gzip", WireResponseTooLarge),
        (gzip.compress(b"a" * 50_000_000)[:19_000], "gzip", WireResponseTooLarge),
    ],
    ids=range(14),
)
def test_a_coded_body_is_decoded_within_the_bound(
    loop: Loop, body: bytes, coding: str, expected: bytes | type[Exception]
) -> None:
    async def main() -> None:
        peer = Peer()
        peer.answers["/coded"] = http(200, body, f"content-encoding: {coding}\r\n")
        async with raw_server(peer) as server:
            wire = wire_to(server)
            if isinstance(expected, bytes):
                assert (await wire.send(get("/coded"))).body == expected
            else:
                with pytest.raises(expected):
                    await wire.send(get("/coded"))
            assert (await wire.send(ASK)).status == 200
            assert len(set(peer.connections)) == 1, "the framing was valid"
            await wire.close()

    loop(main())


REFUSED = {
    "CR LF in a value": WireRequest("GET", "/", {"x": "a\r\ny: b"}),
    "LF in a value": WireRequest("GET", "/", {"x": "a\nb"}),
    "CR in a value": WireRequest("GET", "/", {"x": "a\rb"}),
    "zero byte in a value": WireRequest("GET", "/", {"x": "a\0b"}),
    "no latin-1 in a value": WireRequest("GET", "/", {"x": "Ł"}),
    "CR LF in a name": WireRequest("GET", "/", {"x\r\ny": "b"}),
    "a colon in a name": WireRequest("GET", "/", {"x:y": "b"}),
    "a space in a name": WireRequest("GET", "/", {"x ": "b"}),
    "an empty name": WireRequest("GET", "/", {"": "b"}),
    "no ASCII in a name": WireRequest("GET", "/", {"é": "b"}),
    "CR LF in the target": WireRequest("GET", "/ HTTP/1.1\r\nx: y\r\n\r\n", {}),
    "a space in the target": WireRequest("GET", "/a b", {}),
    "a zero byte in the target": WireRequest("GET", "/\0", {}),
    "no ASCII in the target": WireRequest("GET", "/é", {}),
    "no path": WireRequest("GET", "a", {}),
    "a method of two words": WireRequest("GET /x HTTP/1.1\r\nPOST", "/", {}),
    "a length of the caller's": WireRequest("POST", "/", {"Content-Length": "1"}, b"abc"),
    "a coding of the caller's": WireRequest("POST", "/", {"transfer-encoding": "chunked"}, b"abc"),
    "a host of the caller's": WireRequest("GET", "/", {"host": "elsewhere"}),
    "a connection of the caller's": WireRequest("GET", "/", {"connection": "close"}),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_request_with_invalid_characters_is_refused_and_nothing_is_sent(what: str) -> None:
    async with raw_server(Peer()) as server:
        wire = wire_to(server)
        with pytest.raises(ValueError):
            await wire.send(REFUSED[what])
        assert server.requests == [] and server.open == 0
        await wire.close()


async def test_a_request_is_encoded_as_http_1_1() -> None:
    async with raw_server(Peer()) as server:
        wire = H1Wire(f"http://LOCALHOST:{server.port}/v1", connections=1, max_body=1000, at="127.0.0.1")
        for request in (
            WireRequest("GET", "/a?b=%20", {"x-a": "é", "accept": "*/*"}),
            WireRequest("POST", "/", {}, b"abc"),
            WireRequest("POST", "/", {}),
            WireRequest("DELETE", "/", {}),
        ):
            await wire.send(request)
        host = b"host: localhost:%d\r\n" % server.port
        assert server.requests == [
            b"GET /v1/a?b=%20 HTTP/1.1\r\n" + host + b"x-a: \xe9\r\naccept: */*\r\n\r\n",
            b"POST /v1/ HTTP/1.1\r\n" + host + b"content-length: 3\r\n\r\n",
            b"POST /v1/ HTTP/1.1\r\n" + host + b"content-length: 0\r\n\r\n",
            b"DELETE /v1/ HTTP/1.1\r\n" + host + b"\r\n",
        ]
        await wire.close()


def test_closing_a_wire_ends_its_calls_and_refuses_new_ones(loop: Loop) -> None:
    async def main() -> None:
        peer = Peer()
        async with raw_server(peer) as server:
            wire = wire_to(server)
            calls = [asyncio.create_task(wire.send(get("/hold"))) for _ in range(5)]
            await until(lambda: len(server.requests) == 2)
            await wire.close()
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(one) for one in ends] == [WireConnectionError] * 5
            with pytest.raises(WireConnectionError):
                await wire.send(ASK)
            peer.release.set()
            await until(lambda: server.open == 0)

    loop(main())


def test_https_addresses_are_refused() -> None:
    with pytest.raises(ValueError):
        H1Wire("https://127.0.0.1", connections=1, max_body=1)


@contextlib.contextmanager
def full(ip: str, port: int) -> Any:
    """A listener that accepts no connection, so clients wait."""
    with socket.socket() as listening, contextlib.ExitStack() as stack:
        listening.bind((ip, port))
        listening.listen(0)
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex((ip, port))
        yield


async def test_the_next_address_is_tried_when_one_is_silent_or_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(h1_connector, "ATTEMPT_DELAY", 0.05)
    ips = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
    asked = 0

    async def getaddrinfo(host: str, port: int, *, type: int, **_: Any) -> list[Any]:
        nonlocal asked
        asked += 1
        return [(socket.AF_INET, type, 6, "", (ip, port)) for ip in ips]

    async with raw_server(Peer()) as server:
        with full("127.0.0.2", server.port):
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
            wire = H1Wire(f"http://shop.test:{server.port}", connections=3, max_body=1000)
            answers = await asyncio.gather(*(wire.send(ASK) for _ in range(3)))
            assert [one.status for one in answers] == [200] * 3
            assert asked == 1, "one lookup for all"
            assert wire._connector._known[0][1] == "127.0.0.1", "the one that worked comes first from now on"
            await wire.close()


async def test_a_connection_attempt_cancelled_by_the_caller_leaks_nothing() -> None:
    async with raw_server(Peer()) as server:
        port = server.port
    with full("127.0.0.4", port):
        wire = H1Wire(f"http://127.0.0.4:{port}", connections=1, max_body=1000)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await wire.send(ASK)
        assert (wire._slots, len(wire._open)) == (0, 0)
        await wire.close()
