"""A provider that stalls while many people sign in: the gateway waits for a few, and signs nobody out."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from bff import Gateway, Principal
from bff.edge.access.provider import SIGNING_IN
from bff.edge.settings.gateway import AdmissionSettings
from bff.edge.settings.network import NetworkSettings
from bff.edge.settings.redis import RedisSettings

from ..waiting import GUARD, until
from .signing_in import signing_in
from .test_signin import Browser

LONG = 3600.0
"""Seconds that no step of this test takes on the slowest machine, and longer than settings allow. Only the provider's
stall may end a wait or refuse a request here: not a timeout, an event loop that is late, or a token that expires."""


def patient(redis_url: str) -> dict[str, Any]:
    """Settings of a gateway that waits `LONG`."""
    return {
        "network": NetworkSettings().model_copy(update={"token_timeout": LONG, "discovery_timeout": LONG}),
        "admission": AdmissionSettings().model_copy(update={"lag": LONG, "standing": LONG}),
        "redis": RedisSettings(url=redis_url).model_copy(update={"timeout": LONG}),
    }


def declare() -> Gateway:
    gateway = Gateway("busy")

    @gateway.view("/api/me")
    async def me(who: Principal) -> str:
        return who.subject

    return gateway


@pytest.mark.parametrize("people_at_once", [150, pytest.param(1000, marks=pytest.mark.slow)])
async def test_many_people_sign_in_at_a_provider_that_stalls(redis_url: str, people_at_once: int) -> None:
    # More connections at once would measure this machine: client, gateway and provider share one loop.
    # Each request has its own connection: on a busy machine the server may close an idle one just as it is used.
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=0)
    async with (
        signing_in(redis_url, declare(), {"": {}}, **patient(redis_url)) as place,
        httpx.AsyncClient(trust_env=False, timeout=LONG, limits=limits) as client,
    ):
        provider = place.providers[""]
        provider.life = int(LONG)
        inside = [Browser(client, place.site) for _ in range(5)]
        for browser in inside:
            await browser.sign_in()
        provider.life = 1
        expiring = Browser(client, place.site)
        await expiring.sign_in()

        people = [Browser(client, place.site) for _ in range(people_at_once)]
        callbacks: list[str] = []
        for start in range(0, people_at_once, 50):
            callbacks += await asyncio.gather(*(one.begin() for one in people[start : start + 50]))
        provider.hangs = asyncio.Event()
        waiting = {
            number: asyncio.ensure_future(people[number].ask("GET", callbacks[number], cross_site=True))
            for number in range(people_at_once)
        }

        async def only_some_wait() -> bool:
            return sum(not one.done() for one in waiting.values()) <= SIGNING_IN

        await until(only_some_wait, seconds=10 * GUARD)
        done = {number: one.result() for number, one in waiting.items() if one.done()}
        assert Counter(one.status_code for one in done.values()) == {503: people_at_once - SIGNING_IN}
        assert all(float(one.headers["retry-after"]) >= 1 for one in done.values())
        # Who is signed in notices nothing, and who needs a new token is not signed out.
        began = time.monotonic()
        for browser in inside:
            assert (await browser.get("/api/me")).json() == "ada"
        print(f"\n{(time.monotonic() - began) / len(inside) * 1000:.1f} ms a request of those inside")
        await until(lambda: _has_expired(expiring))
        assert len(waiting) - len(done) == SIGNING_IN

        provider.hangs.set()
        provider.life = int(LONG)
        landed = await asyncio.gather(*(waiting[number] for number in waiting if number not in done))
        assert Counter(one.status_code for one in landed) == {200: SIGNING_IN}
        # The others load the same address again. It is valid for ten minutes, so those who began last do so.
        for number in sorted(done)[-50:]:
            again = await people[number].ask("GET", callbacks[number], cross_site=True)
            assert again.status_code == 200
        await until(lambda: _is_served(expiring))


async def _has_expired(browser: Browser) -> bool:
    """Whether the session's token has run out, which is 503 as long as the provider gives no other one."""
    status = (await browser.get("/api/me")).status_code
    assert status in (200, 503)
    return status == 503


async def _is_served(browser: Browser) -> bool:
    status = (await browser.get("/api/me")).status_code
    assert status in (200, 503)
    return status == 200
