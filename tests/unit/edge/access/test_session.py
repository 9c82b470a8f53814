"""Browser sessions: what is stored at a sign-in, whom a cookie stands for, and every way in which a session ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bff.calls import Principal
from bff.calls.principal import RevocationKeys
from bff.edge.access import session
from bff.edge.access.fetch import FetchFailed
from bff.edge.access.refresh import RefreshRefused
from bff.edge.access.revocation_list import RevocationList
from bff.edge.access.session import Sessions
from bff.edge.access.session_record import SessionKey, TokenSet
from bff.edge.problem import Problem
from bff.edge.settings import SessionSettings
from bff.stores.redis.client import StoreUnavailable
from bff.stores.revocations import RevocationChanges, RevocationStore, Revoked

from .issuing import ISSUER, NOW
from .session_table import SessionTable, clock, in_virtual_time, monotonic, record

SETTINGS = SessionSettings(lifetime=7200, idle=3000)


def sessions(table: SessionTable, **options: Any) -> Sessions:
    return Sessions(table, SETTINGS, clock=clock, monotonic=monotonic, **options)


def renewing(token: str, *, takes: float = 0.0, lasts: float = 300.0) -> Any:
    async def renew(refresh_token: str) -> TokenSet:
        await asyncio.sleep(takes)
        return TokenSet(f"{token} for {refresh_token}", clock(), clock() + lasts)

    return renew


async def token_of(found: Sessions, cookie: str | None, **said: Any) -> str | None:
    principal = await found.principal(cookie, **said)
    return None if principal is None else principal.token


def id_of(cookie: str) -> str:
    key = SessionKey.read(cookie)
    assert key is not None
    return key.id


# ---- the beginning


@in_virtual_time
async def test_a_session_is_stored_sealed_with_what_its_ends_are_found_by() -> None:
    table = SessionTable()
    cookie = await sessions(table, renew=renewing("new")).start(record(), began=NOW - 5, browser="Firefox")
    row = table.rows[id_of(cookie)]
    assert row.put == {
        "issuer": ISSUER,
        "subject": "ada",
        "sid": "s1",
        "lifetime": 7200,
        "idle": 3000,
        "began": NOW - 5,
        "browser": "Firefox",
    }
    assert table.read(SessionKey(id_of(cookie), cookie)) == record()
    assert cookie.encode() not in row.sealed and b"a1" not in row.sealed


@in_virtual_time
async def test_a_session_begins_now_in_a_browser_without_a_name_where_nothing_else_is_said() -> None:
    table = SessionTable()
    cookie = await sessions(table).start(record())
    assert (table.rows[id_of(cookie)].put["began"], table.rows[id_of(cookie)].put["browser"]) == (None, "")


@pytest.mark.parametrize(
    ("left", "refresh", "provider", "lifetime"),
    [
        (300, "r1", "", 7200),
        (300, "r1", "staff", 7200),
        (300, "r1", "nobody", 300),
        (300, None, "", 300),
        (9999, None, "", 7200),
        (0.5, None, "", 1),
        (-9, None, "staff", 1),
    ],
)
@in_virtual_time
async def test_a_session_whose_token_cannot_be_refreshed_ends_with_it(
    left: float, refresh: str | None, provider: str, lifetime: float
) -> None:
    table = SessionTable()
    found = sessions(table, renew=renewing("new"), renew_at={"staff": renewing("staff")})
    cookie = await found.start(record(left, refresh=refresh, provider=provider))
    assert table.rows[id_of(cookie)].put["lifetime"] == lifetime
    if provider != "staff":
        cookie = await sessions(table).start(record(left, refresh=refresh, provider=provider))
        assert table.rows[id_of(cookie)].put["lifetime"] == max(1, min(7200, left)), (
            "without a way to refresh it"
        )


@in_virtual_time
async def test_a_session_that_has_just_begun_is_served_while_redis_is_away() -> None:
    table = SessionTable()
    found = sessions(table)
    cookie = await found.start(record())
    table.failing = {"all"}
    assert await token_of(found, cookie) == "a1"
    await asyncio.sleep(60)
    assert await token_of(found, cookie) == "a1", "a request that reads is served for five minutes"
    with pytest.raises(Problem, match="503 unavailable"):
        await found.principal(cookie, safe=False)
    with pytest.raises(StoreUnavailable):
        await found.start(record())


# ---- whom a cookie stands for


@in_virtual_time
async def test_a_principal_has_what_the_record_says() -> None:
    table = SessionTable()
    key = table.begin(replace(record(), left_out=("groups",)), began=NOW + 0.123999)
    principal = await sessions(table).principal(key.value)
    assert principal is not None
    assert (principal.issuer, principal.subject, principal.token) == (ISSUER, "ada", "a1")
    assert principal.expires_at == NOW + 28_800, "a session lasts longer than its access token"
    assert principal.scopes == {"shop"} and principal.roles == {"agent"}
    assert principal.claims == {"name": "Ada"}
    assert (principal.session, principal.session_key) == (key.id, key)
    assert (principal.authenticated_at, principal.acr) == (NOW - 9, "gold")
    assert principal.is_person is True and principal.left_out == ("groups",)
    assert principal.revocation_keys == RevocationKeys(None, "hash of ada", NOW + 0.123)
    assert table.asked == [("open", key.id, 3000, None)], "it counts as use"


@in_virtual_time
async def test_a_session_without_scopes_grants_none() -> None:
    table = SessionTable()
    principal = await sessions(table).principal(table.begin(record(scopes=None)).value)
    assert principal is not None and principal.scopes == frozenset()


@pytest.mark.parametrize("cookie", [None, "", "x", "a" * 43])
@in_virtual_time
async def test_an_unknown_cookie_stands_for_nobody(cookie: str | None) -> None:
    assert await sessions(SessionTable()).principal(cookie) is None


@in_virtual_time
async def test_a_session_is_valid_with_the_cookie_of_its_provider_alone() -> None:
    table = SessionTable()
    found = sessions(table)
    plain, staff = table.begin(record()).value, table.begin(record(provider="staff")).value
    assert [await token_of(found, each) for each in (plain, staff)] == ["a1", None]
    assert [await token_of(found, each, provider="staff") for each in (plain, staff)] == [None, "a1"]


@in_virtual_time
async def test_a_token_is_refreshed_at_the_provider_of_its_session() -> None:
    table = SessionTable()
    found = sessions(table, renew=renewing("new"), renew_at={"staff": renewing("staff")})
    plain, staff = table.begin(record(3)).value, table.begin(record(3, provider="staff")).value
    other = table.begin(record(3, provider="other")).value
    assert await token_of(found, plain) == "new for r1"
    assert await token_of(found, staff, provider="staff") == "staff for r1"
    assert await token_of(found, other, provider="other") == "a1"


@in_virtual_time
async def test_a_session_whose_refresh_is_refused_stands_for_nobody_and_its_end_is_announced() -> None:
    async def renew(refresh_token: str) -> TokenSet:
        raise RefreshRefused("invalid_grant")

    told: list[str] = []

    async def on_end(id: str) -> None:
        told.append(id)

    table = SessionTable()
    key = table.begin(record(3))
    assert await token_of(sessions(table, renew=renew, on_end=on_end), key.value) is None
    assert told == [key.id]


# ---- work after the request


@in_virtual_time
async def test_work_after_a_request_gets_a_token_that_is_valid_then_and_counts_as_no_use() -> None:
    table = SessionTable()
    found = sessions(table, renew=renewing("new"))
    key = table.begin(record(60))
    principal = await found.principal(key.value)
    assert principal is not None and principal.token == "a1"
    await asyncio.sleep(58)
    table.asked.clear()
    later = await found.current(principal)
    assert later is not None and later.token == "new for r1" and later == principal
    assert {idle for name, _, idle, *_ in table.asked if name == "open"} == {None}


@in_virtual_time
async def test_work_after_a_request_gets_another_token_where_a_service_refused_it() -> None:
    table = SessionTable()
    found = sessions(table, renew=renewing("new"))
    principal = await found.principal(table.begin(record(provider="")).value)
    assert principal is not None
    assert (await found.current(principal, refused="another")) == principal
    later = await found.current(principal, refused="a1")
    assert later is not None and later.token == "new for r1"


@in_virtual_time
async def test_work_after_a_request_of_any_provider_is_done_for_the_same_person() -> None:
    table = SessionTable()
    found = sessions(table)
    principal = await found.principal(table.begin(record(provider="staff")).value, provider="staff")
    assert principal is not None and await found.current(principal) == principal


@in_virtual_time
async def test_work_after_a_request_reads_from_memory_while_redis_is_away() -> None:
    table = SessionTable()
    found = sessions(table)
    principal = await found.principal(table.begin(record()).value)
    assert principal is not None
    table.failing = {"all"}
    await asyncio.sleep(100)
    assert await found.current(principal) == principal
    await asyncio.sleep(200)
    with pytest.raises(Problem, match="503"):
        await found.current(principal)


@in_virtual_time
async def test_no_work_is_done_for_a_session_that_has_ended() -> None:
    table = SessionTable()
    found = sessions(table)
    key = table.begin(record())
    principal = await found.principal(key.value)
    assert principal is not None
    del table.rows[key.id]
    assert await found.current(principal) is None


@in_virtual_time
async def test_the_principal_of_a_bearer_token_stays_as_it_is() -> None:
    bearer = Principal(ISSUER, "ada", "token", NOW)
    table = SessionTable()
    assert await sessions(table).current(bearer, refused="token") is bearer
    assert table.asked == []


# ---- the end


class Announced:
    """The notices to other gateways. most: how many were under way at once."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ids: list[str] = []
        self.most = self._open = 0
        self._error = error

    async def __call__(self, id: str) -> None:
        self._open += 1
        self.most = max(self.most, self._open)
        await asyncio.sleep(0.01)
        self._open -= 1
        self.ids.append(id)
        if self._error is not None:
            raise self._error


@in_virtual_time
async def test_signing_out_ends_the_session_and_returns_its_record() -> None:
    table, told = SessionTable(), Announced()
    found = sessions(table, on_end=told)
    key = table.begin(record())
    principal = await found.principal(key.value)
    assert principal is not None and not found.has_ended(principal)
    assert await found.end(key.value) == record()
    assert told.ids == [key.id] and found.has_ended(principal)
    assert await found.principal(key.value) is None
    assert await found.end(key.value) is None and told.ids == [key.id], "nothing is announced twice"


@pytest.mark.parametrize("cookie", [None, "x", "a" * 43])
@in_virtual_time
async def test_signing_out_without_a_session_announces_nothing(cookie: str | None) -> None:
    told = Announced()
    assert await sessions(SessionTable(), on_end=told).end(cookie) is None
    assert told.ids == []


@in_virtual_time
async def test_signing_out_takes_effect_without_gateways_to_tell() -> None:
    table = SessionTable()
    key, found = table.begin(record()), sessions(table)
    assert await found.end(key.value) == record()
    assert await found.principal(key.value) is None


@in_virtual_time
async def test_a_session_that_cannot_be_ended_now_goes_on_and_says_so() -> None:
    table, told = SessionTable(), Announced()
    found = sessions(table, on_end=told)
    key = table.begin(record())
    table.failing = {"end", "end_in_batches"}
    with pytest.raises(StoreUnavailable):
        await found.end(key.value)
    with pytest.raises(StoreUnavailable):
        await found.end_all(ISSUER, sid="s1", subject=None)
    assert told.ids == [] and await token_of(found, key.value) == "a1"


@in_virtual_time
async def test_a_session_has_ended_here_although_other_gateways_could_not_be_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = SessionTable()
    key = table.begin(record())
    found = sessions(table, on_end=Announced(StoreUnavailable("away")))
    assert await found.end(key.value) == record()
    assert caplog.messages == ["the end of a session was not announced to other gateways: away"]


@in_virtual_time
async def test_all_sessions_of_a_person_end_with_fifty_notices_at_once() -> None:
    table, told = SessionTable(), Announced()
    found = sessions(table, on_end=told)
    keys = [table.begin(record()) for _ in range(250)]
    cookies = [key.value for key in keys]
    assert await token_of(found, cookies[-1]) == "a1"
    assert await found.end_all(ISSUER, sid=None, subject="ada") == 250
    assert sorted(told.ids) == sorted(key.id for key in keys) and told.most == 50
    assert ("end_in_batches", ISSUER, None, "ada") in table.asked
    assert await found.end_all(ISSUER, sid="s1", subject="ada") == 0
    assert table.asked[-1] == ("end_in_batches", ISSUER, "s1", "ada")


@in_virtual_time
async def test_a_session_that_ended_elsewhere_is_not_accepted_nor_served_from_memory() -> None:
    table = SessionTable()
    found = sessions(table)
    key = table.begin(record())
    principal = await found.principal(key.value)
    assert principal is not None
    found.record_end(key.id)
    assert found.has_ended(principal)
    assert await found.principal(key.value) is None and await found.current(principal) is None
    other = table.begin(record())
    await found.principal(other.value)
    found.record_end(other.id)
    table.failing = {"all"}
    with pytest.raises(Problem, match="503"):
        await found.principal(other.value)


@in_virtual_time
async def test_of_ended_sessions_the_ones_that_ended_last_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "MAX_ENDED", 2)
    found = sessions(SessionTable())
    for id in ("a", "b", "a", "c"):
        found.record_end(id)
    ended = [id for id in "abc" if found.has_ended(Principal(ISSUER, "ada", "token", NOW, session=id))]
    assert ended == ["a", "c"]


class RevokedStore(RevocationStore):
    """A list in Redis."""

    def __init__(self, revoked: Sequence[Revoked]) -> None:
        self._entries = revoked

    async def changes(self, version: str, since: int) -> RevocationChanges:
        return RevocationChanges(1, "1", [], self._entries)


@pytest.mark.parametrize(("began", "valid"), [(NOW - 1, False), (NOW, False), (NOW + 1, True)])
@in_virtual_time
async def test_the_sessions_of_a_revoked_person_end_up_to_that_moment(began: float, valid: bool) -> None:
    table = SessionTable()
    revocations = RevocationList(RevokedStore([Revoked("hash of ada", NOW, NOW + 60)]), clock=clock)
    found = sessions(table, revocations=revocations)
    key = table.begin(record(), began=began)
    principal = await found.principal(key.value)
    assert principal is not None
    await revocations.poll()
    assert found.has_ended(principal) is not valid
    assert (await found.principal(key.value) is not None) is valid


@in_virtual_time
async def test_closing_waits_for_the_refreshes_of_every_provider() -> None:
    table = SessionTable()
    found = sessions(table, renew=renewing("new", takes=1), renew_at={"staff": renewing("staff", takes=2)})
    plain, staff = table.begin(record(20)), table.begin(record(20, provider="staff"))
    assert await token_of(found, plain.value) == "a1"
    assert await token_of(found, staff.value, provider="staff") == "a1"
    await found.close()
    stored = [table.read(key) for key in (plain, staff)]
    assert [each and each.tokens.access_token for each in stored] == ["new for r1", "staff for r1"]


@in_virtual_time
async def test_a_provider_that_is_away_does_not_keep_a_valid_token_from_use() -> None:
    async def renew(refresh_token: str) -> TokenSet:
        raise FetchFailed("away")

    table = SessionTable()
    found = sessions(table, renew=renew)
    assert await token_of(found, table.begin(record(20)).value) == "a1"


# ---- the address after a sign-out

PLACE = "https://issuer.test/logout?id_token_hint=eyJ"


@in_virtual_time
async def test_the_address_after_a_sign_out_is_kept_sealed_and_fetched_once() -> None:
    table = SessionTable()
    found = sessions(table)
    value = await found.keep_logout_url(PLACE)
    ((id, (sealed, keep)),) = table.redirects.items()
    assert (id, keep) == (id_of(value), 60.0) and b"eyJ" not in sealed
    assert await found.take_logout_url(SessionKey.new().value) is None
    assert await found.take_logout_url(value) == PLACE
    assert await found.take_logout_url(value) is None


@in_virtual_time
async def test_an_address_that_was_not_kept_for_this_value_is_not_given() -> None:
    table = SessionTable()
    found = sessions(table)
    value = await found.keep_logout_url(PLACE)
    ((id, (_, keep)),) = table.redirects.items()
    table.redirects[id] = SessionKey.new().encrypt(PLACE.encode()), keep
    assert await found.take_logout_url(value) is None
    table.asked.clear()
    for unusable in (None, "", "x"):
        assert await found.take_logout_url(unusable) is None
    assert table.asked == []
    table.failing = {"all"}
    with pytest.raises(StoreUnavailable):
        await found.keep_logout_url(PLACE)
    with pytest.raises(StoreUnavailable):
        await found.take_logout_url(value)
