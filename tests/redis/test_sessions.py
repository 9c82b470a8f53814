"""Browser sessions on a real server: races, ends, refreshes, and a Redis that is away."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bff.edge.access.fetch import FetchFailed
from bff.edge.access.refresh import RefreshRefused
from bff.edge.access.session import Sessions
from bff.edge.access.session_cache import SessionCache
from bff.edge.access.session_record import SessionKey, SessionRecord, TokenSet
from bff.edge.problem import Problem
from bff.edge.settings import SessionSettings
from bff.stores.keys import redis_key
from bff.stores.redis.client import RedisClient, StoreUnavailable
from bff.stores.sessions import SessionStore, StoredSession
from tests.conftest import Valkey
from tests.waiting import until

ISSUER = "https://issuer.test"
SETTINGS = SessionSettings()


@dataclass
class Clock:
    """The real time, plus an offset that a test sets."""

    base: Callable[[], float]
    later: float = 0.0

    def __call__(self) -> float:
        return self.base() + self.later


@dataclass
class TokenEndpoint:
    """A provider that rotates refresh tokens and accepts each once, as real ones do."""

    valid: str = "r1"
    redeemed: list[str] = field(default_factory=list)
    takes: float = 0.05
    error: Exception | None = None
    life: float = 300.0

    async def renew(self, refresh_token: str) -> TokenSet:
        self.redeemed.append(refresh_token)
        await asyncio.sleep(self.takes)
        if self.error is not None:
            raise self.error
        if refresh_token != self.valid:
            raise RefreshRefused("invalid_grant")
        number = int(self.valid[1:]) + 1
        self.valid = f"r{number}"
        now = time.time()
        return TokenSet(f"a{number}", now, now + self.life, refresh_token=self.valid)


def record(
    life: float = 300.0, *, subject: str = "ada", sid: str | None = "s1", refresh: str | None = "r1"
) -> SessionRecord:
    now = time.time()
    tokens = TokenSet("a1", now - 1000, now + life, frozenset({"shop"}), refresh, "id1")
    return SessionRecord(ISSUER, subject, sid, {"name": "Ada"}, tokens)


Make = Callable[..., Sessions]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as redis:
        yield redis


@pytest.fixture
async def make(redis: RedisClient) -> AsyncIterator[Make]:
    made: list[Sessions] = []

    def sessions(
        settings: SessionSettings = SETTINGS, *, over: RedisClient | None = None, **options: Any
    ) -> Sessions:
        made.append(Sessions(SessionStore(over or redis), settings, **options))
        return made[-1]

    yield sessions
    for one in made:
        await one.close()


async def test_a_session_begun_on_one_gateway_is_known_on_another(make: Make) -> None:
    renew = TokenEndpoint().renew
    cookie = await make(renew=renew).start(record())
    principal = await make(renew=renew).principal(cookie)
    assert principal is not None and principal.is_person
    assert principal.id == f"{ISSUER}|ada"
    assert principal.token == "a1"
    assert principal.scopes == {"shop"}
    assert principal.claims == {"name": "Ada"}
    assert principal.session is not None and principal.session not in cookie
    assert abs(principal.expires_at - time.time() - SETTINGS.lifetime) < 5


async def test_an_unknown_cookie_is_anonymous(make: Make) -> None:
    sessions = make()
    for cookie in (None, "", "x", SessionKey.new().value, "a" * 43):
        assert await sessions.principal(cookie) is None


async def test_redis_holds_neither_tokens_nor_claims_nor_the_cookie(make: Make, redis: RedisClient) -> None:
    cookie = await make().start(record(subject="the-subject", refresh="the-refresh-token"))
    everything = b""
    for key in await redis.call("KEYS", "*"):
        assert await redis.call("PTTL", key) > 0, key
        hash = await redis.call("TYPE", key) == b"hash"
        everything += key + (b"".join(await redis.call("HVALS", key)) if hash else b"")
    assert everything
    for secret in (cookie.encode(), b"the-refresh-token", b"the-subject", b"Ada"):
        assert secret not in everything


async def test_each_use_postpones_the_idle_end_but_not_the_absolute_end(redis: RedisClient) -> None:
    store = SessionStore(redis)

    async def begin(id: str, lifetime: float, idle: float) -> None:
        await store.put(id, b"x", issuer=ISSUER, subject="ada", sid=None, lifetime=lifetime, idle=idle)

    async def left(id: str) -> float:
        return float(await redis.call("PTTL", redis_key(f"session:{id}", "record"))) / 1000

    await begin("idle", 3600, 1000)
    await begin("ends", 500, 3600)
    for id in ("idle", "ends"):
        await redis.call("PEXPIRE", redis_key(f"session:{id}", "record"), 300_000)
    assert await store.open("idle", idle=1000) is not None
    assert 300 < await left("idle") <= 1000
    assert await store.open("ends", idle=3600) is not None
    assert 300 < await left("ends") <= 500
    await begin("soon", 0.3, 3600)
    await begin("unused", 3600, 0.3)
    await asyncio.sleep(0.4)
    assert await store.open("soon", idle=3600) is None
    assert await store.open("unused", idle=3600) is None


async def test_a_session_without_a_refresh_token_ends_with_its_access_token(make: Make) -> None:
    sessions = make(renew=TokenEndpoint().renew)
    cookie = await sessions.start(record(3.0, refresh=None))
    assert await sessions.principal(cookie) is not None

    async def ended() -> bool:
        return await sessions.principal(cookie) is None

    await until(ended)


async def test_fifty_concurrent_requests_redeem_the_refresh_token_once(make: Make) -> None:
    endpoint = TokenEndpoint()
    sessions = make(renew=endpoint.renew)
    cookie = await sessions.start(record(4.0))
    found = await asyncio.gather(*(sessions.principal(cookie) for _ in range(50)))
    assert endpoint.redeemed == ["r1"]
    assert {principal and principal.token for principal in found} == {"a2"}


async def test_five_gateways_together_redeem_the_refresh_token_once(make: Make, redis_url: str) -> None:
    endpoint = TokenEndpoint(takes=0.2)
    gateways = [make(renew=endpoint.renew) for _ in range(5)]
    cookie = await gateways[0].start(record(4.0))
    found = await asyncio.gather(*(one.principal(cookie) for one in gateways for _ in range(10)))
    assert endpoint.redeemed == ["r1"]
    assert {principal and principal.token for principal in found} == {"a2"}
    assert {(await one.principal(cookie)).token for one in gateways} == {"a2"}  # type: ignore[union-attr]


class LateToTheLock(SessionStore):
    """A gateway that is delayed between reading a session and locking it."""

    def __init__(self, redis: RedisClient) -> None:
        super().__init__(redis)
        self.there, self.go = asyncio.Event(), asyncio.Event()

    async def lock(self, id: str, holder: str) -> bool:
        self.there.set()
        await self.go.wait()
        return await super().lock(id, holder)


async def test_a_gateway_that_comes_late_to_the_lock_uses_the_others_tokens(
    make: Make, redis: RedisClient
) -> None:
    endpoint = TokenEndpoint()
    store = LateToTheLock(redis)
    here, late = make(renew=endpoint.renew), Sessions(store, SETTINGS, renew=endpoint.renew)
    cookie = await here.start(record(4.0))
    waiting = asyncio.ensure_future(late.principal(cookie))
    await store.there.wait()
    assert (await here.principal(cookie)).token == "a2"  # type: ignore[union-attr]
    store.go.set()
    assert (await waiting).token == "a2"  # type: ignore[union-attr]
    assert endpoint.redeemed == ["r1"]
    await late.close()


async def test_each_refresh_uses_the_newest_refresh_token(make: Make) -> None:
    endpoint = TokenEndpoint(life=0.3, takes=0.0)
    sessions = make(renew=endpoint.renew)
    cookie = await sessions.start(record(4.0))
    seen: set[str] = set()
    while len(seen) < 4:
        principal = await sessions.principal(cookie)
        assert principal is not None
        seen.add(principal.token)
        await asyncio.sleep(0.02)
    assert seen == {"a2", "a3", "a4", "a5"}
    assert endpoint.redeemed == ["r1", "r2", "r3", "r4"]


async def test_a_browser_that_leaves_does_not_lose_the_new_refresh_token(make: Make) -> None:
    endpoint = TokenEndpoint(takes=0.2)
    sessions = make(renew=endpoint.renew)
    cookie = await sessions.start(record(4.0))
    leaving = asyncio.ensure_future(sessions.principal(cookie))
    while not endpoint.redeemed:
        await asyncio.sleep(0.005)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    principal = await sessions.principal(cookie)
    assert principal is not None and principal.token == "a2"
    assert endpoint.redeemed == ["r1"]


async def test_a_refused_refresh_ends_the_session_everywhere(make: Make) -> None:
    ended: list[str] = []

    async def on_end(id: str) -> None:
        ended.append(id)

    endpoint = TokenEndpoint(valid="r9")
    here, there = make(renew=endpoint.renew, on_end=on_end), make(renew=endpoint.renew)
    cookie = await here.start(record(4.0))
    assert await asyncio.gather(*(here.principal(cookie) for _ in range(5))) == [None] * 5
    key = SessionKey.read(cookie)
    assert key is not None and ended == [key.id]
    assert await there.principal(cookie) is None
    assert endpoint.redeemed == ["r1"]


async def test_a_provider_that_is_away_signs_nobody_out(make: Make) -> None:
    endpoint = TokenEndpoint(error=FetchFailed("away"))
    clock = Clock(time.time)
    sessions = make(renew=endpoint.renew, clock=clock)
    cookie = await sessions.start(record(20.0))
    for _ in range(10):
        principal = await sessions.principal(cookie)
        assert principal is not None and principal.token == "a1"
    assert len(endpoint.redeemed) == 1, "not every request asks a provider that is away"
    clock.later = 30
    with pytest.raises(Problem) as caught:
        await sessions.principal(cookie)
    assert (caught.value.status, caught.value.code) == (503, "unavailable")


async def test_a_cancelled_refresh_does_not_block_the_next(make: Make, redis: RedisClient) -> None:
    endpoint = TokenEndpoint(error=FetchFailed("away"), takes=0.0)
    monotonic = Clock(time.monotonic)
    sessions = make(renew=endpoint.renew, monotonic=monotonic)
    cookie = await sessions.start(record(4.0))
    await sessions.principal(cookie)
    endpoint.error = None
    monotonic.later = 3
    principal = await sessions.principal(cookie)
    assert principal is not None and principal.token == "a2"


async def test_no_request_waits_for_a_refresh_while_the_old_token_is_valid(make: Make) -> None:
    endpoint = TokenEndpoint(takes=0.5)
    sessions = make(renew=endpoint.renew)
    cookie = await sessions.start(record(20.0))
    first = await sessions.principal(cookie)
    assert first is not None and first.token == "a1"
    while not endpoint.redeemed:
        await asyncio.sleep(0.005)
    while (await sessions.principal(cookie)).token == "a1":  # type: ignore[union-attr]
        await asyncio.sleep(0.02)
    assert endpoint.redeemed == ["r1"]


async def test_a_gateway_delayed_past_its_lock_does_not_end_the_session(
    make: Make, redis: RedisClient
) -> None:
    endpoint = TokenEndpoint()
    held, go = asyncio.Event(), asyncio.Event()

    async def held_up(refresh_token: str) -> TokenSet:
        held.set()
        await go.wait()
        return await endpoint.renew(refresh_token)

    here, slow = make(renew=endpoint.renew), make(renew=held_up)
    cookie = await here.start(record(4.0))
    waiting = asyncio.ensure_future(slow.principal(cookie))
    await held.wait()
    key = SessionKey.read(cookie)
    assert key is not None
    # As when the lock expires because its holder is delayed.
    await redis.call("DEL", redis_key(f"session:{key.id}", "refresh"))
    assert (await here.principal(cookie)).token == "a2"  # type: ignore[union-attr]
    go.set()
    assert (await waiting).token == "a2"  # type: ignore[union-attr]
    assert endpoint.redeemed == ["r1", "r1"]
    assert (await here.principal(cookie)).token == "a2"  # type: ignore[union-attr]


async def test_a_session_ended_during_its_refresh_stays_ended(make: Make) -> None:
    endpoint = TokenEndpoint(takes=0.2)
    here, there = make(renew=endpoint.renew), make(renew=endpoint.renew)
    cookie = await here.start(record(4.0))
    refreshing = asyncio.ensure_future(here.principal(cookie))
    while not endpoint.redeemed:
        await asyncio.sleep(0.005)
    await there.end(cookie)
    assert await refreshing is None
    assert await here.principal(cookie) is None
    assert await there.principal(cookie) is None


async def test_signing_out_returns_the_record_and_ends_the_session_on_every_gateway(make: Make) -> None:
    here, there = make(), make()
    cookie = await here.start(record())
    assert await there.principal(cookie) is not None
    left = await here.end(cookie)
    assert left is not None and left.tokens.id_token == "id1"
    assert await there.principal(cookie) is None
    assert await here.end(cookie) is None


async def test_the_provider_can_end_sessions_by_its_own_session_or_by_person(make: Make) -> None:
    ended: list[str] = []

    async def on_end(id: str) -> None:
        ended.append(id)

    sessions = make(on_end=on_end)
    first, second = await sessions.start(record(sid="s1")), await sessions.start(record(sid="s2"))
    other = await sessions.start(record(subject="bruno", sid="s3"))
    assert await sessions.end_all("https://other.test", sid="s1", subject=None) == 0
    assert await sessions.end_all(ISSUER, sid="s1", subject="ada") == 1
    assert await sessions.principal(first) is None
    assert await sessions.principal(second) is not None
    assert await sessions.end_all(ISSUER, sid=None, subject="ada") >= 1
    assert await sessions.principal(second) is None
    assert await sessions.principal(other) is not None
    keys = [SessionKey.read(first), SessionKey.read(second)]
    assert {key.id for key in keys if key} <= set(ended)


async def test_all_of_two_thousand_sessions_of_a_person_are_ended(redis: RedisClient) -> None:
    store = SessionStore(redis)
    every = [f"s{number}" for number in range(2000)]
    for start in range(0, len(every), 100):
        batch = every[start : start + 100]
        await asyncio.gather(*(put(store, id, lifetime=60 + start) for id in batch))
    assert await store.still_open(every) == set(every)
    assert set(await store.end_all(ISSUER, subject="ada")) == set(every)
    assert await store.still_open(every) == set()
    assert await store.end_all(ISSUER, subject="ada") == []


async def put(
    store: SessionStore, id: str, *, sid: str | None = None, lifetime: float = 60, began: float | None = None
) -> StoredSession:
    return await store.put(
        id, b"x", issuer=ISSUER, subject="ada", sid=sid, lifetime=lifetime, idle=60, began=began
    )


class Stopped(RedisClient):
    """A process that is delayed between indexing a session and storing it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.there, self.go = asyncio.Event(), asyncio.Event()
        self.sha = RedisClient.script(self, "session_put").sha

    async def call(self, *command: Any, limit: float | None = None) -> Any:
        if self.sha in command:
            self.there.set()
            await self.go.wait()
        return await super().call(*command, limit=limit)


@pytest.mark.parametrize("by", [{"subject": "ada"}, {"sid": "s1"}], ids=str)
async def test_a_session_that_is_stored_while_all_are_ended_has_ended(
    redis: RedisClient, redis_url: str, by: dict[str, str]
) -> None:
    store = SessionStore(redis)
    async with Stopped(redis_url) as held:
        storing = asyncio.ensure_future(put(SessionStore(held), "late", sid="s1"))
        await held.there.wait()
        await store.end_all(ISSUER, **by)
        held.go.set()
        stored = await storing
    assert await store.still_open(["late"]) == set()
    assert await store.open("late", idle=60, known=stored) is None
    assert await store.open("late", idle=60) is None
    await put(store, "later", sid="s2" if "sid" in by else None)
    assert await store.open("later", idle=60) is not None, "a session that begins later is valid"


async def test_a_sign_in_that_runs_while_all_sessions_are_ended_has_ended(redis: RedisClient) -> None:
    store = SessionStore(redis)
    began = await store.claim_login(ISSUER, "state", "holder", keep=60)
    await store.end_all(ISSUER, subject="ada")
    await put(store, "late", began=began)
    assert await store.open("late", idle=60) is None


async def test_sessions_have_ended_even_if_their_deletion_failed(redis: RedisClient) -> None:
    store = SessionStore(redis)
    first, second = await put(store, "first", sid="s1"), await put(store, "second", sid="s2")
    index = await redis.call("KEYS", redis_key("sub:*", "sessions"))
    # A process that dies between the two steps leaves the records, and the index may be lost, too.
    await redis.call("DEL", *index)
    await store.end_all(ISSUER, subject="ada")
    assert await store.still_open(["first", "second"]) == set()
    assert await store.open("first", idle=60, known=first) is None
    assert await store.open("second", idle=60) is None
    assert second.subject == first.subject and second.sid != first.sid


async def test_an_end_is_stored_as_long_as_any_session_that_it_ends_could_last(redis: RedisClient) -> None:
    store = SessionStore(redis)
    await put(store, "long", lifetime=30 * 86_400)
    for _ in range(2):
        # The second time the index is missing; the moment must not expire sooner for that.
        await store.end_all(ISSUER, subject="ada")
        (key,) = await redis.call("KEYS", redis_key("sub:*", "ended"))
        assert await redis.call("PTTL", key) > 29 * 86_400 * 1000
    await store.end_all(ISSUER, subject="nobody")
    for key in await redis.call("KEYS", redis_key("*", "ended")):
        assert await redis.call("PTTL", key) > 800 * 1000


async def test_a_session_whose_record_does_not_name_its_subject_is_not_accepted(
    make: Make, redis: RedisClient
) -> None:
    here = make()
    cookie = await here.start(record())
    key = SessionKey.read(cookie)
    assert key is not None
    await redis.call("HDEL", redis_key(f"session:{key.id}", "record"), "began", "subject", "sid")
    assert await make().principal(cookie) is None
    assert await here.principal(cookie) is None, "also where the session is cached"


async def test_an_invented_cookie_writes_nothing_and_reports_nothing(make: Make, redis: RedisClient) -> None:
    reported: list[str] = []

    async def on_end(id: str) -> None:
        reported.append(id)

    sessions = make(on_end=on_end)
    for _ in range(20):
        assert await sessions.end(SessionKey.new().value) is None
        await sessions.end_by_id(SessionKey.new().id)
    assert reported == []
    assert await redis.call("DBSIZE") == 0


class WithoutIndexes(RedisClient):
    """Redis goes away between the end of a session and the update of its indexes."""

    async def batch(self, commands: Any, *, limit: float | None = None) -> list[Any]:
        if commands and commands[0][0] == "ZREM":
            raise StoreUnavailable("away")
        return await super().batch(commands, limit=limit)


async def test_a_logout_takes_effect_when_the_indexes_could_not_be_updated(
    make: Make, redis_url: str
) -> None:
    reported: list[str] = []

    async def on_end(id: str) -> None:
        reported.append(id)

    async with WithoutIndexes(redis_url) as over:
        sessions = make(over=over, on_end=on_end)
        cookie = await sessions.start(record())
        assert await sessions.end(cookie) is not None
        assert len(reported) == 1
    assert await make().end_all(ISSUER, sid="s1", subject=None) == 1, "the rest names no person"


async def test_an_interrupted_end_of_many_sessions_reports_each_when_repeated(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.stores.sessions._BATCH", 4)
    store = SessionStore(redis)
    every = {f"s{number}" for number in range(10)}
    for id in sorted(every):
        await put(store, id)
    cut = store.end_in_batches(ISSUER, subject="ada")
    first = await anext(cut)
    await cut.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
    assert len(first) == 4
    assert await store.still_open(sorted(every)) == set(), "all of them have ended by then"
    assert set(await store.end_all(ISSUER, subject="ada")) == every


async def test_a_logout_removes_the_session_from_the_indexes(make: Make, redis: RedisClient) -> None:
    sessions = make()
    await sessions.end(await sessions.start(record()))
    assert await redis.call("DBSIZE") == 0


async def test_the_answer_to_a_sign_in_is_used_once_unless_it_is_released(redis: RedisClient) -> None:
    store = SessionStore(redis)
    claims = await asyncio.gather(
        *(store.claim_login(ISSUER, "state", f"h{number}", keep=60) for number in range(20))
    )
    (holder,) = [f"h{number}" for number, moment in enumerate(claims) if moment is not None]
    await store.release_login(ISSUER, "state", "somebody else")
    assert await store.claim_login(ISSUER, "state", "again", keep=60) is None
    await store.release_login(ISSUER, "state", holder)
    moment = await store.claim_login(ISSUER, "state", "again", keep=60)
    assert moment is not None and abs(moment - time.time()) < 60


async def test_the_redirect_after_a_logout_is_sealed_and_read_once(make: Make, redis: RedisClient) -> None:
    sessions = make()
    value = await sessions.keep_logout_url("https://issuer.test/logout?id_token_hint=eyJ")
    (key,) = await redis.call("KEYS", "*")
    assert value.encode() not in key and b"eyJ" not in await redis.call("GET", key)
    assert 0 < await redis.call("PTTL", key) <= 60_000
    assert await sessions.take_logout_url(SessionKey.new().value) is None
    assert await sessions.take_logout_url(value) == "https://issuer.test/logout?id_token_hint=eyJ"
    for again in (value, None, "", "x"):
        assert await sessions.take_logout_url(again) is None


async def test_a_logout_token_counts_once(redis: RedisClient) -> None:
    store = SessionStore(redis)
    seen = await asyncio.gather(*(store.use_logout_token(ISSUER, "jti", keep=60) for _ in range(20)))
    assert sum(seen) == 1


def frozen(server: Valkey) -> Callable[[], None]:
    server.send(signal.SIGSTOP)
    return lambda: server.send(signal.SIGCONT)


@pytest.fixture
async def own(own_valkey: Valkey) -> AsyncIterator[RedisClient]:
    async with RedisClient(own_valkey.url, timeout=1.0) as redis:
        yield redis


async def test_while_redis_is_away_a_recent_session_goes_on_and_another_gets_503(
    make: Make, own: RedisClient, own_valkey: Valkey
) -> None:
    monotonic = Clock(time.monotonic)
    sessions, stranger = make(over=own, monotonic=monotonic), make(over=own)
    cookie = await sessions.start(record(20_000))
    own_valkey.stop()
    with pytest.raises(Problem) as caught:
        await stranger.principal(cookie)
    assert (caught.value.status, caught.value.code) == (503, "unavailable")
    assert await sessions.principal(cookie, safe=False) is not None
    monotonic.later = 61
    assert await sessions.principal(cookie, safe=True) is not None
    with pytest.raises(Problem, match="503"):
        await sessions.principal(cookie, safe=False)
    monotonic.later = 301
    with pytest.raises(Problem, match="503"):
        await sessions.principal(cookie, safe=True)
    with pytest.raises(StoreUnavailable):
        await sessions.end(cookie)
    with pytest.raises(StoreUnavailable):
        await sessions.start(record())


async def test_a_frozen_redis_delays_a_few_requests_and_not_all(
    make: Make, own: RedisClient, own_valkey: Valkey
) -> None:
    sessions = make(over=own)
    cookie = await sessions.start(record(20_000))
    thaw = frozen(own_valkey)
    try:
        began = time.monotonic()
        for _ in range(200):
            assert await sessions.principal(cookie) is not None
        assert time.monotonic() - began < 100, "each of them alone would have waited a second"
    finally:
        thaw()
    stranger = make(over=own)

    async def back() -> bool:
        with contextlib.suppress(Problem):
            return await stranger.principal(cookie) is not None
        return False

    await until(back, "sessions did not come back")


async def test_the_session_store_raises_store_unavailable_without_redis(
    own: RedisClient, own_valkey: Valkey
) -> None:
    store = SessionStore(own)
    own_valkey.stop()
    attempts: list[Callable[[], Awaitable[Any]]] = [
        lambda: store.open("x", idle=1),
        lambda: store.lock("x", "h"),
        lambda: store.unlock("x", "h"),
        lambda: store.swap("x", 1, b"", "h"),
        lambda: store.end("x"),
        lambda: store.end_all(ISSUER, sid="s"),
        lambda: store.use_logout_token(ISSUER, "j", keep=1),
        lambda: store.still_open(["x"]),
        lambda: store.claim_login(ISSUER, "s", "h", keep=1),
        lambda: store.release_login(ISSUER, "s", "h"),
        lambda: store.put_logout_redirect("x", b"", keep=1),
        lambda: store.take_logout_redirect("x"),
    ]
    for attempt in attempts:
        with pytest.raises(StoreUnavailable):
            await attempt()


async def test_the_cache_of_sessions_is_bounded_in_bytes(
    redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.edge.access.session_cache.MAX_BYTES", 200_000)
    store = SessionStore(redis)
    cache = SessionCache(store, SETTINGS, time.time, time.monotonic)
    large = replace(record(), tokens=TokenSet("a" * 60_000, time.time(), time.time() + 300))
    stored = StoredSession(1, time.time() + 300, None)
    for number in range(10):
        cache.put(f"large-{number}", large, stored)
        cache.put(f"large-{number}", large, stored)
    cache.put("small", record(), stored)
    assert list(cache._sessions) == ["large-7", "large-8", "large-9", "small"]
    for id in list(cache._sessions):
        cache.drop(id)
    assert cache._size == 0
