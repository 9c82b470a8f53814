"""Rate limits on a real server: exact over all gateways, local while it is away, never blocking the event loop."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bff.calls import Principal
from bff.edge.problem import QUOTA_TYPE, Problem
from bff.edge.rate_limits import Caller, Limit, RateLimiter
from bff.edge.settings import LimitSettings
from bff.stores.keys import owner_tag
from bff.stores.rates import RateStore
from bff.stores.redis.client import RedisClient, StoreUnavailable
from tests.conftest import Valkey
from tests.waiting import until

PATIENT = 10.0  # seconds: a busy test machine must not turn a shared decision into a local one
Clock = Callable[[], float]


def caller(who: str, **more: str) -> Caller:
    return Caller("192.0.2.1", who, **more)


async def outcome(
    limits: RateLimiter, declared: str | Limit, who: str | Caller = "ada", route: str = "/api/orders"
) -> bool:
    try:
        await limits.spend(route, declared, who if isinstance(who, Caller) else caller(who))
    except Problem as problem:
        assert problem.status == 429
        return False
    return True


@asynccontextmanager
async def counting(
    url: str, *, wait: float = PATIENT, clock: Clock = time.monotonic, **settings: Any
) -> AsyncIterator[RateLimiter]:
    async with RedisClient(url, timeout=10) as redis:
        yield RateLimiter(LimitSettings(**settings), RateStore(redis, wait=wait), clock)


async def test_fifty_concurrent_requests_on_two_gateways_get_exactly_the_limit(redis_url: str) -> None:
    async with counting(redis_url) as one, counting(redis_url) as two:
        got = await asyncio.gather(*(outcome(limits, "20/hour") for limits in (one, two) for _ in range(25)))
    assert sum(got) == 20


async def test_a_refusal_names_the_limit_and_the_time_to_wait(redis_url: str) -> None:
    async with counting(redis_url) as limits:
        headers = await limits.spend("/api/orders/{id}", "2/minute", caller("ada"))
        assert headers["ratelimit-policy"] == '"minute";q=2;w=60'
        assert headers["ratelimit"] == '"minute";r=1;t=30', (
            "after half a minute two requests are allowed again"
        )
        await limits.spend("/api/orders/{id}", "2/minute", caller("ada"))
        with pytest.raises(Problem) as caught:
            await limits.spend("/api/orders/{id}", "2/minute", caller("ada"))
        problem = caught.value
        assert (problem.status, problem.code, problem.type) == (429, "rate-limited", QUOTA_TYPE)
        assert problem.headers["ratelimit"].startswith('"minute";r=0;t=')
        seconds = int(problem.headers["ratelimit"].rpartition("=")[2])
        assert int(problem.response_headers()["retry-after"]) >= seconds >= 20
        assert problem.extra["violated-policies"] == ["minute"]


async def test_a_request_after_retry_after_is_allowed(redis_url: str) -> None:
    async with counting(redis_url) as limits:
        while await outcome(limits, "2/second"):
            pass
        with pytest.raises(Problem) as caught:
            while True:
                await limits.spend("/api/orders", "2/second", caller("ada"))
        await asyncio.sleep(caught.value.retry_after or 0)
        assert await outcome(limits, "2/second")


async def test_callers_routes_and_ceilings_are_counted_separately(redis_url: str) -> None:
    async with counting(redis_url, default="1/hour") as limits:
        await limits.spend("/a", None, caller("ada"))
        await limits.spend("/a", None, caller("bruno"))
        await limits.spend("/b", None, caller("ada"))
        headers = await limits.spend("/a", None, caller("ada"), times=20)
        assert headers["ratelimit"].startswith('"hour";r=19')
        with pytest.raises(Problem):
            await limits.spend("/a", None, caller("ada"))


async def test_several_limits_are_all_or_nothing(redis_url: str) -> None:
    async with counting(redis_url) as limits:
        got = [await outcome(limits, "2/minute;5/hour") for _ in range(10)]
        assert got == [True, True] + [False] * 8
        with pytest.raises(Problem) as caught:
            await limits.spend("/api/orders", "2/minute;5/hour", caller("ada"))
        assert '"hour";r=3' in caught.value.headers["ratelimit"]
        assert caught.value.extra["violated-policies"] == ["minute"]


async def test_people_clients_addresses_and_tenants_have_separate_limits(redis_url: str) -> None:
    limit = Limit("3/hour", client="4/hour", address="6/hour", tenant="5/hour")
    async with counting(redis_url) as limits:

        def who(name: str, client: str = "web", tenant: str = "acme", address: str = "192.0.2.1") -> Caller:
            return Caller(address, name, client, tenant)

        assert [await outcome(limits, limit, who("ada")) for _ in range(4)] == [True] * 3 + [False]
        assert [await outcome(limits, limit, who("bea")) for _ in range(2)] == [True, False], "the client's"
        got = [await outcome(limits, limit, who("bea", client="app")) for _ in range(2)]
        assert got == [True, False], "the tenant's"
        got = [await outcome(limits, limit, who("cy", client="tv", tenant="other")) for _ in range(2)]
        assert got == [True, False], "the address's"
        assert await outcome(limits, limit, who("cy", "tv", "other", address="192.0.2.2"))
        # Without a tenant and a client the other limits apply.
        with pytest.raises(Problem) as caught:
            await limits.spend("/api/orders", limit, Caller("192.0.2.1"))
        assert caught.value.extra["violated-policies"] == ["address-hour"]


async def test_a_tier_multiplies_what_a_route_allows_but_not_an_address(redis_url: str) -> None:
    limit = Limit("1/hour", address="100/hour")
    async with counting(redis_url, tiers={"gold": 3.0}) as limits:
        assert [await outcome(limits, limit, caller("ada", tier="gold")) for _ in range(4)] == [True] * 3 + [
            False
        ]
        assert [await outcome(limits, limit, caller("bea", tier="lead")) for _ in range(2)] == [True, False]
        headers = await limits.spend("/b", limit, caller("ada", tier="gold"))
        assert headers["ratelimit-policy"] == '"hour";q=3;w=3600, "address-hour";q=100;w=3600'


def test_the_caller_is_read_from_the_token_and_the_connection() -> None:
    limits = RateLimiter(LimitSettings(tenant_claim="org"), RateStore(RedisClient("redis://127.0.0.1:1/0")))
    claims = {"client_id": "web", "org": "acme", "tier": ["not", "text"]}
    ada = Principal("https://issuer.test", "ada", "token", 0, claims=claims)
    found = limits.caller({"client": ("2001:db8:1:2:3:4:5:6", 4711)}, ada)
    assert found == Caller("2001:db8:1:2::/64", "https://issuer.test|ada", "web", "acme", None)
    assert limits.caller({"client": ("192.0.2.7", 1)}, None) == Caller("192.0.2.7")
    assert limits.caller({}, None) == Caller("unknown")


async def test_each_key_expires_and_contains_no_identity(redis_url: str) -> None:
    async with counting(redis_url) as limits:
        declared = Limit("5/second;100/hour", client="7/hour", address="8/hour", tenant="9/hour")
        who = Caller("192.0.2.1", "https://issuer.test|ada", "web", "acme")
        await limits.spend("/api/orders/{id}", declared, who)
    async with RedisClient(redis_url, timeout=10) as redis:
        keys = await redis.call("KEYS", "*")
        assert len(keys) == 5
        for key in keys:
            assert re.fullmatch(rb"bff:1:\{[0-9a-f]{16}\}:rate:[0-9a-f]{16}", key)
            assert await redis.call("PTTL", key) > 0
        mine = owner_tag("https://issuer.test|ada").encode()
        assert sum(mine in key for key in keys) == 2, "in the owner's slot"


class Turns:
    """Counts turns of the event loop: about a hundred a second."""

    async def __aenter__(self) -> Turns:
        self.count = 0
        self._task = asyncio.ensure_future(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.count += 1


async def test_a_frozen_redis_does_not_block_the_loop_and_local_limits_apply(own_valkey: Valkey) -> None:
    async with counting(own_valkey.url, wait=1.0, clock=fixed_clock, replicas=2) as limits:
        for round_ in range(2):
            assert await outcome(limits, "600/minute", f"before {round_}")
            own_valkey.send(signal.SIGSTOP)
            try:
                async with Turns() as turns:
                    got = [await outcome(limits, "10/hour", f"during {round_}") for _ in range(10)]
                    more = (outcome(limits, "10/hour", f"during {round_}") for _ in range(50))
                    got += await asyncio.gather(*more)
                assert sum(got) == 5, "half of ten, because this is one of two gateways"
                assert limits.local
            finally:
                own_valkey.send(signal.SIGCONT)
            assert turns.count > 10, "during the second of waiting for Redis"
            await counted_together(limits)
            assert sum([await outcome(limits, "10/hour", f"after {round_}") for _ in range(15)]) == 10


async def test_a_frozen_redis_delays_the_first_request_only(own_valkey: Valkey) -> None:
    async with counting(own_valkey.url, wait=1.0) as limits:
        assert await outcome(limits, "1000/hour")
        own_valkey.send(signal.SIGSTOP)
        began = time.monotonic()
        for _ in range(100):
            await limits.spend("/api/orders", "1000/hour", caller("ada"))
        own_valkey.send(signal.SIGCONT)
        assert time.monotonic() - began < 50, "one waits for a second, and the others do not wait"


async def test_a_costly_route_is_refused_while_limits_are_not_counted(own_valkey: Valkey) -> None:
    async with counting(own_valkey.url, wait=1.0) as limits:
        assert await outcome(limits, Limit("1000/hour", costly=True))
        own_valkey.send(signal.SIGSTOP)
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                await limits.spend("/api/orders", Limit("1000/hour", costly=True), caller("ada"))
        own_valkey.send(signal.SIGCONT)
        await counted_together(limits)
        assert await outcome(limits, Limit("1000/hour", costly=True))


async def test_a_blocked_event_loop_does_not_make_redis_away(redis_url: str) -> None:
    async with counting(redis_url, wait=0.5, replicas=1000) as limits:
        await outcome(limits, "50/hour")
        spent = [asyncio.ensure_future(outcome(limits, "50/hour")) for _ in range(40)]
        await asyncio.sleep(0)
        time.sleep(0.7)
        assert all(await asyncio.gather(*spent)), "a local share of one thousandth would have refused"
        assert not limits.local


async def test_a_gateway_starts_without_redis_and_counts_locally(own_valkey: Valkey) -> None:
    own_valkey.stop()
    async with counting(own_valkey.url, wait=0.05, clock=fixed_clock) as limits:
        assert sum([await outcome(limits, "3/hour") for _ in range(10)]) == 3
        own_valkey.start()
        await counted_together(limits)


def fixed_clock() -> float:
    """A clock whose hour does not end in the middle of a test."""
    return 1800.0


async def counted_together(limits: RateLimiter) -> None:
    await until(lambda: not limits.local, "Redis is back and the limits are still local")
