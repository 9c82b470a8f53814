"""`bff serve` against tokens and key sets that are made to be accepted, to cost much, or to make it flood the issuer:
over real sockets, with the gateway's CPU time measured and every fetch of keys counted."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bff.edge.access.issuer import FIRST_GAP, GAP

from ..conftest import Valkey, free_port, start_program, wait_for_port
from ..unit.edge.access.hostile import KEY, KEY_SET, OTHER, battery
from ..unit.edge.access.hostile_keys import CONTROL, TRAPS, good_claims
from ..unit.edge.access.issuing import ISSUER, claims, sign
from ..waiting import until
from .upstream import http, raw_server

MOST = 10.0
"""How many times as much of the gateway's CPU a hostile token may cost as a value that is no token, including HTTP,
log line and problem document. At most four times is usual; the attacks that it is for cost hundreds of times."""
TIMES = 12
"""How often each token is sent; the lowest cost counts. A token costs the same each time. What is added has other
reasons: another process on the machine, or the fetch every second where an issuer has no usable key."""


class Gateway:
    """A process and one kept-alive connection to it."""

    def __init__(
        self, pid: int, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._pid = pid
        self._port = port
        self._reader = reader
        self._writer = writer

    async def another(self) -> Gateway:
        """A second connection."""
        return Gateway(self._pid, self._port, *await asyncio.open_connection("127.0.0.1", self._port))

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, token: str) -> int:
        """The status. The bytes are sent as they are; no client library changes them."""
        self._writer.write(
            b"GET /bff/live/snapshot HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
            + token.encode("utf-8")
            + b"\r\n\r\n"
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0])
        await self._reader.readexactly(length)
        if "connection: close" in head:
            raise ConnectionError(f"closed: {head}")
        return int(head.split(" ")[1])

    async def cost(self, token: str) -> tuple[set[int], float]:
        """The statuses of the answers, and milliseconds of the gateway's CPU for one."""
        statuses, costs = set(), []
        for _ in range(TIMES):
            before = await self.cpu()
            statuses.add(await self.ask(token))
            costs.append(await self.cpu() - before)
        return statuses, min(costs)

    async def cpu(self) -> float:
        """Milliseconds of CPU time so far, of every thread, read once all of them wait: the kernel adds a thread's time
        when it stops running."""
        tasks = Path(f"/proc/{self._pid}/task")

        def waits() -> bool:
            return all(one.read_text().rpartition(")")[2].split()[0] in "SD" for one in tasks.glob("*/stat"))

        await until(waits, "the gateway did not become idle")
        return sum(int(one.read_text().split()[0]) for one in tasks.glob("*/schedstat")) / 1e6


Door = tuple[Gateway, Counter[str]]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front_door(valkey_session: Valkey, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """The gateway, with one issuer for every attack; and how often each issuer's keys were requested."""
    asked: Counter[str] = Counter()
    answers = {f"/{number}": trap for number, trap in enumerate(TRAPS.values())}

    async def answer(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        asked[path] += 1
        if path == "/hangs":
            await asyncio.sleep(3600)
        trap = answers.get(path, CONTROL)
        if path == "/keys":
            writer.write(http(200, json.dumps(KEY_SET).encode()))
        else:
            writer.write(http(trap.status, trap.body, trap.headers))

    async with raw_server(answer) as keys:
        places = {ISSUER: "/keys", _issuer("control"): "/control", _issuer("hangs"): "/hangs"}
        places |= {_issuer(str(number)): f"/{number}" for number in range(len(TRAPS))}
        issuers = [
            {"issuer": issuer, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{keys.port}{path}"}
            for issuer, path in places.items()
        ]
        port = free_port()
        program = start_program(
            [sys.executable, "-m", "bff", "serve", "tests.wire.gateway:served"],
            log=tmp_path_factory.mktemp("door") / "log",
            env={
                "BFF_PORT": str(port),
                "BFF_ADMIN_PORT": str(free_port()),
                "BFF_REDIS__URL": valkey_session.url,
                "BFF_REDIS__TIMEOUT": "10",
                # All of them come from one address; other tests cover the limit of an address.
                "BFF_LIMITS__FAILURES": "1000000/minute",
                "BFF_ADMISSION__LAG": "10",
                "BFF_ADMISSION__STANDING": "10",
                "BFF_ISSUERS": json.dumps(issuers),
                "BFF_UPSTREAMS__SHELF__URL": "http://127.0.0.1:9",
                "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
            },
        )
        try:
            await asyncio.to_thread(wait_for_port, port, process=program.process)
            connection = await asyncio.open_connection("127.0.0.1", port)
            gateway = Gateway(program.process.pid, port, *connection)
            yield gateway, asked
            await gateway.close()
        finally:
            program.kill()


def _issuer(name: str) -> str:
    return f"https://{name}.test"


def _allowed(seconds: float, gap: float) -> int:
    """Fetches that may have begun in that time: the first, and one for each minimum gap that has passed."""
    return 1 + int(seconds / gap)


async def test_no_hostile_token_is_accepted_costs_much_or_floods_the_issuer(
    front_door: Door,
) -> None:
    gateway, asked = front_door
    before_it = asked.copy()
    now = time.time()
    good = sign(KEY, claims(iat=int(now), exp=int(now) + 300))
    began = time.monotonic()
    assert await gateway.ask(good) == 200
    hostile = {name: token for name, token in battery(now).items() if "\n" not in token}
    assert len(hostile) >= 60
    costs: dict[str, float] = {}
    for name, token in hostile.items():
        statuses, costs[name] = await gateway.cost(token)
        assert statuses == {401}, name
    seconds = time.monotonic() - began
    assert await gateway.ask(good) == 200
    dearest = sorted(costs, key=lambda name: -costs[name])[:5]
    print(
        f"\n{len(hostile)} hostile tokens {TIMES} times, none accepted; CPU of the gateway each "
        f"{sum(costs.values()) / len(costs):.3f} ms, at most "
        + ", ".join(f"{costs[name]:.3f} ms ({name})" for name in dearest)
        + f"; keys asked for {asked['/keys'] - before_it['/keys']} times in {seconds:.1f} s"
    )
    _, plain = await gateway.cost("abc")
    assert costs[dearest[0]] < MOST * plain, dearest
    fetched = asked - before_it
    assert fetched["/keys"] <= _allowed(seconds, GAP)
    assert set(fetched) <= {"/keys"}, "no address that a token names is requested"


async def test_no_hostile_key_set_makes_a_token_valid_or_is_fetched_more_often_than_the_gap(
    front_door: Door,
) -> None:
    assert len(TRAPS) >= 20
    gateway, asked = front_door
    now = time.time()
    (control,) = CONTROL.tokens(good_claims(_issuer("control"), now))
    assert await gateway.ask(control) == 200, "the test's own tokens are accepted"
    costs: dict[str, float] = {}
    first: dict[str, float] = {}
    for number, (name, trap) in enumerate(TRAPS.items()):
        began = time.monotonic()
        for token in trap.tokens(good_claims(_issuer(str(number)), now)):
            before = await gateway.cpu()
            # A set without a usable key is treated as no set: that is 503, because it says nothing about the token.
            assert await gateway.ask(token) in (401, 503), name
            first[name] = await gateway.cpu() - before
            statuses, costs[name] = await gateway.cost(token)
            assert statuses <= {401, 503}, name
        allowed = _allowed(time.monotonic() - began, FIRST_GAP)
        assert asked[f"/{number}"] <= allowed, (name, asked)
    dearest, longest = max(costs, key=costs.__getitem__), max(first, key=first.__getitem__)
    print(
        f"\n{len(TRAPS)} hostile key sets, no token accepted; CPU of the gateway for a token at most "
        f"{costs[dearest]:.3f} ms ({dearest}), for the one that had the set fetched at most "
        f"{first[longest]:.3f} ms ({longest})"
    )
    _, plain = await gateway.cost("abc")
    assert costs[dearest] < MOST * plain, dearest

    # And an issuer that never answers: only requests with its tokens wait.
    other = await gateway.another()
    (hanging,) = CONTROL.tokens(good_claims(_issuer("hangs"), now))
    waiting = asyncio.create_task(other.ask(hanging))
    while not asked["/hangs"]:
        await asyncio.sleep(0.01)
    assert await gateway.ask(control) == 200
    assert not waiting.done()
    assert await waiting == 503
    assert asked["/hangs"] == 1
    await other.close()


@pytest.mark.slow
async def test_a_flood_of_unknown_key_ids_fetches_keys_no_more_often_than_the_gap(
    front_door: Door,
) -> None:
    gateway, asked = front_door
    before_it = asked.copy()
    now = time.time()
    good = sign(KEY, claims(iat=int(now), exp=int(now) + 300))
    assert await gateway.ask(good) == 200
    began, number = time.monotonic(), 0
    while time.monotonic() - began < 2 * GAP + 1:
        number += 1
        token = sign(OTHER, claims(iat=int(now), exp=int(now) + 300), kid=f"k{number}")
        assert await gateway.ask(token) == 401
    seconds = time.monotonic() - began
    fetched = asked["/keys"] - before_it["/keys"]
    print(f"\n{number} unknown keys in {seconds:.1f} s: keys asked for {fetched} times")
    assert 2 <= fetched <= _allowed(seconds, GAP)
    assert await gateway.ask(good) == 200
