"""Refreshes to the second: when a token is refreshed, who waits and how long, and what a failure at each step does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bff.edge.access import refresh
from bff.edge.access.fetch import FetchFailed
from bff.edge.access.refresh import Refresher, RefreshRefused
from bff.edge.access.session_cache import CachedSession, SessionCache
from bff.edge.access.session_record import SessionKey, TokenSet
from bff.edge.problem import Problem
from bff.edge.settings import SessionSettings

from .issuing import ISSUER, NOW
from .session_table import SessionTable, clock, in_virtual_time, monotonic, record, unsigned


@dataclass
class Gateway:
    """One gateway. takes: seconds of a refresh; error: what it ends with; answer: members of its token answer."""

    table: SessionTable = field(default_factory=SessionTable)
    takes: float = 0.0
    error: Exception | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    redeemed: list[tuple[str, float]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = SessionCache(self.table, SessionSettings(), clock, monotonic)
        self.refresher = Refresher(self.table, self.cache, self._renew, self._end, clock, monotonic)

    async def _renew(self, refresh_token: str) -> TokenSet:
        self.redeemed.append((refresh_token, monotonic()))
        await asyncio.sleep(self.takes)
        if self.error is not None:
            raise self.error
        given: dict[str, Any] = {
            "access_token": "a2",
            "issued_at": clock(),
            "expires_at": clock() + 300,
            "refresh_token": "r2",
        }
        return TokenSet(**given | self.answer)

    async def _end(self, id: str) -> None:
        self.ended.append(id)

    async def session(self, key: SessionKey) -> CachedSession:
        found = await self.cache.read(key)
        assert found is not None
        return found

    async def use(self, key: SessionKey, *, refused: str | None = None) -> str | int | None:
        """What one request gets: an access token, the status of a refusal, or None for an ended session."""
        try:
            found = await self.refresher.fresh(key, await self.session(key), refused=refused)
        except Problem as problem:
            return problem.status
        return None if found is None else found.record.tokens.access_token

    def stored(self, key: SessionKey) -> TokenSet:
        found = self.table.read(key)
        assert found is not None
        return found.tokens


async def settled() -> None:
    """Let everything happen that waits for nothing."""
    await asyncio.sleep(0.01)


# ---- when


@pytest.mark.parametrize(
    ("left", "lasts", "due"),
    [
        (31, 300, False),
        (30, 300, True),
        (30, 90, True),
        (21, 60, False),
        (20, 60, True),
        (11, 30, False),
        (10, 30, True),
        (-5, 300, True),
    ],
)
@in_virtual_time
async def test_a_token_is_refreshed_half_a_minute_or_a_third_of_its_life_before_its_end(
    left: float, lasts: float, due: bool
) -> None:
    here = Gateway()
    key = here.table.begin(record(left, lasts=lasts))
    await here.use(key)
    await settled()
    assert here.redeemed == ([("r1", 0.0)] if due else [])
    assert here.stored(key).access_token == ("a2" if due else "a1")


@pytest.mark.parametrize(
    ("left", "lasts", "waits"),
    [(5.5, 300, False), (5, 300, True), (1.5, 3, False), (1, 3, True), (0, 300, True)],
)
@in_virtual_time
async def test_a_request_waits_only_where_the_old_token_is_about_to_expire(
    left: float, lasts: float, waits: bool
) -> None:
    here = Gateway(takes=0.2)
    key = here.table.begin(record(left, lasts=lasts))
    assert await here.use(key) == ("a2" if waits else "a1")
    assert monotonic() == (0.2 if waits else 0)


@in_virtual_time
async def test_a_token_without_a_refresh_token_is_used_until_its_end() -> None:
    here = Gateway()
    key = here.table.begin(record(2, refresh=None))
    assert await here.use(key) == "a1"
    assert await here.use(key, refused="a1") == "a1"
    await settled()
    assert here.redeemed == [] and here.table.names() == ["open", "open"]


@in_virtual_time
async def test_a_request_waits_five_seconds_for_a_slow_provider() -> None:
    here = Gateway(takes=100)
    key = here.table.begin(record(4.5))
    with pytest.raises(Problem) as caught:
        await here.refresher.fresh(key, await here.session(key))
    assert monotonic() == 5
    problem = caught.value
    assert (problem.status, problem.code, problem.retry_after) == (503, "unavailable", 2.0)
    assert problem.detail == (
        "The session's access token has run out and cannot be refreshed at the moment. Try again shortly."
    )


@pytest.mark.parametrize(("left", "gets"), [(0.25, "a1"), (0, 503)])
@in_virtual_time
async def test_the_old_token_is_used_to_its_last_moment(left: float, gets: str | int) -> None:
    here = Gateway(error=FetchFailed("away"))
    assert await here.use(here.table.begin(record(left))) == gets


@in_virtual_time
async def test_requests_of_one_session_share_a_refresh_and_one_that_leaves_does_not_end_it() -> None:
    here = Gateway(takes=1)
    key = here.table.begin(record(3))
    leaving, staying = (asyncio.ensure_future(here.use(key)) for _ in range(2))
    await asyncio.sleep(0.5)
    leaving.cancel()
    assert await staying == "a2" and leaving.cancelled()
    assert here.redeemed == [("r1", 0.0)]


@in_virtual_time
async def test_the_task_of_a_refresh_has_a_name() -> None:
    here = Gateway(takes=1)
    key = here.table.begin(record(10))
    await here.use(key)
    assert "bff-refresh" in {task.get_name() for task in asyncio.all_tasks()}
    await here.refresher.close()


# ---- a service refuses the token


@in_virtual_time
async def test_a_refused_token_is_replaced_and_again_after_a_minute_at_the_earliest() -> None:
    here = Gateway(takes=0.5)
    key = here.table.begin(record())
    assert await here.use(key, refused="another token") == "a1"
    assert await here.use(key) == "a1"
    assert here.redeemed == []
    assert await asyncio.gather(*(here.use(key, refused="a1") for _ in range(3))) == ["a2"] * 3
    assert here.redeemed == [("r1", 0.0)]
    here.answer = {"access_token": "a3", "refresh_token": "r3"}
    await asyncio.sleep(59)
    assert await here.use(key, refused="a2") == "a2"
    await asyncio.sleep(0.5)
    assert await here.use(key, refused="a2") == "a3"
    assert here.redeemed == [("r1", 0.0), ("r2", 60.0)]


@in_virtual_time
async def test_a_token_that_another_gateway_replaced_meanwhile_is_not_replaced_again() -> None:
    here = Gateway()
    key = here.table.begin(record())
    old = await here.session(key)
    newer = replace(record(), tokens=replace(record().tokens, access_token="a9"))
    here.table.renew(key, newer)
    found = await here.refresher.fresh(key, old, refused="a1")
    assert found is not None and found.record == newer
    assert here.redeemed == []


@in_virtual_time
async def test_a_token_that_another_gateway_prolonged_is_not_replaced_for_its_refusal_within_a_minute() -> (
    None
):
    here = Gateway()
    key = here.table.begin(record())
    here.answer = {"access_token": "a1", "expires_at": NOW + 40}
    assert await here.use(key, refused="a1") == "a1"
    await asyncio.sleep(30)
    old = await here.session(key)
    prolonged = replace(record(), tokens=replace(record().tokens, expires_at=NOW + 600))
    here.table.renew(key, prolonged)
    await here.refresher.fresh(key, old, refused="a1")
    await settled()
    assert here.redeemed == [("r1", 0.0)] and here.table.read(key) == prolonged


@in_virtual_time
async def test_a_refused_token_is_used_on_where_the_provider_is_slow() -> None:
    here = Gateway(takes=100)
    key = here.table.begin(record())
    assert await here.use(key, refused="a1") == "a1"
    assert monotonic() == 5


@in_virtual_time
async def test_what_is_remembered_of_refused_tokens_and_failures_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refresh, "MAX_CACHED", 2)
    here = Gateway(error=FetchFailed("away"))
    keys = [here.table.begin(record(20)) for _ in range(3)]
    asked: list[int] = []
    for number in (0, 1, 0, 1, 2, 0, 2):
        await here.use(keys[number])
        await settled()
        asked.append(len(here.redeemed))
    assert asked == [1, 2, 2, 2, 3, 4, 4], "the third failure replaces what was remembered"
    forced = Gateway()
    keys = [forced.table.begin(record(2000, lasts=3000)) for _ in range(3)]
    for key in keys:
        assert await forced.use(key, refused="a1") == "a2"
    forced.answer = {"access_token": "a3"}
    assert [await forced.use(keys[number], refused="a2") for number in (2, 0, 1)] == ["a2", "a3", "a3"]


# ---- a provider that is away


@in_virtual_time
async def test_a_provider_that_is_away_is_asked_every_two_seconds_and_ends_no_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = Gateway(error=FetchFailed("the provider is away"))
    key = here.table.begin(record(5))
    seen = []
    while monotonic() < 7:
        seen.append(await here.use(key))
        await asyncio.sleep(0.5)
    assert [moment for _, moment in here.redeemed] == [0, 2, 4, 6]
    assert seen == ["a1"] * 10 + [503] * 4
    first = caplog.records[0]
    assert first.getMessage() == (
        f"the access token of session {key.id[:12]} was not refreshed: the provider is away"
    )
    assert (first.levelname, first.exc_info) == ("WARNING", None)
    here.error = None
    await asyncio.sleep(1)
    assert await here.use(key) == "a2"
    assert here.ended == [] and here.table.holders == {}


@in_virtual_time
async def test_a_bug_in_a_refresh_is_raised_and_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = Gateway(error=ZeroDivisionError("a bug"))
    key = here.table.begin(record(3))
    with pytest.raises(ZeroDivisionError):
        await here.use(key)
    (logged,) = caplog.records
    assert logged.levelname == "ERROR" and logged.exc_info is not None and logged.exc_info[1] is here.error
    assert await here.use(key) == "a1", "and then there is a pause"
    assert here.table.holders == {}, "the lock is free again"


# ---- other gateways


@in_virtual_time
async def test_a_gateway_waits_for_the_lock_of_another_one_and_takes_its_tokens() -> None:
    here = Gateway()
    key = here.table.begin(record(3))
    here.table.holders[key.id] = "another gateway"
    waiting = asyncio.ensure_future(here.use(key))
    await asyncio.sleep(0.32)
    here.table.renew(key, replace(record(), tokens=replace(record().tokens, access_token="a7")))
    assert await waiting == "a7"
    assert monotonic() == pytest.approx(0.35)
    assert here.table.names().count("lock") == 7 and here.redeemed == []
    assert here.table.holders == {key.id: "another gateway"}


@in_virtual_time
async def test_a_lock_that_becomes_free_is_taken_and_released_by_its_holder() -> None:
    here = Gateway()
    key = here.table.begin(record(3))
    here.table.holders[key.id] = "another gateway"
    waiting = asyncio.ensure_future(here.use(key))
    await asyncio.sleep(0.01)
    here.table.holders.clear()
    assert await waiting == "a2"
    holders = [each[2] for each in here.table.asked if each[0] in ("lock", "unlock")]
    assert len(set(holders)) == 1 and len(holders[0]) == 16
    assert here.table.names()[-1] == "unlock" and here.table.holders == {}


@in_virtual_time
async def test_two_gateways_never_hold_a_lock_under_the_same_name() -> None:
    here = Gateway()
    for _ in range(2):
        await here.use(here.table.begin(record(3)))
    assert len({each[2] for each in here.table.asked if each[0] == "lock"}) == 2


@in_virtual_time
async def test_a_session_that_ends_while_a_gateway_waits_for_the_lock_has_ended() -> None:
    here = Gateway()
    key = here.table.begin(record(3))
    here.table.holders[key.id] = "another gateway"
    waiting = asyncio.ensure_future(here.use(key))
    await asyncio.sleep(0.01)
    del here.table.rows[key.id]
    assert await waiting is None


@in_virtual_time
async def test_a_session_that_ends_before_the_lock_is_taken_has_ended() -> None:
    here = Gateway()
    key = here.table.begin(record(3))
    old = await here.session(key)
    del here.table.rows[key.id]
    assert await here.refresher.fresh(key, old) is None
    assert here.redeemed == [] and here.table.holders == {}


@in_virtual_time
async def test_a_lock_that_stays_taken_is_given_up_after_twenty_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = Gateway()
    key = here.table.begin(record(29))
    here.table.holders[key.id] = "another gateway"
    assert await here.use(key) == "a1"
    await asyncio.sleep(19.97)
    assert caplog.records == []
    await asyncio.sleep(0.1)
    assert caplog.messages == [
        f"the access token of session {key.id[:12]} was not refreshed: "
        "another gateway's refresh of this session takes too long"
    ]
    assert here.redeemed == []


@in_virtual_time
async def test_a_lock_that_cannot_be_released_is_left_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bff.session")
    here = Gateway()
    here.table.failing = {"unlock"}
    assert await here.use(here.table.begin(record(3))) == "a2"
    assert caplog.messages == ["a refresh lock is left to its TTL: away"]
    assert here.table.holders == {}, "storing the tokens has released it"


# ---- what the provider answers


@in_virtual_time
async def test_a_refresh_replaces_the_tokens_and_nothing_else() -> None:
    here = Gateway()
    key = here.table.begin(record(3), version=4)
    assert await here.use(key) == "a2"
    expected = replace(record(3), tokens=TokenSet("a2", NOW, NOW + 300, frozenset({"shop"}), "r2", "id1"))
    assert here.table.read(key) == expected
    assert here.table.rows[key.id].stored.version == 5
    here.table.failing = {"all"}
    cached = await here.cache.get(key, safe=True, used=False)
    assert cached is not None and cached.record == expected and cached.stored.version == 5


@in_virtual_time
async def test_a_refused_refresh_token_ends_the_session(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bff.session")
    here = Gateway(error=RefreshRefused("invalid_grant"))
    key = here.table.begin(record(3), version=2)
    assert await here.use(key) is None
    assert here.ended == [key.id] and here.table.rows == {}
    assert ("end", key.id, 2) in here.table.asked
    assert caplog.messages == [f"session {key.id[:12]} ends: its refresh was refused: invalid_grant"]


@in_virtual_time
async def test_a_refresh_token_that_another_gateway_redeemed_meanwhile_does_not_end_the_session() -> None:
    here = Gateway(error=RefreshRefused("invalid_grant"), takes=1)
    key = here.table.begin(record(3))
    waiting = asyncio.ensure_future(here.use(key))
    await asyncio.sleep(0.5)
    here.table.renew(key, replace(record(), tokens=replace(record().tokens, access_token="a8")))
    assert await waiting == "a8"
    assert here.ended == []


@pytest.mark.parametrize(
    "claims", [{"iss": ISSUER, "sub": "grace"}, {"iss": "https://x.test", "sub": "ada"}, {}]
)
@in_virtual_time
async def test_a_refresh_that_is_answered_for_another_person_ends_the_session(
    claims: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    here = Gateway(answer={"id_token": unsigned(**claims)})
    key = here.table.begin(record(3))
    assert await here.use(key) is None
    assert here.ended == [key.id] and here.table.rows == {}
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("ERROR", f"session {key.id[:12]} ends: its refresh was answered for another person")
    ]


@in_virtual_time
async def test_a_session_that_has_ended_meanwhile_is_not_ended_again_for_another_person() -> None:
    here = Gateway(answer={"id_token": unsigned(iss=ISSUER, sub="grace")}, takes=1)
    key = here.table.begin(record(3))
    waiting = asyncio.ensure_future(here.use(key))
    await asyncio.sleep(0.5)
    del here.table.rows[key.id]
    assert await waiting is None
    assert here.ended == []


@pytest.mark.parametrize("token", [unsigned(iss=ISSUER, sub="ada"), "cannot be read", None])
@in_virtual_time
async def test_the_session_keeps_the_id_token_of_its_sign_in(token: str | None) -> None:
    here = Gateway(answer={"id_token": token})
    key = here.table.begin(record(3))
    assert await here.use(key) == "a2"
    assert here.stored(key).id_token == "id1"


@in_virtual_time
async def test_a_session_that_another_gateway_refreshed_meanwhile_has_that_gateways_tokens() -> None:
    here = Gateway(takes=1)
    key = here.table.begin(record(3))
    waiting = asyncio.ensure_future(here.use(key))
    await asyncio.sleep(0.5)
    here.table.renew(key, replace(record(), tokens=replace(record().tokens, access_token="a8")))
    assert await waiting == "a8"
    assert here.stored(key).access_token == "a8"


@in_virtual_time
async def test_a_session_that_ends_during_its_refresh_stays_ended() -> None:
    here = Gateway(takes=1)
    key = here.table.begin(record(3))
    waiting = asyncio.ensure_future(here.use(key))
    await asyncio.sleep(0.5)
    del here.table.rows[key.id]
    assert await waiting is None
    assert here.table.rows == {}


# ---- Redis away, and the end of the gateway


def after(times: int, table: SessionTable, name: str) -> Callable[[], Awaitable[None]]:
    """Redis is away for the first calls of this name."""
    left = [times]
    table.failing.add(name)

    async def act() -> None:
        if not left[0]:
            table.failing.discard(name)
        left[0] -= 1

    return act


@in_virtual_time
async def test_new_tokens_are_stored_as_soon_as_redis_is_back() -> None:
    here = Gateway()
    key = here.table.begin(record(20))
    here.table.before["swap"] = after(4, here.table, "swap")
    here.table.failing.add("unlock")
    await here.use(key)
    await asyncio.sleep(10)
    moments = [moment for name, _, *more in here.table.asked if name == "swap" for moment in more[1:]]
    assert moments == pytest.approx([0, 0.1, 0.6, 1.6, 3.6])
    assert here.stored(key).refresh_token == "r2" and len(here.redeemed) == 1
    assert here.table.holders == {}, "that releases the lock, too"


@in_virtual_time
async def test_new_tokens_that_cannot_be_stored_end_no_session(caplog: pytest.LogCaptureFixture) -> None:
    here = Gateway()
    key = here.table.begin(record(20))
    here.table.before["swap"] = after(5, here.table, "swap")
    await here.use(key)
    await asyncio.sleep(10)
    assert here.stored(key).refresh_token == "r1"
    assert [one.levelname for one in caplog.records] == ["WARNING"] and here.ended == []


@in_virtual_time
async def test_a_gateway_that_ends_lets_its_refreshes_finish_for_five_seconds() -> None:
    quick, slow = Gateway(takes=4), Gateway(takes=100)
    for here in (quick, slow):
        key = here.table.begin(record(10))
        await here.use(key)
    began = monotonic()
    await asyncio.gather(quick.refresher.close(), slow.refresher.close())
    await settled()
    assert monotonic() - began == pytest.approx(5.01)
    assert [row.stored.version for here in (quick, slow) for row in here.table.rows.values()] == [2, 1]
    assert {task.get_name() for task in asyncio.all_tasks()}.isdisjoint({"bff-refresh"})
    await quick.refresher.close()
    assert monotonic() - began == pytest.approx(5.01), "nothing is left to wait for"
