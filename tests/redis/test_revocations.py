"""Revocations on a real server: what is refused, from when, for how long, and how gateways learn of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from bff.calls.principal import RevocationKeys
from bff.edge.access.jwt import TokenVerifier
from bff.edge.access.revocation_list import RevocationList, revocation_keys_of
from bff.edge.problem import Problem
from bff.edge.settings import IssuerSettings
from bff.stores.keys import redis_key
from bff.stores.redis.client import RedisClient, StoreUnavailable
from bff.stores.revocations import RevocationStore
from tests.conftest import Valkey
from tests.unit.edge.access.issuing import ISSUER, Served, claims, ec_key, jwk, sign
from tests.waiting import until

KEY = ec_key()
KEYS = f"{ISSUER}/keys"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as redis:
        yield redis


def revocation_keys(
    jti: str | None = "1", sub: str = "ada", issued: float | None = None, iss: str = ISSUER
) -> RevocationKeys:
    return revocation_keys_of(
        iss, {"jti": jti, "sub": sub, "iat": time.time() - 5 if issued is None else issued}
    )


async def test_a_token_is_revoked_by_its_id_and_no_other_token_is(redis: RedisClient) -> None:
    store = RevocationStore(redis)
    here = RevocationList(store)
    await here.poll()
    assert not here.is_revoked(revocation_keys("1"))
    assert await store.revoke_token(ISSUER, "1", keep=60)
    assert not here.is_revoked(revocation_keys("1")), "not polled yet"
    await here.poll()
    assert here.is_revoked(revocation_keys("1"))
    others = (
        revocation_keys("2"),
        revocation_keys(None),
        revocation_keys("1", iss="https://other.test"),
        revocation_keys("x", sub="1"),
    )
    assert not any(here.is_revoked(other) for other in others)
    later = RevocationList(store)
    await later.poll()
    assert later.is_revoked(revocation_keys("1")), "a gateway that starts later knows it, too"


async def test_a_persons_tokens_are_revoked_up_to_the_moment_and_later_ones_are_valid(
    redis: RedisClient,
) -> None:
    store = RevocationStore(redis)
    here = RevocationList(store)
    assert await store.revoke_subject(ISSUER, "ada", keep=60)
    await here.poll()
    assert here.is_revoked(revocation_keys())
    assert not here.is_revoked(revocation_keys(issued=time.time() + 1))
    assert not here.is_revoked(revocation_keys(sub="grace"))
    first = time.time()
    while time.time() - first < 0.02:
        pass
    assert await store.revoke_subject(ISSUER, "ada", keep=60)
    await here.poll()
    assert here.is_revoked(revocation_keys(issued=first + 0.01)), "the later moment counts"


async def test_a_revocation_lasts_as_long_as_requested(redis: RedisClient) -> None:
    store, clock = RevocationStore(redis), [time.time()]
    here = RevocationList(store, clock=lambda: clock[0])
    await store.revoke_token(ISSUER, "short", keep=1)
    await store.revoke_token(ISSUER, "long", keep=100)
    await here.poll()
    clock[0] += 2
    await store.revoke_token(ISSUER, "another", keep=100)
    await here.poll()
    assert not here.is_revoked(revocation_keys("short"))
    assert here.is_revoked(revocation_keys("long"))
    for key in await redis.call("KEYS", redis_key("revoked", "*")):
        assert 1_000 < await redis.call("PTTL", key) <= 100_000


async def test_a_persons_revocation_lasts_as_requested_when_a_later_one_is_shorter(
    redis: RedisClient,
) -> None:
    store, clock = RevocationStore(redis), [time.time()]
    here = RevocationList(store, clock=lambda: clock[0])
    await store.revoke_subject(ISSUER, "ada", keep=100)
    while await redis.call("ZCARD", redis_key("revoked", "list")) < 2:
        # Until Redis' clock shows the next millisecond, both are one entry.
        await store.revoke_subject(ISSUER, "ada", keep=1)
    await here.poll()
    clock[0] += 2
    await store.revoke_token(ISSUER, "another", keep=100)
    await here.poll()
    assert here.is_revoked(revocation_keys())


async def test_revocations_stay_in_force_when_redis_lost_its_list(redis: RedisClient) -> None:
    store = RevocationStore(redis)
    here = RevocationList(store)
    await store.revoke_token(ISSUER, "1", keep=60)
    await here.poll()
    await redis.call("FLUSHALL")
    await store.revoke_token(ISSUER, "2", keep=60)
    await here.poll()
    assert here.is_revoked(revocation_keys("1")) and here.is_revoked(revocation_keys("2"))


async def test_the_list_is_bounded_and_drops_nothing_before_it_expires(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.stores.revocations.MAX_REVOKED", 3)
    store = RevocationStore(redis)
    assert [await store.revoke_token(ISSUER, str(number), keep=60) for number in range(4)] == [True] * 3 + [
        False
    ]
    here = RevocationList(store)
    await here.poll()
    assert [here.is_revoked(revocation_keys(str(number))) for number in range(4)] == [True] * 3 + [False]


async def test_ends_of_sessions_are_reported_once_to_gateways_that_ran_before(
    redis: RedisClient,
) -> None:
    store = RevocationStore(redis)
    ended: list[str] = []
    changes: list[int] = []
    await store.record_session_end("before")
    here = RevocationList(store, on_session_end=ended.append, on_change=lambda: changes.append(1))
    await here.poll()
    assert ended == []
    await store.record_session_end("one")
    await here.poll()
    await store.record_session_end("two")
    await here.poll()
    assert {"one", "two"} <= set(ended)
    assert changes == []
    await store.revoke_token(ISSUER, "1", keep=60)
    await here.poll()
    await here.poll()
    assert changes == [1]


async def test_a_cached_token_is_refused_after_its_revocation(redis: RedisClient) -> None:
    store = RevocationStore(redis)
    revoked = RevocationList(store)
    trusted = IssuerSettings(issuer=ISSUER, audience="shop", jwks_uri=KEYS)
    verifier = TokenVerifier([trusted], Served({KEYS: {"keys": [jwk(KEY, "k1")]}}), revocations=revoked)
    now = int(time.time())
    one, two = (sign(KEY, claims(jti=jti, iat=now - 1, exp=now + 300)) for jti in ("one", "two"))
    who = [await verifier.verify(token) for token in (one, two)]
    assert [each.subject for each in who] == ["ada", "ada"]
    await store.revoke_token(ISSUER, "one", keep=300)
    await revoked.poll()
    assert [revoked.is_revoked(each.revocation_keys) for each in who] == [True, False]
    for _ in range(2):
        with pytest.raises(Problem, match="revoked"):
            await verifier.verify(one)
    assert await verifier.verify(two)
    await store.revoke_subject(ISSUER, "ada", keep=300)
    await revoked.poll()
    with pytest.raises(Problem, match="revoked"):
        await verifier.verify(two)
    fresh = sign(KEY, claims(jti="three", iat=now - 1, exp=now + 300))
    with pytest.raises(Problem, match="revoked"):
        await verifier.verify(fresh)
    await verifier.close()


async def test_while_redis_is_away_known_revocations_stay_in_force(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=10) as redis:
        store = RevocationStore(redis)
        await store.revoke_token(ISSUER, "1", keep=60)
        here = RevocationList(store)
        await here.start()
        own_valkey.stop()
        with pytest.raises(StoreUnavailable):
            await here.poll()
        assert here.is_revoked(revocation_keys("1"))
        assert here.alive
        await here.stop()
        late = RevocationList(store)
        await late.start()
        assert late.alive and not late.is_revoked(revocation_keys("1")), "it starts without Redis"
        await late.stop()


async def test_a_revocation_is_ended_by_a_gateway_that_runs(redis: RedisClient) -> None:
    store = RevocationStore(redis)
    here = RevocationList(store)
    await here.start()
    await store.revoke_subject(ISSUER, "ada", keep=60)
    await until(lambda: here.is_revoked(revocation_keys()))
    await here.stop()
