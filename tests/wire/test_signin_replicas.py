"""Browser sessions on several gateway processes: one refresh for all of them, and ends of sessions that reach every
stream."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from ..conftest import Valkey
from ..unit.edge.access.issuing import ISSUER
from ..waiting import GUARD
from .gateway import token
from .replicas import Replicas, replicas
from .test_signin import Browser


async def storm(house: Replicas, browser: Browser, requests: int) -> Counter[int]:
    """So many requests at once, evenly over the replicas."""
    cookie = house.cookie(browser)

    async def ask(number: int) -> int:
        site = house.sites[number % len(house.sites)]
        async with house.http.get(f"{site}/bff/user", headers=cookie) as answer:
            await answer.read()
            return answer.status

    return Counter(await asyncio.gather(*(ask(number) for number in range(requests))))


async def redeemed_once(redis_url: str, folder: Path, gateways: int, requests: int, slow: float) -> None:
    async with replicas(redis_url, folder, gateways) as house:
        house.provider.life = 1
        browser = house.browser()
        assert (await browser.sign_in()).status_code == 200
        house.provider.life, house.provider.takes = 300, slow
        await asyncio.sleep(1)
        began = time.monotonic()
        assert await storm(house, browser, requests) == {200: requests}
        assert len(house.provider.redeemed) == 1
        print(f"\n{requests} requests on {gateways} gateways, all 200 in {time.monotonic() - began:.2f} s")
        for site in house.sites:
            async with house.http.get(f"{site}/api/required/ok", headers=house.cookie(browser)) as answer:
                assert answer.status == 200, await answer.text()
            assert house.upstream.last.headers["authorization"] == "Bearer access-1"
        assert await storm(house, browser, len(house.sites)) == {200: len(house.sites)}
        assert len(house.provider.redeemed) == 1


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_hundred_requests_on_two_gateways_redeem_one_refresh_token(
    redis_url: str, tmp_path: Path
) -> None:
    await redeemed_once(redis_url, tmp_path, 2, 100, 1.0)


@pytest.mark.slow
async def test_a_thousand_requests_on_four_gateways_redeem_one_refresh_token_however_slow_the_provider(
    redis_url: str, tmp_path: Path
) -> None:
    await redeemed_once(redis_url, tmp_path, 4, 1000, 3.0)


End = Callable[[Replicas, Browser], Awaitable[None]]


async def by_logout(house: Replicas, browser: Browser) -> None:
    assert (await browser.post("/bff/logout")).status_code == 200


async def by_sid(house: Replicas, browser: Browser) -> None:
    await _tell(house, house.provider.logout_token())


async def by_subject(house: Replicas, browser: Browser) -> None:
    await _tell(house, house.provider.logout_token(sid=..., sub="ada"))


async def by_a_gateway_whose_messages_are_lost(house: Replicas, browser: Browser) -> None:
    # Messages are lost while the gateways' connections are cut; the ended sessions are read from Redis all the same.
    done = asyncio.Event()

    async def cut() -> None:
        async with Redis.from_url(house.redis) as redis:
            while not done.is_set():
                await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        group.create_task(cut())
        await asyncio.sleep(0.1)
        try:
            await by_logout(house, browser)
            await asyncio.sleep(1)
        finally:
            done.set()


async def _tell(house: Replicas, logout_token: str) -> None:
    url = f"{house.sites[-1]}/bff/backchannel-logout"
    answer = await house.plain.post(url, data={"logout_token": logout_token})
    assert answer.status_code == 200, answer.text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(valkey_session: Valkey, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    async with replicas(valkey_session.url, tmp_path_factory.mktemp("replicas"), 2) as house:
        yield house


async def test_every_end_of_a_session_ends_its_streams_on_every_gateway(house: Replicas) -> None:
    other = house.browser()
    house.provider.subject, house.provider.sid = "grace", "provider-session-2"
    await other.sign_in()
    house.provider.subject, house.provider.sid = "ada", "provider-session-1"
    async with asyncio.timeout(4 * GUARD), house.streams(house.cookie(other)) as untouched:
        for end in (by_logout, by_sid, by_subject, by_a_gateway_whose_messages_are_lost):
            browser = house.browser()
            await browser.sign_in()
            async with house.streams(house.cookie(browser), count=2) as streams:
                began = time.monotonic()
                await end(house, browser)
            took = max(one.ended - began for one in streams if one.ended is not None)
            print(f"\n{end.__name__}: {len(streams)} streams on 2 gateways ended within {took * 1000:.0f} ms")
            assert {one.last[0] for one in streams} == {"bye"}, end
            assert {one.last[1]["reason"] for one in streams} == {"logout"}
            assert await storm(house, browser, 3) == {401: 3}
        assert all(one.ended is None for one in untouched)
        await by_logout(house, other)


async def test_revoked_tokens_are_refused_everywhere_and_their_streams_end(house: Replicas) -> None:
    browser = house.browser()
    await browser.sign_in()

    def bearer(text: str) -> dict[str, str]:
        return {"authorization": f"Bearer {text}"}

    async def revoke(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bff", "revoke", *arguments),
            env=house.env,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0
        return said.decode()

    one, two, graces = token(jti="one"), token(jti="two"), token("grace", jti="three")
    async with house.streams(bearer(graces)) as untouched:
        async with house.streams(bearer(one)) as streams:
            assert "refused" in await revoke("--issuer", ISSUER, "--token", "one")
        assert {stream.last[1].get("reason") for stream in streams} == {"logout"}
        for site in house.sites:
            assert (await house.plain.get(f"{site}/bff/user", headers=bearer(one))).status_code == 401
            assert (await house.plain.get(f"{site}/bff/user", headers=bearer(two))).status_code == 200
        async with house.streams(bearer(two)):
            await revoke("--issuer", ISSUER, "--subject", "ada")
        async with house.streams(house.cookie(browser)):
            said = await revoke("--issuer", house.provider.issuer, "--subject", "ada")
        assert "every session has ended" in said
        for site in house.sites:
            for headers in (bearer(two), house.cookie(browser)):
                answer = await house.plain.get(f"{site}/bff/user", headers=headers)
                assert answer.status_code == 401
        assert all(stream.ended is None for stream in untouched)
        await revoke("--issuer", ISSUER, "--token", "three")
