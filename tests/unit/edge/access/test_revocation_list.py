"""The copy of the revocations in a process: what is revoked, what a poll reads, and what Redis' absence changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from bff.calls.principal import RevocationKeys
from bff.edge.access.revocation_list import RevocationList, revocation_keys_of
from bff.stores.keys import hashed
from bff.stores.redis.client import StoreUnavailable
from bff.stores.revocations import RevocationChanges, RevocationStore, Revoked

from .issuing import ISSUER, NOW, Clocks
from .session_table import in_virtual_time, monotonic


class Changes(RevocationStore):
    """A list in Redis. revoked: None for one that has not changed; asked: each poll's version and moment."""

    def __init__(self, *revoked: Revoked) -> None:
        self.revoked: Sequence[Revoked] | None = revoked
        self.ended: list[str] = []
        self.now = 50_000
        self.version = "v1"
        self.away = False
        self.asked: list[tuple[str, int]] = []

    async def changes(self, version: str, since: int) -> RevocationChanges:
        self.asked.append((version, since))
        if self.away:
            raise StoreUnavailable("away")
        return RevocationChanges(self.now, self.version, self.ended, self.revoked)


def of(token: str | None = "token", subject: str = "subject", issued: float = NOW) -> RevocationKeys:
    return RevocationKeys(token, subject, issued)


def test_a_token_can_be_revoked_by_its_id_and_by_its_subject() -> None:
    claims = {"jti": "1", "sub": "ada", "iat": 7}
    assert revocation_keys_of(ISSUER, claims) == RevocationKeys(
        hashed(ISSUER, "1"), hashed(ISSUER, "ada"), 7.0
    )
    for id in (None, 1, ["1"]):
        assert revocation_keys_of(ISSUER, claims | {"jti": id}).token is None
    assert revocation_keys_of(ISSUER, {"sub": 5, "iat": 7}) == RevocationKeys(None, hashed(ISSUER, "5"), 7.0)


async def test_a_token_is_revoked_by_its_own_entry_alone() -> None:
    here = RevocationList(Changes(Revoked("token", None, NOW + 9)), clock=lambda: NOW)
    assert not here.is_revoked(of())
    await here.poll()
    assert here.is_revoked(of()) and here.is_revoked(of(issued=NOW + 99))
    for other in (of("other"), of(None), of("x", "token"), None):
        assert not here.is_revoked(other)


async def test_a_subject_is_revoked_up_to_the_last_moment_of_its_entries() -> None:
    moments = (NOW - 5, NOW, NOW - 9)
    here = RevocationList(Changes(*(Revoked("subject", at, NOW + 9) for at in moments)), clock=lambda: NOW)
    await here.poll()
    assert here.is_revoked(of(issued=NOW)) and here.is_revoked(of(None, issued=NOW - 99))
    assert not here.is_revoked(of(issued=NOW + 0.001))
    assert not here.is_revoked(of("subject", "other"))


async def test_an_entry_ends_when_it_expires_and_not_before() -> None:
    store, now = Changes(Revoked("token", None, NOW + 9), Revoked("subject", NOW, NOW + 9)), Clocks()
    here = RevocationList(store, clock=now)
    await here.poll()
    now.now, store.revoked = NOW + 8.9, []
    await here.poll()
    assert here.is_revoked(of(subject="x")) and here.is_revoked(of("x"))
    now.now = NOW + 9
    await here.poll()
    assert not here.is_revoked(of())


async def test_known_entries_stay_where_the_list_has_not_changed_or_was_lost() -> None:
    store = Changes(Revoked("token", None, NOW + 9))
    here = RevocationList(store, clock=lambda: NOW)
    await here.poll()
    for revoked in (None, [], [Revoked("subject", NOW, NOW + 9)]):
        store.revoked = revoked
        await here.poll()
        assert here.is_revoked(of(subject="x"))
    assert here.is_revoked(of("x"))


async def test_each_poll_asks_for_what_is_new_since_a_second_before_the_last_one() -> None:
    store = Changes()
    here = RevocationList(store, clock=lambda: NOW)
    await here.poll()
    store.now, store.version = 60_000, "v2"
    await here.poll()
    await here.poll()
    assert store.asked == [("", 0), ("v1", 49_000), ("v2", 59_000)]


async def test_ends_of_sessions_are_reported_from_the_second_poll_on() -> None:
    store, ended = Changes(), list[str]()
    here = RevocationList(store, on_session_end=ended.append, clock=lambda: NOW)
    store.ended, store.now = ["before"], 0
    await here.poll()
    assert ended == []
    store.ended = ["one", "two"]
    await here.poll()
    assert ended == ["one", "two"]


async def test_a_change_is_reported_when_something_was_added() -> None:
    store, changes = Changes(), list[float]()
    now = Clocks()
    here = RevocationList(store, on_change=lambda: changes.append(now.now), clock=now)
    await here.poll()
    assert changes == []
    store.revoked = [Revoked("token", None, NOW + 9)]
    await here.poll()
    assert changes == [NOW]
    await here.poll()
    now.now += 20
    store.revoked = []
    await here.poll()
    assert changes == [NOW]


async def test_a_list_reports_to_nobody_where_nobody_asks() -> None:
    store = Changes(Revoked("token", None, 2e12))
    here = RevocationList(store)
    await here.poll()
    store.ended = ["one"]
    await here.poll()
    assert here.is_revoked(of())


@in_virtual_time
async def test_the_list_is_read_before_the_start_is_over_and_twice_a_second_from_then_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "bff.session")
    store = Changes(Revoked("token", None, NOW + 99))
    async with RevocationList(store, clock=lambda: NOW) as here:
        assert here.is_revoked(of()) and monotonic() == 0
        store.away = True
        await asyncio.sleep(1.6)
        assert len(store.asked) == 4 and here.alive and here.is_revoked(of())
        assert set(caplog.messages) == {"revocations cannot be read, the last ones stay in force: away"}
        store.away, store.revoked = False, [Revoked("subject", NOW, NOW + 99)]
        await asyncio.sleep(0.5)
        assert here.is_revoked(of("x"))
        assert "bff-revocations" in {task.get_name() for task in asyncio.all_tasks()}
    assert not here.alive


@in_virtual_time
async def test_a_gateway_starts_without_redis_and_knows_of_no_revocation() -> None:
    store = Changes(Revoked("token", None, NOW + 99))
    store.away = True
    async with RevocationList(store, clock=lambda: NOW) as here:
        assert here.alive and not here.is_revoked(of())


@in_virtual_time
async def test_a_list_that_can_be_read_no_more_for_a_bug_is_logged_as_critical(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Changes()
    async with RevocationList(store, clock=lambda: NOW) as here:
        store.ended = None  # type: ignore[assignment]  # what no store answers
        await asyncio.sleep(3)
        assert not here.alive
    assert caplog.messages == ["new revocations are not read until a restart"]
