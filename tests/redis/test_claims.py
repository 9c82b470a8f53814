import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from bff.calls import SagaStatus
from bff.policies.idempotency import fingerprint, key_hash
from bff.policies.rate import Bucket, Quota
from bff.stores.claims import (
    Busy,
    Claims,
    Done,
    Limited,
    Mismatch,
    New,
    Replay,
    StoredAnswer,
    Ticket,
    Unknown,
)
from bff.stores.journal import Entry, Journal
from bff.stores.keys import owner_tag, redis_key
from bff.stores.processes import Processes
from bff.stores.redis.client import RedisClient

from ..waiting import until

OWNER = "https://id.example|ada"
KEY = key_hash(
    issuer="https://id.example", subject="ada", client="bff", method="POST", route="/api/orders", key="k1"
)
PRINT = fingerprint(
    method="POST", raw_path=b"/api/orders", query=b"", content_type="application/json", body=b"{}"
)
ANSWER = StoredAnswer(202, (("location", "/bff/sagas/order/o1"),), b'{"saga":1,"cursor":"', b'"}')
AT = "2026-03-01T10:00:00Z"


class Clock:
    now = 1_772_359_200.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(redis: RedisClient) -> Journal:
    return Journal(redis)


@pytest.fixture
def claims(redis: RedisClient, journal: Journal, clock: Clock) -> Claims:
    return Claims(redis, journal, clock=clock)


async def claim(claims: Claims, holder: str = "h1", *, print: str = PRINT, safe: bool = False) -> object:
    answer, _ = await claims.claim(Ticket(OWNER, KEY, print, holder, lease=10, ttl=3600), safe=safe)
    return answer


async def ticket(claims: Claims, holder: str = "h1", *, safe: bool = False) -> Ticket:
    answer = await claim(claims, holder, safe=safe)
    assert isinstance(answer, New)
    return answer.ticket


def saga(version: int = 0, status: str = "PENDING") -> SagaStatus:
    return SagaStatus(id="o1", type="order", status=status, version=version, mutation="k1", at=AT)


async def test_only_one_of_a_hundred_concurrent_claims_is_new(claims: Claims) -> None:
    answers = await asyncio.gather(*(claim(claims, f"h{number}") for number in range(100)))
    assert sum(isinstance(answer, New) for answer in answers) == 1
    assert sum(isinstance(answer, Busy) for answer in answers) == 99


async def test_busy_reports_the_rest_of_the_lease(claims: Claims, clock: Clock) -> None:
    await ticket(claims)
    clock.now += 4
    assert await claim(claims, "h2") == Busy(6.0)


async def test_another_payload_under_the_same_key_is_a_mismatch_in_every_state(
    claims: Claims, clock: Clock
) -> None:
    first = await ticket(claims)
    assert await claim(claims, "h2", print="other") == Mismatch()
    await claims.mark_unknown(first)
    assert await claim(claims, "h2", print="other") == Mismatch()
    await claims.complete(first, ANSWER)
    assert await claim(claims, "h2", print="other") == Mismatch()


async def test_a_replay_repeats_the_answer_byte_for_byte(claims: Claims) -> None:
    done = await claims.complete(await ticket(claims), ANSWER, saga())
    assert isinstance(done, Done) and done.cursor is not None
    assert done.body == b'{"saga":1,"cursor":"' + str(done.cursor).encode() + b'"}'
    assert await claim(claims, "h2") == Replay(202, ANSWER.headers, done.body)
    assert await claim(claims, "h3") == Replay(202, ANSWER.headers, done.body)


async def test_any_bytes_survive_being_stored(claims: Claims) -> None:
    body = bytes(range(256))
    await claims.complete(await ticket(claims), StoredAnswer(200, (), body))
    assert await claim(claims, "h2") == Replay(200, (), body)


async def test_an_expired_lease_is_taken_over_when_that_is_safe_and_the_old_holder_is_fenced(
    claims: Claims, clock: Clock
) -> None:
    old = await ticket(claims)
    clock.now += 10.1
    taken = await claim(claims, "h2", safe=True)
    assert isinstance(taken, New) and taken.takeover
    assert not await claims.heartbeat(old)
    assert not await claims.release(old)
    assert not await claims.mark_unknown(old)
    assert await claims.complete(old, ANSWER, saga()) is None
    assert await claims.heartbeat(taken.ticket)
    assert await claims.complete(taken.ticket, ANSWER) is not None


async def test_an_expired_lease_is_unknown_when_running_again_is_not_safe(
    claims: Claims, clock: Clock
) -> None:
    old = await ticket(claims)
    clock.now += 10.1
    assert await claim(claims, "h2") == Unknown()
    assert await claim(claims, "h3", safe=True) == Unknown()
    # The late holder knows the outcome, which is better than none.
    assert await claims.complete(old, ANSWER) is not None
    assert isinstance(await claim(claims, "h4"), Replay)


async def test_heartbeats_renew_a_claim(claims: Claims, clock: Clock) -> None:
    held = await ticket(claims)
    for _ in range(5):
        clock.now += 8
        assert await claims.heartbeat(held)
        assert isinstance(await claim(claims, "h2", safe=True), Busy)


async def test_a_released_claim_can_be_made_again(claims: Claims) -> None:
    assert await claims.release(await ticket(claims))
    assert isinstance(await claim(claims, "h2"), New)


async def test_completing_appends_the_first_event_of_a_saga_and_returns_its_cursor(
    claims: Claims, journal: Journal
) -> None:
    done = await claims.complete(await ticket(claims), ANSWER, saga(1, "RUNNING"), "00-aa-bb-01")
    opened = await journal.open(OWNER, None)
    assert done is not None and done.cursor == opened.position
    (row,) = map(json.loads, opened.entries)
    assert (row["status"], row["version"], row["mutation"]) == ("PENDING", 0, "k1")
    assert row["traceparent"] == "00-aa-bb-01"


async def test_completing_after_the_first_events_returns_the_newest_cursor_and_changes_nothing(
    claims: Claims, journal: Journal
) -> None:
    held = await ticket(claims)
    for version in (1, 2):
        await journal.append(OWNER, Entry.of(saga(version, "RUNNING"), now_ms=0))
    other = SagaStatus(id="o2", type="order", status="RUNNING", version=1, at=AT)
    await journal.append(OWNER, Entry.of(other, now_ms=0))
    done = await claims.complete(held, ANSWER, saga())
    opened = await journal.open(OWNER, None)
    assert done is not None and done.cursor is not None and opened.position is not None
    assert (done.cursor.epoch, done.cursor.offset) == (opened.position.epoch, 2)
    assert [json.loads(row)["version"] for row in opened.entries] == [1, 2]


async def test_a_saga_that_the_journal_lost_is_stored_as_the_service_reports_it(
    claims: Claims, journal: Journal
) -> None:
    await claims.complete(await ticket(claims), ANSWER, saga(5, "RUNNING"))
    (row,) = map(json.loads, (await journal.open(OWNER, None)).entries)
    assert (row["status"], row["version"]) == ("RUNNING", 5)
    assert await journal.append(OWNER, Entry.of(saga(6, "COMPLETED"), now_ms=0)) == "appended"


async def test_a_claim_is_in_its_owners_slot_and_expires(claims: Claims, redis: RedisClient) -> None:
    held = await ticket(claims)
    (key,) = await redis.call("KEYS", "*")
    assert key.startswith(redis_key(owner_tag(OWNER), "claim:").encode())
    assert 3590 < await redis.call("TTL", key) <= 3600
    await claims.complete(held, ANSWER)
    assert 3590 < await redis.call("TTL", key) <= 3600


def test_no_two_different_lists_of_parts_hash_alike() -> None:
    def of(route: str, key: str) -> str:
        return key_hash(issuer="i", subject="s", client="c", method="POST", route=route, key=key)

    assert of("/a", "bc") != of("/ab", "c")
    parts = {"method": "POST", "raw_path": b"/a", "query": b"b", "content_type": "c", "body": b"d"}
    moved = {**parts, "raw_path": b"/ab", "query": b""}
    assert fingerprint(**parts) != fingerprint(**moved)  # type: ignore[arg-type]
    assert len(of("/a", "b")) == 64


# ---- claims that Redis lost, and rate limits -----------------------------------------------------------------------


async def test_a_claim_that_redis_lost_is_written_again_by_the_holders_next_heartbeat(
    claims: Claims, redis: RedisClient
) -> None:
    held = await ticket(claims)
    await redis.call("FLUSHALL")
    assert await claims.heartbeat(held)
    assert isinstance(await claim(claims, "h2"), Busy)
    assert await claim(claims, "h2", print="other") == Mismatch()
    await redis.call("FLUSHALL")
    assert await claims.complete(held, ANSWER) is not None
    assert isinstance(await claim(claims, "h3"), Replay)
    assert await claim(claims, "h3", print="other") == Mismatch()


async def test_an_unknown_outcome_stays_unknown_when_redis_lost_the_claim(
    claims: Claims, redis: RedisClient
) -> None:
    held = await ticket(claims)
    await redis.call("FLUSHALL")
    assert not await claims.release(held), "there is no claim to release"
    assert await claims.mark_unknown(held)
    assert await claim(claims, "h2") == Unknown()


async def test_a_late_heartbeat_succeeds_where_no_takeover_is_allowed(claims: Claims, clock: Clock) -> None:
    held = await ticket(claims)
    clock.now += 10.1
    assert await claim(claims, "h2") == Unknown()
    assert await claims.heartbeat(held), "it continues, and its outcome becomes the answer"
    assert await claim(claims, "h2") == Unknown()
    assert await claims.complete(held, ANSWER) is not None
    assert not await claims.heartbeat(held)
    assert await claims.complete(held, ANSWER) is None, "an outcome is stored once"


def bucket(name: str, amount: int) -> Bucket:
    return Bucket(redis_key("x", f"rate:{name}"), Quota(name, amount, 3600))


async def limited(
    claims: Claims,
    key: str,
    holder: str = "h1",
    *,
    new: list[Bucket],
    repeat: list[Bucket],
    print: str = PRINT,
) -> tuple[object, list[bool]]:
    one = Ticket(OWNER, key, print, holder, lease=10, ttl=3600)
    answer, spent = await claims.claim(one, safe=True, new=new, repeat=repeat)
    return answer, [each.allowed for each in spent]


async def test_only_new_commands_spend_the_limit_and_repeats_have_a_ceiling(
    claims: Claims, clock: Clock, redis: RedisClient
) -> None:
    limits = {"new": [bucket("a", 2), bucket("b", 9)], "repeat": [bucket("c", 3)]}
    assert isinstance((await limited(claims, "1", **limits))[0], New)
    for expected in (Busy, Mismatch, Busy):
        print = "other" if expected is Mismatch else PRINT
        assert isinstance((await limited(claims, "1", "h2", print=print, **limits))[0], expected)
    assert await limited(claims, "1", "h2", **limits) == (Limited(), [False])
    assert isinstance((await limited(claims, "2", **limits))[0], New), (
        "repeats have not spent the limit of two"
    )
    assert await limited(claims, "3", **limits) == (Limited(), [False, True])
    clock.now += 1800
    assert isinstance((await limited(claims, "3", **limits))[0], New), "the refused command was not claimed"
    clock.now += 10.1
    assert (await limited(claims, "3", "h2", **limits))[0] == Limited(), "a takeover is another run"
    clock.now += 1800
    taken, _ = await limited(claims, "3", "h2", **limits)
    assert isinstance(taken, New) and taken.takeover


# ---- a holder whose process has ended ----


async def test_a_safe_claim_is_free_when_its_process_has_ended(
    redis_url: str, redis: RedisClient, journal: Journal
) -> None:
    here, there = Processes(redis, process="here"), Processes(redis, process="there")
    ours, theirs = Claims(redis, journal, here), Claims(redis, journal, there)
    async with Redis.from_url(redis_url) as subscriber, subscriber.pubsub() as pubsub:
        await pubsub.subscribe(there.channel)
        await pubsub.get_message(timeout=5)
        held = await ticket(theirs, theirs.new_holder())
        assert isinstance(await claim(ours, ours.new_holder(), safe=True), Busy), "its process is alive"
        await pubsub.unsubscribe(there.channel)
        await until(lambda: here.ended("there"))
        assert isinstance(await claim(ours, ours.new_holder()), Busy), "it may not run twice"
        taken = await claim(ours, ours.new_holder(), safe=True)
        assert isinstance(taken, New) and taken.takeover
        assert not await theirs.heartbeat(held), "a holder that was only away is fenced"
        assert await theirs.complete(held, ANSWER) is None


async def test_a_process_that_reconnects_in_time_keeps_its_claims(
    redis_url: str, redis: RedisClient, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.stores.processes.RECONNECT", 3.0)
    here, there = Processes(redis, process="here"), Processes(redis, process="there")
    ours, theirs = Claims(redis, journal, here), Claims(redis, journal, there)
    await ticket(theirs, theirs.new_holder())
    async with Redis.from_url(redis_url) as subscriber, subscriber.pubsub() as pubsub:
        asking = asyncio.create_task(claim(ours, ours.new_holder(), safe=True))
        # Between the two checks, or before both.
        await pubsub.subscribe(there.channel)
        await pubsub.get_message(timeout=5)
        assert isinstance(await asking, Busy)


async def test_a_claim_of_this_process_or_of_no_process_lasts_until_its_lease_ends(
    redis: RedisClient, journal: Journal
) -> None:
    ours = Claims(redis, journal, Processes(redis, process="here"))
    await ticket(ours, ours.new_holder())
    assert isinstance(await claim(ours, ours.new_holder(), safe=True), Busy)
    await redis.call("FLUSHALL")
    await ticket(ours, "of-an-older-version")
    assert isinstance(await claim(ours, ours.new_holder(), safe=True), Busy)


async def test_a_browser_reports_once_about_a_claim_in_any_state_and_its_answer_stays(
    claims: Claims,
) -> None:
    assert await claims.report(OWNER, []) == []
    assert await claims.report(OWNER, [KEY]) == [None]
    mine = await ticket(claims)
    # A browser may learn the outcome from the stream before the answer is stored.
    assert await claims.report(OWNER, [KEY, "f" * 64]) == [True, None]
    await claims.complete(mine, ANSWER)
    assert await claims.report(OWNER, [KEY, KEY]) == [False, False]
    assert await claims.report("https://id.example|grace", [KEY]) == [None]
    assert await claim(claims, "h2") == Replay(202, ANSWER.headers, ANSWER.body())


async def test_a_report_does_not_keep_a_claim_for_longer(claims: Claims, redis: RedisClient) -> None:
    await ticket(claims)
    name = redis_key(owner_tag(OWNER), f"claim:{KEY}")
    await redis.call("PEXPIRE", name, 5_000)
    await claims.report(OWNER, [KEY])
    assert 0 < await redis.call("PTTL", name) <= 5_000


async def test_a_hundred_concurrent_reports_count_once(claims: Claims) -> None:
    await ticket(claims)
    answers = await asyncio.gather(*(claims.report(OWNER, [KEY]) for _ in range(100)))
    assert sorted(first for (first,) in answers if first is not None) == [False] * 99 + [True]
