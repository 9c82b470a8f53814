"""Signing keys over a real socket: an issuer that rotates its keys, is slow, hangs, answers wrongly, or is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from bff.edge.access.fetch import FetchFailed
from bff.edge.access.fetcher import Fetcher
from bff.edge.access.issuer import FRESH, GAP, STALE
from bff.edge.access.jwt import TokenVerifier
from bff.edge.problem import Problem
from bff.edge.settings import IssuerSettings
from tests.unit.edge.access.issuing import ISSUER, NOW, Clocks, claims, ec_key, jwk, sign

from ..waiting import GUARD, until
from .upstream import RawServer, http, raw_server

OLD, NEW = ec_key(), ec_key()

Slowly = Callable[[], Awaitable[None]]


async def _at_once() -> None:
    return None


class Issuer:
    """Answers `/keys` with `body`, and serves its discovery document. `before` runs first and may delay the answer."""

    def __init__(self) -> None:
        self.url = ""
        self.body = json.dumps({"keys": [jwk(OLD, "k1")]}).encode()
        self.status = 200
        self.headers = "content-type: application/json\r\n"
        self.before: Slowly = _at_once
        self.asked: list[str] = []

    async def __call__(self, path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        self.asked.append(path)
        await self.before()
        if path.endswith("openid-configuration"):
            document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
            writer.write(http(200, json.dumps(document).encode()))
        else:
            writer.write(http(self.status, self.body, self.headers))


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    async with raw_server(issuer) as server:
        issuer.url = f"http://127.0.0.1:{server.port}"
        yield issuer


@pytest.fixture
async def bench(issuer: Issuer) -> AsyncIterator[tuple[TokenVerifier, Clocks]]:
    clock, fetch = Clocks(), Fetcher(timeout=GUARD)
    verifier = TokenVerifier([settings(issuer)], fetch, clock, clock)
    yield verifier, clock
    await verifier.close()
    await fetch.close()


def settings(issuer: Issuer, *, discover: bool = False) -> IssuerSettings:
    where = {} if discover else {"jwks_uri": f"{issuer.url}/keys"}
    return IssuerSettings(issuer=issuer.url if discover else ISSUER, audience="shop", **where)


Bench = tuple[TokenVerifier, Clocks]
serial = iter(range(10**6))


def token(key: Any = OLD, kid: str = "k1", **changes: Any) -> str:
    return sign(key, claims(jti=str(next(serial)), exp=int(NOW) + 10**6, **changes), kid=kid)


async def status(verifier: TokenVerifier, text: str) -> int:
    try:
        await verifier.verify(text)
    except Problem as problem:
        return problem.status
    return 200


async def test_a_hundred_tokens_at_once_fetch_the_keys_once(bench: Bench, issuer: Issuer) -> None:
    verifier, _ = bench
    assert await asyncio.gather(*(status(verifier, token()) for _ in range(100))) == [200] * 100
    assert issuer.asked == ["/keys"]


async def test_the_address_of_the_keys_is_found_by_discovery(issuer: Issuer) -> None:
    fetch, clock = Fetcher(timeout=GUARD), Clocks()
    verifier = TokenVerifier([settings(issuer, discover=True)], fetch, clock, clock)
    assert await status(verifier, token(iss=issuer.url)) == 200
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    await verifier.close()
    await fetch.close()


async def test_a_new_key_is_found_with_the_first_token_it_signed(bench: Bench, issuer: Issuer) -> None:
    verifier, clock = bench
    assert await status(verifier, token()) == 200
    issuer.body = json.dumps({"keys": [jwk(OLD, "k1"), jwk(NEW, "k2")]}).encode()
    clock.now += GAP
    assert await asyncio.gather(*(status(verifier, token(NEW, "k2")) for _ in range(20))) == [200] * 20
    assert await status(verifier, token()) == 200
    assert len(issuer.asked) == 2


async def test_made_up_key_ids_do_not_flood_the_issuer(bench: Bench, issuer: Issuer) -> None:
    verifier, clock = bench
    assert await status(verifier, token()) == 200
    clock.now += GAP
    for number in range(200):
        assert await status(verifier, token(NEW, f"made-up-{number}")) == 401
    assert len(issuer.asked) == 2
    clock.now += GAP
    assert await status(verifier, token(NEW, "made-up-0")) == 401
    assert len(issuer.asked) == 2, "an unknown key id is remembered"
    assert await status(verifier, token(NEW, "made-up-500")) == 401
    assert len(issuer.asked) == 3


async def test_a_withdrawn_key_is_noticed_in_the_background(bench: Bench, issuer: Issuer) -> None:
    verifier, clock = bench
    held = token()
    assert await status(verifier, held) == 200
    issuer.body = json.dumps({"keys": [jwk(NEW, "k2")]}).encode()
    clock.now += FRESH

    async def noticed() -> bool:
        return await status(verifier, held) == 401

    await until(noticed)
    assert await status(verifier, token(NEW, "k2")) == 200


async def test_stale_keys_are_used_for_a_day_while_the_issuer_is_away(bench: Bench, issuer: Issuer) -> None:
    verifier, clock = bench
    assert await status(verifier, token()) == 200
    issuer.status = 503
    for _ in range(10):
        clock.now += STALE / 11
        assert await status(verifier, token(iat=int(NOW))) == 200
    clock.now = NOW + STALE
    assert await status(verifier, token()) == 503


@pytest.mark.parametrize(
    ("status_code", "body", "headers"),
    [
        (200, b"not json", ""),
        (200, b"[]", ""),
        (200, b"{}", ""),
        (200, b'{"keys": {}}', ""),
        (200, b'{"keys": [1, null, {"kty": {}}, {"kty": "EC", "crv": ["P-256"]}]}', ""),
        (200, b'{"keys": []}', ""),
        (200, b"[" * 100_000, ""),
        (200, b" " * 300_000, ""),
        (200, b"\x1f\x8b\x08garbage", "content-encoding: gzip\r\n"),
        (500, b"{}", ""),
        (302, b"", "location: http://127.0.0.1:1/keys\r\n"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_an_invalid_key_set_gives_no_keys_and_does_not_replace_known_ones(
    bench: Bench, issuer: Issuer, status_code: int, body: bytes, headers: str
) -> None:
    verifier, clock = bench
    good, issuer.status, issuer.body, issuer.headers = issuer.body, status_code, body, headers
    assert await status(verifier, token()) == 503
    issuer.status, issuer.body, issuer.headers = 200, good, ""
    assert await status(verifier, token()) == 503, "not fetched again within the same second"
    clock.now += 1
    assert await status(verifier, token()) == 200
    issuer.status, issuer.body, issuer.headers = status_code, body, headers
    clock.now += GAP
    assert await status(verifier, token(NEW, "k2")) == 401
    assert await status(verifier, token()) == 200


@pytest.mark.parametrize("patience", [2 * GUARD, 0.5])
async def test_an_issuer_that_hangs_blocks_neither_the_loop_nor_known_tokens(
    issuer: Issuer, patience: float
) -> None:
    clock, fetch = Clocks(), Fetcher(timeout=patience)
    verifier = TokenVerifier([settings(issuer)], fetch, clock, clock)

    async def known() -> bool:
        return await status(verifier, token()) == 200

    await until(known)
    hanging = asyncio.Event()

    async def hang() -> None:
        await hanging.wait()

    issuer.before = hang
    clock.now += FRESH
    async with asyncio.timeout(GUARD):
        assert await status(verifier, token()) == 200, "the fetch continues in the background"
    waiting = [asyncio.ensure_future(status(verifier, token(NEW, f"x{number}"))) for number in range(20)]
    for _ in range(6):
        await asyncio.sleep(0)
    assert not any(one.done() for one in waiting), "the loop runs while they wait"
    if patience > GUARD:
        hanging.set()
    async with asyncio.timeout(GUARD):
        assert set(await asyncio.gather(*waiting)) == {401}
    hanging.set()
    await verifier.close()
    await fetch.close()


async def test_a_caller_that_disconnects_does_not_cancel_the_fetch_of_others(
    bench: Bench, issuer: Issuer
) -> None:
    verifier, _ = bench
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    issuer.before = wait
    first = asyncio.ensure_future(status(verifier, token()))
    while not issuer.asked:
        await asyncio.sleep(0.005)
    second = asyncio.ensure_future(status(verifier, token()))
    await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert await second == 200
    assert first.cancelled() or first.done()


async def test_an_https_issuer_cannot_name_a_plain_http_address() -> None:
    from bff.edge.access.issuer import Discovery
    from tests.unit.edge.access.issuing import Served

    document = {
        "issuer": ISSUER,
        "jwks_uri": "http://issuer.test/keys",
        "token_endpoint": "file:///etc/passwd",
    }
    discovery = Discovery(ISSUER, Served({f"{ISSUER}/.well-known/openid-configuration": document}))
    for name in (*[name for name in document if name != "issuer"], "no_such_endpoint"):
        with pytest.raises(FetchFailed):
            await discovery.endpoint(name)


async def test_an_unreachable_issuer_is_a_failed_fetch() -> None:
    fetch = Fetcher(timeout=GUARD)
    for url in ("http://127.0.0.1:1/keys", "http://nowhere.invalid/keys", "gopher://x/", "http://[::1"):
        with pytest.raises(FetchFailed):
            await fetch(url)
    await fetch.close()


async def test_a_fetch_ends_at_its_timeout_however_slowly_the_bytes_arrive() -> None:
    async def drip(path: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    fetch = Fetcher(timeout=0.3)
    server: RawServer
    async with raw_server(drip) as server:
        with pytest.raises(FetchFailed, match=r"within 0\.3 s"):
            await fetch(f"http://127.0.0.1:{server.port}/keys")
        await fetch.close()
