"""Requests and answers on which two readers could differ, through a forward: what leaves the gateway has one meaning.

Each request is sent on a raw socket to the connection of `bff serve`, with a second one behind it. The service records
every byte: it gets at most one request for each, in the gateway's own framing (RFC 9112 section 6.3, section 11.2).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from bff import Gateway, Upstream

from ..waiting import GUARD, close_listener
from .gateway import settings_for
from .own_connection import behind_own_connection
from .scripted import upstream as keys


class Store(Upstream, team="Store", contact="#store", service="store"):
    """The service."""


@dataclass
class Recorder:
    """Reads whatever arrives, and answers each head that it finds. answer: the bytes of the answer."""

    port: int = 0
    received: list[bytes] = field(default_factory=list)
    answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at, pending = len(self.received), b""
        self.received.append(b"")
        try:
            while data := await reader.read(65_536):
                self.received[at] += data
                pending += data
                if _is_complete(pending):
                    writer.write(self.answer)
                    await writer.drain()
                    pending = b""
        except ConnectionError:
            pass
        finally:
            writer.close()

    @property
    def everything(self) -> bytes:
        return b"".join(self.received)


def _is_complete(data: bytes) -> bool:
    """Whether a whole request has arrived; in the gateway's framing it is easy to see."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if b"transfer-encoding" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(separator) and len(body) >= int(length.group(1) if length else 0)


@dataclass
class World:
    store: Recorder
    port: int


@asynccontextmanager
async def running(redis_url: str) -> AsyncIterator[World]:
    store = Recorder()
    listening = await asyncio.start_server(store.serve, "127.0.0.1", 0)
    store.port = listening.sockets[0].getsockname()[1]
    async with keys() as scripted:
        settings = settings_for(
            redis_url, scripted.port, GUARD, upstreams={"store": {"url": f"http://127.0.0.1:{store.port}"}}
        )
        gateway = Gateway("files", deadline=2, settings=settings)
        gateway.forward("/files/{name}", Store(), "/v1/{name}", methods=("GET", "POST"), public=True)
        runtime = await gateway.start()
        try:
            async with behind_own_connection(gateway, runtime) as port:
                yield World(store, port)
        finally:
            await close_listener(listening)
            await gateway.stop()


async def exchange(port: int, data: bytes) -> bytes:
    """All that is answered until the connection ends or is quiet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answered = b""
    try:
        async with asyncio.timeout(1.5):
            while piece := await reader.read(65_536):
                answered += piece
                if answered.count(b"HTTP/1.1 ") >= 2 and answered.endswith(b"ok"):
                    break
    except TimeoutError:
        pass
    finally:
        writer.close()
    return answered


POST = b"POST /files/a HTTP/1.1\r\nhost: x\r\n"
HIDDEN = b"GET /files/hidden HTTP/1.1\r\nhost: x\r\n\r\n"
REQUESTS = {
    "length and chunks": POST + b"content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG",
    "chunks and length": POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "the same length twice": POST + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"content-length: 3, 3\r\n\r\nabc",
    "a signed length": POST + b"content-length: +3\r\n\r\nabc",
    "a length in hexadecimal": POST + b"content-length: 0x3\r\n\r\nabc",
    "chunked twice": POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and another coding": POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked with a blank before the colon": POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunked behind a tab": POST + b"transfer-encoding:\tchunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "chunked that is not": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a folded line": POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a bare line feed": b"POST /files/a HTTP/1.1\nhost: x\ncontent-length: 3\n\nabc",
    "a carriage return in a value": POST + b"x: a\rcontent-length: 3\r\n\r\n",
    "a null in a value": POST + b"x: a\x00b\r\ncontent-length: 3\r\n\r\nabc",
    "a chunk size that overflows": POST
    + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff1\r\na\r\n0\r\n\r\n",
    "a chunk without an end": POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabcX0\r\n\r\n",
    "HTTP/1.0 with chunks": b"POST /files/a HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"POST /files/a HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc",
    "two hosts": b"POST /files/a HTTP/1.1\r\nhost: x\r\nhost: y\r\ncontent-length: 3\r\n\r\nabc",
    "an encoded line end in the path": b"GET /files/a%0d%0aevil HTTP/1.1\r\nhost: x\r\n\r\n",
    "an offer of h2c": POST
    + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc",
}
# Read in one way, and passed on in ours.
PLAIN = {
    "an upper-case coding": POST + b"Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunk extensions": POST + b"transfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0;c\r\n\r\n",
    "trailers": POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-evil: 1\r\n\r\n",
    "a body with a GET": b"GET /files/a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
    "connection names a header": POST
    + b"connection: x-secret\r\nx-secret: 1\r\ncontent-length: 3\r\n\r\nabc",
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_ambiguous_request_is_refused_or_has_one_meaning(redis_url: str, name: str) -> None:
    async with running(redis_url) as world:
        answered = await exchange(world.port, REQUESTS[name] + HIDDEN)
        sent = world.store.everything
        heads = re.findall(rb"(?:GET|POST) (\S+) HTTP/1\.1\r\n", sent)
        status = answered.split(b" ", 2)[1:2]
        if status in ([b"400"], [b"404"], [b"431"], []):
            assert b"/v1/a" not in sent, "what is refused is not passed on"
        assert len(heads) <= 2 and set(heads) <= {b"/v1/a", b"/v1/hidden"}
        if b"/v1/hidden" in heads:
            # Only where the first request was complete, and was answered as one of its own.
            assert answered.count(b"HTTP/1.1 ") == 2
        assert b"evil" not in sent


@pytest.mark.parametrize("name", PLAIN)
async def test_a_request_is_passed_on_in_the_gateways_own_framing(redis_url: str, name: str) -> None:
    async with running(redis_url) as world:
        answered = await exchange(world.port, PLAIN[name] + HIDDEN)
        assert answered.count(b"HTTP/1.1 200 OK") == 2, answered
        sent = world.store.everything.lower()
        assert sent.count(b"/v1/a http/1.1") == 1 and sent.count(b"/v1/hidden http/1.1") == 1
        assert b"evil" not in sent and b"x-secret" not in sent and b";a=b" not in sent


OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
STOLEN = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen"
ANSWERS = {
    "length and chunks": OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + STOLEN,
    "two lengths": OK + b"content-length: 2\r\ncontent-length: 5\r\n\r\nokxxx" + STOLEN,
    "more than announced": OK + b"content-length: 2\r\n\r\nok" + STOLEN,
    "chunked and another coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + STOLEN,
    "a body with 304": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\nstolen" + STOLEN,
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
    + STOLEN,
    "a bare line feed": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok" + STOLEN,
    "a header with a line end": OK + b"x: a\r\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\nok",
    "nothing of HTTP": b"stolen\r\n\r\n",
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_ambiguous_answer_never_becomes_the_answer_to_another_request(
    redis_url: str, name: str
) -> None:
    async with running(redis_url) as world, httpx.AsyncClient(trust_env=False, timeout=GUARD) as client:
        world.store.answer = ANSWERS[name]
        url = f"http://127.0.0.1:{world.port}/files/a"
        try:
            first = await client.get(url)
        except httpx.RemoteProtocolError:
            first = None
        assert first is None or first.status_code in (200, 304, 502)
        assert first is None or (b"stolen" not in first.content and "set-cookie" not in first.headers)
        world.store.answer = OK + b"content-length: 4\r\n\r\nmine"
        for _ in range(3):
            again = await client.get(url)
            assert (again.status_code, again.content) in ((200, b"mine"), (502, again.content))
            assert b"stolen" not in again.content


async def test_interim_answers_are_consumed_and_trailers_dropped(redis_url: str) -> None:
    async with running(redis_url) as world, httpx.AsyncClient(trust_env=False, timeout=GUARD) as client:
        world.store.answer = (
            b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
            + OK
            + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nset-cookie: a=b\r\n\r\n"
        )
        found = await client.get(f"http://127.0.0.1:{world.port}/files/a")
        assert (found.status_code, found.text) == (200, "ok")
        assert not {"link", "set-cookie"} & set(found.headers)
