"""Input: a `tracestate` with a key twice, with `@` anywhere in a key, with keys of 256 characters, longer than 8,192
characters in all. The whole list was lost each time. And several calls of a request that was not recorded had one and
the same parent id.

Right: W3C Trace Context level 2, sections 3.2 and 3.3 (grammar of keys and values, 32 members, several fields, limits)
and 4.3 (a traceparent that is malformed, repeated, or of a later version). A malformed list is dropped, and the trace
continues without it; everything else reaches the services.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import BaseModel

from bff import Call, Gateway, Upstream, together
from bff.edge.observe.tracestate import LONG, MOST

from ..waiting import GUARD
from ..wire.own_connection import behind_own_connection
from ..wire.upstream import RawServer
from .kit import answer, client, upstream

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
PARENT = f"00-{TRACE}-{SPAN}-00"
Sent = list[tuple[str, str]]


class Thing(BaseModel):
    name: str


class Things(Upstream, team="Things", contact="#things"):
    def one(self, number: int) -> Call[Thing]:
        return self.get("/{number}", Thing, number=number).public()


@asynccontextmanager
async def traced(redis_url: str) -> AsyncIterator[tuple[int, RawServer]]:
    """The port of a gateway whose one screen calls a service three times, and the service."""
    things = Things()
    gateway = Gateway("traced", deadline=GUARD, upstreams=(things,))

    @gateway.view("/three", public=True)
    async def three() -> Thing:
        first, *_ = await together(things.one(1), things.one(2), things.one(3))
        return first

    async with (
        upstream(answer(b'{"name":"x"}')) as server,
        client(gateway, redis_url, {"things": server.port}, limits={"default": "100000/minute"}),
        behind_own_connection(gateway, await gateway.start()) as port,
    ):
        yield port, server


async def forwarded(port: int, server: RawServer, headers: Sent) -> list[tuple[str, str]]:
    """The traceparent and the tracestate (joined) of each call that a request with these headers causes."""
    server.requests.clear()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /three HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n".encode("latin-1"))
    async with asyncio.timeout(30):
        said = await reader.read()
    writer.close()
    assert said.startswith(b"HTTP/1.1 200 "), said
    found = []
    for head in server.requests:
        fields = [line.decode("latin-1").partition(": ") for line in head.split(b"\r\n")[1:]]
        parents = [value for name, _, value in fields if name.lower() == "traceparent"]
        assert len(parents) == 1
        assert re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]", parents[0])
        found.append((parents[0], ",".join(v for n, _, v in fields if n.lower() == "tracestate")))
    assert len(found) == 3 and len({parent for parent, _ in found}) == 3
    assert len({parent[3:35] for parent, _ in found}) == 1, "one trace"
    assert SPAN not in {parent[36:52] for parent, _ in found}, "a parent of our own"
    return found


GOES_ON = {
    "plain": PARENT,
    "blanks around it": f"\t {PARENT} \t",
    "sampled": f"00-{TRACE}-{SPAN}-01",
    "unknown flags": f"00-{TRACE}-{SPAN}-fc",
    "a later version": f"cc-{TRACE}-{SPAN}-01",
    "a later version with more": f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
}
ENDS = {
    "more in version 00": f"{PARENT}-what-the-future-will-be-like",
    "a full stop": f"{PARENT}.",
    "a later version with a full stop": f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
    "version ff": f"ff-{TRACE}-{SPAN}-01",
    "an invalid version": f".0-{TRACE}-{SPAN}-01",
    "another invalid version": f"0.-{TRACE}-{SPAN}-01",
    "a version of three": f"000-{TRACE}-{SPAN}-01",
    "a version of four": f"0000-{TRACE}-{SPAN}-01",
    "a version of one": f"0-{TRACE}-{SPAN}-01",
    "a trace of zeros": f"00-{'0' * 32}-{SPAN}-01",
    "a trace with a stop in front": f"00-.{TRACE[1:]}-{SPAN}-01",
    "a trace with a stop behind": f"00-{TRACE[:-1]}.-{SPAN}-01",
    "a trace that is too long": f"00-{TRACE}3-{SPAN}-01",
    "a trace that is too short": f"00-{TRACE[:-1]}-{SPAN}-01",
    "a trace in capitals": f"00-{'AB' * 16}-{SPAN}-01",
    "a parent of zeros": f"00-{TRACE}-{'0' * 16}-01",
    "a parent with a stop in front": f"00-{TRACE}-.{SPAN[1:]}-01",
    "a parent with a stop behind": f"00-{TRACE}-{SPAN[:-1]}.-01",
    "a parent that is too long": f"00-{TRACE}-{SPAN}7-01",
    "a parent that is too short": f"00-{TRACE}-{SPAN[:-1]}-01",
    "flags with a stop in front": f"00-{TRACE}-{SPAN}-.0",
    "flags with a stop behind": f"00-{TRACE}-{SPAN}-0.",
    "flags of three": f"00-{TRACE}-{SPAN}-001",
    "flags of one": f"00-{TRACE}-{SPAN}-1",
    "nothing": "",
    "what Python counts as a blank": f"\xa0{PARENT}",
}


async def test_a_valid_trace_continues_and_an_invalid_one_is_replaced(redis_url: str) -> None:
    async with traced(redis_url) as (port, server):
        for why, parent in GOES_ON.items():
            for name in ("traceparent", "TraceParent", "TRACEPARENT"):
                found = await forwarded(port, server, [(name, parent), ("tracestate", "foo=1")])
                assert {(one[3:35], state) for one, state in found} == {(TRACE, "foo=1")}, why
        for flags in ("02", "03"):
            found = await forwarded(port, server, [("traceparent", f"00-{TRACE}-{SPAN}-{flags}")])
            assert all(int(one[-2:], 16) & 2 for one, _ in found), (
                "the trace id is marked as random as before"
            )
        for why, parent in ENDS.items():
            found = await forwarded(port, server, [("traceparent", parent), ("tracestate", "foo=1")])
            assert all(TRACE not in one and state == "" for one, state in found), why
        odd: list[Sent] = [
            [],
            [("tracestate", "foo=1")],
            [("tracestate", "foo=1,bar=2")],
            [("trace-parent", PARENT)],
            [("trace.parent", PARENT)],
            [("traceparent", PARENT), ("traceparent", PARENT.replace("9012-", "9011-"))],
            [("traceparent", PARENT), ("traceparent", PARENT), ("tracestate", "foo=1")],
        ]
        for headers in odd:
            found = await forwarded(port, server, headers)
            assert all("3456789012345678901" not in one and state == "" for one, state in found), headers


PLAIN = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
CHARACTERS = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")
MANY = [f"bar{number:02}={number:02}" for number in range(1, 34)]
# The header fields, and the list that services receive.
KEPT: list[tuple[list[str], str]] = [
    (["foo=1,bar=2"], "foo=1,bar=2"),
    (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
    ([""], ""),
    ([" , ,\t"], ""),
    (["foo=1", ""], "foo=1"),
    (["", "foo=1"], "foo=1"),
    (["foo=1,,bar=2, ,"], "foo=1,bar=2"),
    (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
    (["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
    (["\t foo=1 \t"], "foo=1"),
    (["foo=  1"], "foo=  1"),
    (["foo=1,foo=1"], "foo=1"),
    (["foo=1,foo=2"], "foo=1"),
    (["foo=1", "bar=2", "foo=3"], "foo=1,bar=2"),
    ([f"{PLAIN}={CHARACTERS}"], f"{PLAIN}={CHARACTERS}"),
    ([f"{PLAIN}@a-z0-9_-*/={CHARACTERS}"], f"{PLAIN}@a-z0-9_-*/={CHARACTERS}"),
    (["foo@=1,bar=2"], "foo@=1,bar=2"),
    (["foo@@bar=1,bar=2"], "foo@@bar=1,bar=2"),
    (["foo@bar@baz=1,bar=2"], "foo@bar@baz=1,bar=2"),
    (["1foo=1,0=2"], "1foo=1,0=2"),
    (["foo=1", "z" * 256 + "=1"], "foo=1," + "z" * 256 + "=1"),
    (["foo=1", "t" * 241 + "@" + "v" * 14 + "=1"], "foo=1," + "t" * 241 + "@" + "v" * 14 + "=1"),
    (["foo=1", "t" * 242 + "@v=1"], "foo=1," + "t" * 242 + "@v=1"),
    (["foo=1", "t@" + "v" * 15 + "=1"], "foo=1,t@" + "v" * 15 + "=1"),
    (["foo=" + "x" * 256], "foo=" + "x" * 256),
    ([",".join(MANY[:10]), ",".join(MANY[10:32])], ",".join(MANY[:32])),
    ([",".join(MANY[:32]) + ",,"], ",".join(MANY[:32])),
]
LOST = [
    ["foo =1"],
    ["FOO=1"],
    ["foo.bar=1"],
    ["@foo=1,bar=2"],
    ["_foo=1,bar=2"],
    ["=1,bar=2"],
    ["foo,bar=2"],
    ["foo=bar=baz"],
    ["foo=,bar=3"],
    ["foo=1", "z" * 257 + "=1"],
    ["foo=" + "x" * 257],
    ["foo=\xe4,bar=2"],
    ["\xa0foo=1"],
    ["foo=a\tb"],
    [",".join(MANY[:32]), MANY[32]],
]


async def test_a_valid_list_is_passed_on_unchanged_and_an_invalid_one_is_dropped(redis_url: str) -> None:
    async with traced(redis_url) as (port, server):
        for fields, kept in [*KEPT, *((one, "") for one in LOST)]:
            for name in ("tracestate", "TraceState"):
                headers = [("traceparent", PARENT), *((name, field) for field in fields)]
                found = await forwarded(port, server, headers)
                assert {(one[3:35], state) for one, state in found} == {(TRACE, kept)}, fields
        for name in ("trace-state", "trace.state"):
            assert {
                state
                for _, state in await forwarded(port, server, [("traceparent", PARENT), (name, "foo=1")])
            } == {""}


@pytest.mark.parametrize("members", [20, 32])
async def test_a_list_that_is_too_long_loses_whole_members_long_ones_first(
    redis_url: str, members: int
) -> None:
    short = [f"s{number}={'x' * 100}" for number in range(members // 2)]
    long = [f"l{number}={'y' * 256}" for number in range(members - members // 2)]
    mixed = [one for pair in zip(long, short, strict=True) for one in pair]
    async with traced(redis_url) as (port, server):
        headers = [("traceparent", PARENT), ("tracestate", ",".join(mixed))]
        ((state,),) = [{state for _, state in await forwarded(port, server, headers)}]
        kept = state.split(",")
        assert len(state) <= MOST
        assert set(short) <= set(kept), "those of at most 128 characters stay"
        assert kept == [one for one in mixed if one in set(kept)], "in their order"
        gone = [one for one in mixed if one not in set(kept)]
        assert all(len(one) > LONG for one in gone)
        assert (gone == long[-len(gone) :]) if gone else len(",".join(mixed)) <= MOST
        whole = [f"m{number:02}={'x' * 124}" for number in range(32)]
        headers = [("traceparent", PARENT), ("tracestate", ",".join(whole))]
        assert {state for _, state in await forwarded(port, server, headers)} == {",".join(whole[:31])}
