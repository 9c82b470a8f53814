"""One connection and the bytes it receives: valid and invalid responses, independent of the pieces in which they
arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bff.transport.h1_connection import MAX_FIELDS, MAX_HEAD, MAX_INTERIM, Connection
from bff.transport.wire import (
    WireConnectionError,
    WireError,
    WireInvalidResponse,
    WireResponse,
    WireResponseTooLarge,
)

MAX_BODY = 1000
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Socket(asyncio.Transport):
    """The transport of a connection. closed: True after `abort`."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return self.unsent


class CountingPool:
    """Counts the calls of its methods."""

    def __init__(self) -> None:
        self.released = 0
        self.lost = 0

    def release(self, connection: Connection) -> None:
        self.released += 1

    def on_lost(self, connection: Connection) -> None:
        self.lost += 1


@dataclass(frozen=True)
class Outcome:
    """The answer or the error. kept: True when the connection may be used again."""

    answer: WireResponse | None
    error: tuple[type[WireError], str, bool] | None
    kept: bool


async def exchange(
    pieces: Iterable[bytes], *, end: bool = True, head: bool = False, used: bool = False
) -> Outcome:
    """Send a request and receive these pieces. end: the service closes the connection after them."""
    connection, socket, pool = Connection(MAX_BODY), Socket(), CountingPool()
    connection.connection_made(socket)
    connection.join(pool)
    if used:
        first = connection.send(b"x", no_body=False)
        connection.data_received(OK + b"content-length: 0\r\n\r\n")
        await first
    waiting = connection.send(b"x", no_body=head)
    for piece in pieces:
        if not socket.closed:
            connection.data_received(piece)
    kept = not socket.closed
    if not socket.closed and end:
        connection.eof_received()
    if socket.closed:
        connection.connection_lost(None)
        assert pool.lost == 1
    assert waiting.done() == (socket.closed or pool.released > used)
    if not waiting.done():
        return Outcome(None, None, kept)
    error = waiting.exception()
    if error is None:
        return Outcome(waiting.result(), None, kept)
    assert isinstance(error, WireError)
    return Outcome(None, (type(error), str(error), getattr(error, "stale", False)), False)


def run(data: bytes, cuts: Iterable[int] = (), **how: Any) -> Outcome:
    edges = [0, *sorted(cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(edges) if begin < end]
    return asyncio.run(exchange(pieces, **how))


def alike(one: Outcome, other: Outcome, data: bytes) -> bool:
    """Whether both outcomes are the same. llhttp skips line breaks after an answer when they arrive in the same piece,
    so they end the connection only when they arrive separately."""
    if data[-1:] in (b"\r", b"\n"):
        one, other = replace(one, kept=False), replace(other, kept=False)
    # Compared as text, because errors are compared by their messages.
    return str(one) == str(other)


def everywhere(data: bytes, **how: Any) -> Outcome:
    """The outcome, which must be the same for every cut into two pieces and for single bytes."""

    async def all_ways() -> list[Outcome]:
        ways = [[data]] + [[data[:at], data[at:]] for at in range(1, len(data))]
        ways.append([data[at : at + 1] for at in range(len(data))])
        return [await exchange(way, **how) for way in ways]

    first, *others = asyncio.run(all_ways())
    assert [one for one in others if not alike(one, first, data)] == []
    return first


GOOD: dict[str, tuple[bytes, int, bytes, bool]] = {
    "a length": (OK + b"content-length: 3\r\n\r\nabc", 200, b"abc", True),
    "length zero": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\na", 200, b"a", True),
    "chunks": (CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", 200, b"abc", True),
    "chunks, none": (CHUNKED + b"0\r\n\r\n", 200, b"", True),
    "Chunked": (OK + b"Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 200, b"a", True),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\nstatus: 500\r\nx: y\r\n\r\n", 200, b"a", True),
    "204": (b"HTTP/1.1 204 X\r\n\r\n", 204, b"", True),
    "204 with a length": (b"HTTP/1.1 204 X\r\ncontent-length: 3\r\n\r\n", 204, b"", False),
    "304 with the length it would have": (
        b"HTTP/1.1 304 X\r\ncontent-length: 999999\r\n\r\n",
        304,
        b"",
        True,
    ),
    "close": (OK + b"connection: x, Close\r\ncontent-length: 1\r\n\r\na", 200, b"a", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na", 200, b"a", False),
    "until it closes": (OK + b"x: y\r\n\r\nabc", 200, b"abc", True),
    "until it closes, nothing": (OK + b"\r\n", 200, b"", True),
    "1.0 until it closes": (b"HTTP/1.0 200 OK\r\n\r\nabc", 200, b"abc", True),
    "interim": (
        b"HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\nlink: <x>\r\n\r\n" + OK + b"content-length: 1\r\n\r\na",
        200,
        b"a",
        True,
    ),
    "a second answer": (
        OK + b"content-length: 1\r\n\r\na" + OK + b"content-length: 1\r\n\r\nb",
        200,
        b"a",
        False,
    ),
    "more than its length": (OK + b"content-length: 1\r\n\r\nabc", 200, b"a", False),
    "more after the last chunk": (CHUNKED + b"1\r\na\r\n0\r\n\r\nabc", 200, b"a", False),
    "body after 204": (b"HTTP/1.1 204 X\r\n\r\nabc", 204, b"", False),
    "upgrade that is none": (
        OK + b"upgrade: x\r\nconnection: upgrade\r\ncontent-length: 1\r\n\r\na",
        200,
        b"a",
        True,
    ),
    "as many fields as may be": (
        OK + b"a:b\r\n" * (MAX_FIELDS - 1) + b"content-length: 0\r\n\r\n",
        200,
        b"",
        True,
    ),
    "600": (b"HTTP/1.1 600 X\r\ncontent-length: 1\r\n\r\na", 600, b"a", True),
    "large enough": (OK + b"content-length: 1000\r\n\r\n" + b"a" * 1000, 200, b"a" * 1000, True),
}

CUT = {
    "nothing", "half a head", "half a body", "half a chunk", "no last chunk", "half of the end", "half a trailer",
    "interim only",
}  # fmt: skip
"""Responses that end too early; all others are not valid HTTP."""
BROKEN = {
    "nothing": b"",
    "no HTTP": b"\x00\x01\x02 what\r\n\r\n",
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "0.9": b"HTTP/0.9 200 OK\r\ncontent-length: 1\r\n\r\na",
    "1.2": b"HTTP/1.2 200 OK\r\ncontent-length: 1\r\n\r\na",
    "2.0": b"HTTP/2.0 200 OK\r\ncontent-length: 1\r\n\r\na",
    "status 099": b"HTTP/1.1 099 OK\r\ncontent-length: 1\r\n\r\na",
    "status 099 as an interim answer": b"HTTP/1.1 099 OK\r\n\r\n" + OK + b"content-length: 0\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 OK\r\ncontent-length: 1\r\n\r\na",
    "half a head": OK + b"content-le",
    "half a body": OK + b"content-length: 5\r\n\r\nabc",
    "half a chunk": CHUNKED + b"5\r\nabc",
    "no last chunk": CHUNKED + b"1\r\na\r\n",
    "half of the end": CHUNKED + b"1\r\na\r\n0\r\n",
    "half a trailer": CHUNKED + b"1\r\na\r\n0\r\nx: y\r\n",
    "interim only": b"HTTP/1.1 100 X\r\n\r\n",
    "bare LF in the status line": b"HTTP/1.1 200 OK\ncontent-length: 1\r\n\r\na",
    "bare LF after a field": OK + b"a: b\ncontent-length: 1\r\n\r\na",
    "bare LF after the head": OK + b"content-length: 1\r\n\na",
    "bare CR in a field": OK + b"a: b\rc: d\r\ncontent-length: 1\r\n\r\na",
    "bare LF after a chunk's size": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "bare LF after a chunk": CHUNKED + b"1\r\na\n0\r\n\r\n",
    "a folded field": OK + b"a: b\r\n c\r\ncontent-length: 1\r\n\r\na",
    "space before the colon": OK + b"a : b\r\ncontent-length: 1\r\n\r\na",
    "space before the first field": OK + b" a: b\r\ncontent-length: 1\r\n\r\na",
    "no name": OK + b": b\r\ncontent-length: 1\r\n\r\na",
    "zero byte": OK + b"a: b\0c\r\ncontent-length: 1\r\n\r\na",
    "control byte": OK + b"a: b\x01\r\ncontent-length: 1\r\n\r\na",
    "length and chunks": OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunks and length": OK + b"transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "two lengths": OK + b"content-length: 1\r\ncontent-length: 3\r\n\r\nabc",
    "the same length twice": OK + b"content-length: 1\r\ncontent-length: 1\r\n\r\na",
    "a list of lengths": OK + b"content-length: 1, 1\r\n\r\na",
    "length with a sign": OK + b"content-length: +1\r\n\r\na",
    "length of nothing": OK + b"content-length: \r\n\r\na",
    "length in hex": OK + b"content-length: 0x1\r\n\r\na",
    "length beyond 64 bits": OK + b"content-length: 18446744073709551617\r\n\r\na",
    "chunk without a size": CHUNKED + b"\r\na\r\n0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+1\r\na\r\n0\r\n\r\n",
    "chunk size with 0x": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "chunk size and space": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "chunk size beyond 64 bits": CHUNKED + b"10000000000000001\r\na\r\n0\r\n\r\n",
    "chunk longer than it says": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "gzip, chunked": OK + b"transfer-encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunked, identity": OK + b"transfer-encoding: chunked, identity\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunked twice": OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": OK + b"transfer-encoding: identity\r\n\r\na",
    "xchunked": OK + b"transfer-encoding: xchunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "chunks in 1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "101": b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc",
    "101 without a word": b"HTTP/1.1 101 X\r\n\r\n",
    "interim with a length": b"HTTP/1.1 103 X\r\ncontent-length: 3\r\n\r\nabc" + OK + b"content-length: 1\r\n\r\na",
    "interim in chunks": b"HTTP/1.1 102 X\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + OK + b"\r\n",
    "interim with a coding": b"HTTP/1.1 103 X\r\ntransfer-encoding: chunked\r\n\r\n" + OK + b"\r\n",
    "too many interims": b"HTTP/1.1 100 X\r\n\r\n" * (MAX_INTERIM + 1) + OK + b"content-length: 0\r\n\r\n",
    "too many fields": OK + b"a:b\r\n" * MAX_FIELDS + b"content-length: 0\r\n\r\n",
    "too many trailers": CHUNKED + b"0\r\n" + b"a:b\r\n" * (MAX_FIELDS + 1) + b"\r\n",
}  # fmt: skip

TOO_LARGE = {
    "by its length": OK + b"content-length: 1001\r\n\r\n",
    "by its chunks": CHUNKED + b"1ff\r\n" + b"a" * 511 + b"\r\n1ff\r\n" + b"a" * 511 + b"\r\n0\r\n\r\n",
    "until it closes": OK + b"\r\n" + b"a" * 1001,
}


@pytest.mark.parametrize("name", GOOD)
def test_a_response_is_the_same_wherever_it_is_cut(name: str) -> None:
    data, status, body, kept = GOOD[name]
    found = everywhere(data)
    assert found.answer is not None and found.error is None
    assert (found.answer.status, found.answer.body, found.kept) == (status, body, kept)
    assert not {"status", "link"} & set(found.answer.headers), "a trailer's or an interim answer's field"


@pytest.mark.parametrize("name", BROKEN)
def test_an_invalid_response_is_invalid_wherever_it_is_cut(name: str) -> None:
    found = everywhere(BROKEN[name])
    assert found.answer is None and found.error is not None
    cut = name in CUT
    assert (found.error[0], found.error[2], found.kept) == (
        WireConnectionError if cut else WireInvalidResponse,
        False,
        False,
    )


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_body_over_the_limit_is_too_large_wherever_it_is_cut(name: str) -> None:
    found = everywhere(TOO_LARGE[name])
    assert found.error is not None and found.error[0] is WireResponseTooLarge and not found.kept


@pytest.mark.parametrize("name", [name for name in GOOD if "until" not in name])
def test_an_incomplete_response_is_never_a_response(name: str) -> None:
    data = GOOD[name][0]
    whole = next(at for at in range(len(data) + 1) if run(data[:at], end=False).answer is not None)
    for at in range(whole):
        found = run(data[:at])
        assert found.error is not None and found.error[0] is WireConnectionError, data[:at]


def test_a_connection_is_stale_only_when_it_was_used_before_and_no_byte_came() -> None:
    for used in (False, True):
        for data in (b"", b"H", b"HTTP/1.1 100 X\r\n\r\n", OK):
            error = run(data, used=used).error
            assert error is not None and error[2] == (used and data == b"")


@pytest.mark.parametrize("framing", [b"content-length: 5000000\r\n", b"transfer-encoding: chunked\r\n", b""])
def test_the_response_to_head_has_no_body_and_closes_its_connection(framing: bytes) -> None:
    for after in (b"", b"abc"):
        found = everywhere(OK + framing + b"\r\n" + after, head=True)
        assert found.answer is not None and (found.answer.body, found.kept) == (b"", False)


def test_fields_have_lower_case_names_and_their_values_no_space_around() -> None:
    found = everywhere(OK + b"X-A:  b \t\r\nx-a: \xe9\r\nX-C:\r\ncontent-length: 0\r\n\r\n")
    assert found.answer is not None
    assert found.answer.headers == {"x-a": "b, é", "x-c": "", "content-length": "0"}


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 100 X\r\n\r\n"])
def test_a_head_of_the_maximum_size_is_accepted_and_one_byte_more_is_not(before: bytes) -> None:
    for over in (0, 1):
        ends = before + OK + b"a: %b\r\ncontent-length: 1\r\n\r\n"
        data = ends % (b"b" * (MAX_HEAD + over - len(ends) + 2))
        assert len(data) == MAX_HEAD + over
        for cuts in ((), (5,), (MAX_HEAD - 1,), (MAX_HEAD,), range(0, MAX_HEAD, 100)):
            found = run(data + b"x", cuts)
            assert (found.answer is None) == bool(over), (over, cuts)
            assert found.answer is not None or found.error is not None


@pytest.mark.parametrize(
    "rest",
    [
        b"1;" + b"x" * 200_000,
        b"0\r\nx: " + b"y" * 200_000,
        # Each of them is small.
        (b"1;" + b"x" * 100 + b"\r\na\r\n") * 900,
        (b"0" * 100 + b"1\r\na\r\n") * 900,
        b"0\r\n" + (b"x:" + b" " * 1_000 + b"y\r\n") * 200,
    ],
)
def test_unbounded_framing_is_refused(rest: bytes) -> None:
    data = CHUNKED + b"1\r\na\r\n" + rest
    for step in (1000, 10_000):
        found = run(data, range(0, len(data), step), end=False)
        assert found.error is not None and found.error[0] is WireInvalidResponse


def test_a_body_in_many_small_chunks_is_accepted() -> None:
    data = CHUNKED + (b"1;" + b"x" * 70 + b"\r\na\r\n") * 900 + b"0\r\n\r\n"
    assert len(data) > MAX_HEAD
    for step in (50, 1000, len(data)):
        found = run(data, range(0, len(data), step), end=False)
        assert found.answer is not None and found.answer.body == b"a" * 900


def test_unsolicited_bytes_close_an_idle_connection() -> None:
    whole = OK + b"content-length: 1\r\n\r\na"
    for late in (b"\r\n", b"x", whole):
        found = run(whole + late, (len(whole),))
        assert found.answer is not None and not found.kept


async def test_a_response_before_the_request_was_sent_closes_its_connection() -> None:
    connection, socket, pool = Connection(MAX_BODY), Socket(), CountingPool()
    connection.connection_made(socket)
    connection.join(pool)
    waiting = connection.send(b"x", no_body=False)
    socket.unsent = 1
    connection.data_received(OK + b"content-length: 0\r\n\r\n")
    assert (await waiting).status == 200
    assert socket.closed and pool.released == 0


def _framed(body: bytes, how: str, sizes: list[int]) -> bytes:
    if how == "length":
        return b"content-length: %d\r\n\r\n%b" % (len(body), body)
    if how == "close":
        return b"\r\n" + body
    chunks, at = b"", 0
    for size in [*sizes, len(body)]:
        piece = body[at : at + size]
        at += size
        chunks += b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
    return b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Good answers, and ones with a byte or two changed, put in or left out."""
    names = st.sampled_from([b"x-a", b"Content-Type", b"connection", b"date", b"ETag"])
    values = st.sampled_from([b"", b"close", b"keep-alive", b"a, b", b"\xe9", b"application/json"])
    head = b"".join(b"%b: %b\r\n" % pair for pair in draw(st.lists(st.tuples(names, values), max_size=4)))
    status = draw(st.sampled_from([b"1.1 200 OK", b"1.1 404", b"1.0 200 OK", b"1.1 204 X", b"1.1 304 X"]))
    before = draw(st.sampled_from([b"", b"", b"HTTP/1.1 103 X\r\na: b\r\n\r\n"]))
    framed = _framed(
        draw(st.binary(max_size=60)),
        draw(st.sampled_from(["length", "chunks", "close"])),
        draw(st.lists(st.integers(1, 20), max_size=4)),
    )
    data = bytearray(before + b"HTTP/" + status + b"\r\n" + head + framed)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data) - 1))
        left = draw(st.integers(0, 2))
        data[at : at + left] = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\0", b" ", b":", b"0", b"9", b"a", b"\r\n"])
        )
    return bytes(data) + draw(st.sampled_from([b"", b"", b"x", b"HTTP/1.1 200 OK\r\n\r\n"]))


@settings(max_examples=150, deadline=None)
@given(answers())
def test_random_bytes_mean_the_same_wherever_they_are_cut(data: bytes) -> None:
    everywhere(data)


@settings(max_examples=300, deadline=None)
@given(answers(), st.lists(st.integers(0, 200), max_size=12))
def test_random_bytes_mean_the_same_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    assert alike(run(data, [at for at in cuts if at < len(data)]), run(data), data)
