"""`bff forget`: after it Redis holds nothing of the person, and everything of everybody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from bff import Call, Principal, SagaStatus, Upstream
from bff.calls import DeclarationError
from bff.cli.forget import forget
from bff.edge.access.session import Sessions
from bff.edge.access.session_record import SessionRecord, TokenSet
from bff.edge.settings import SessionSettings, Settings
from bff.policies.cache import key_of
from bff.stores.cache import CacheStore, Change, digest, unpack_change
from bff.stores.claims import Claims, New, StoredAnswer, Ticket
from bff.stores.dead_letters import DeadLetters
from bff.stores.events import BrokerEvent
from bff.stores.journal import Entry, Journal
from bff.stores.keys import owner_tag
from bff.stores.persons import PersonStore
from bff.stores.redis.client import RedisClient
from bff.stores.sessions import SessionStore
from bff.stores.values import Values
from tests.waiting import until

ISSUER = "https://id.test"
# What a glob pattern, JSON or a command line could misread.
ADA, GRACE = 'ada*"[x] é', "grace"


class Shelf(Upstream, team="Shelf", contact="#shelf"):
    def thing(self) -> Call[str]:
        return self.get("/thing", str).fresh(60)


shelf = Shelf()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as redis:
        yield redis


async def everything(redis: RedisClient) -> dict[bytes, bytes]:
    return {key: await redis.call("DUMP", key) or b"" for key in await redis.call("KEYS", "*")}


async def live(redis: RedisClient, subject: str) -> None:
    """Everything that the gateway stores about a person."""
    who = Principal(ISSUER, subject, "t", 2e9, scopes=frozenset({"shop"}))
    journal = Journal(redis)
    claims = Claims(redis, journal)
    ticket = Ticket(who.id, f"key-of-{who.pseudonym}", "print", "holder", lease=10, ttl=3600)
    claimed, _ = await claims.claim(ticket, safe=True)
    assert isinstance(claimed, New)
    saga = SagaStatus(id="s1", type="order", status="PENDING", version=0, at="2026-01-01T00:00:00Z")
    assert await claims.complete(ticket, StoredAnswer(200, (), b"the stored answer"), saga)
    saga = saga.model_copy(update={"version": 3, "status": "RUNNING"})
    await journal.append(who.id, Entry.of(saga, now_ms=0))
    cache = CacheStore(redis, wait=10)
    await cache.put(digest(key_of(shelf.thing(), who)), b"a private answer", 60)
    await cache.invalidate_for_owner(who.id, ["orders"])
    await Values(redis).put(f"bell/{who.pseudonym}", 1, {"rings": 3}, "2026-01-01T00:00:00Z")
    body = json.dumps({"owner": who.id}).encode()
    await DeadLetters(redis).add(BrokerEvent("events:a:0", "1-0", body, "redis"), "unreadable")
    tokens = TokenSet("a", 1.0, 2e9, frozenset(), "r")
    for sid in (f"{subject}-one", f"{subject}-two"):
        sessions = Sessions(SessionStore(redis), SessionSettings(), renew=_never)
        await sessions.start(SessionRecord(ISSUER, subject, sid, {}, tokens))


async def _never(refresh_token: str) -> TokenSet:
    raise AssertionError


def settings(url: str) -> Settings:
    issuers = [{"issuer": ISSUER, "audience": "shop"}]
    return Settings.model_validate({"redis": {"url": url, "timeout": 10}, "issuers": issuers})


async def test_a_person_is_erased_and_nobody_else(
    redis: RedisClient, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await live(redis, GRACE)
    await CacheStore(redis, wait=10).put(digest(key_of(shelf.thing().public(), None)), b"for all", 60)
    before = await everything(redis)
    await live(redis, ADA)
    assert len(await everything(redis)) > len(before) + 10
    done = await asyncio.to_thread(forget, settings(redis_url), ISSUER, ADA, keep=60, applied=0.01)
    assert done == 0
    printed = capsys.readouterr().out
    assert f"2 sessions of {ADA} have ended" in printed
    for kind in ("1 stored answers", "1 cached answers", "1 values", "1 dead letters", "journal"):
        assert kind in printed, printed
    after = await everything(redis)
    left = {key for key in after if key not in before}
    allowed = (b"{revoked}", b":ended")
    assert all(any(mark in key for mark in allowed) for key in left), left
    dead = [key for key in before if key.endswith(b"dead")]
    for key, dump in before.items():
        if key not in dead:
            assert after[key] == dump, key
    person = f"{ISSUER}|{ADA}"
    for key, dump in after.items():
        assert owner_tag(person).encode() not in key
        assert (b"ada*" not in dump and b"a private answer" not in dump) or key in before
    assert [letter.event.body for letter in await DeadLetters(redis).page(10)] == [
        json.dumps({"owner": f"{ISSUER}|{GRACE}"}).encode()
    ]


async def test_ten_thousand_keys_of_a_person_are_erased(redis: RedisClient) -> None:
    who = Principal(ISSUER, "ada", "t", 2e9)
    await redis.batch(
        [("SET", f"bff:1:{{{owner_tag(who.id)}}}:claim:{number}", b"x") for number in range(10_000)]
    )
    assert await PersonStore(redis).erase(who.id) == {"stored answers": 10_000}
    assert await redis.call("DBSIZE") == 0
    assert await PersonStore(redis).erase(who.id) == {}


async def test_gateways_drop_what_they_have_cached(redis: RedisClient, redis_url: str) -> None:
    from bff.stores.redis.subscriptions import Subscriptions
    from bff.transport.invalidations import Invalidations

    dropped: list[bool] = []
    async with Subscriptions(redis) as subscriptions:
        invalidations = Invalidations(
            subscriptions, CacheStore(redis, wait=10), on_missed=lambda: dropped.append(True)
        )
        invalidations.start()
        await invalidations.ready(10)
        dropped.clear()
        await PersonStore(redis).erase(f"{ISSUER}|ada")

        async def heard() -> bool:
            return bool(dropped)

        await until(heard)


def test_an_answer_for_one_user_is_found_by_its_owner_and_a_shared_one_names_nobody() -> None:
    ada = Principal(ISSUER, "ada", "t", 2e9, scopes=frozenset({"a", "b"}))
    name = digest(key_of(shelf.thing(), ada))
    assert name.endswith(f".{owner_tag(ada.id)}") and "ada" not in name.partition(".")[0]
    assert "." not in digest(key_of(shelf.thing().public(), ada))
    assert unpack_change(b'0 ["forgotten", "x"]') == Change(0, forgotten="x")
    assert unpack_change(b'0 ["else", "x"]') is None


def test_a_person_of_an_unknown_issuer_or_an_impossible_time_is_refused(redis_url: str) -> None:
    with pytest.raises(DeclarationError, match="not in the settings"):
        forget(settings(redis_url), "https://typo.test", "ada", keep=60)
    with pytest.raises(DeclarationError, match="--keep"):
        forget(settings(redis_url), ISSUER, "ada", keep=0)


async def test_a_redis_that_is_away_is_named(redis_url: str) -> None:
    away = settings("redis://127.0.0.1:1/0")
    with pytest.raises(DeclarationError, match="BFF_REDIS__URL"):
        await asyncio.to_thread(forget, away, ISSUER, "ada", keep=60, applied=0.0)
