"""The sessions that a process has read: what is asked of Redis, what is served while Redis is away, and the bounds."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from bff.edge.access import session_cache
from bff.edge.access.session_cache import SessionCache
from bff.edge.access.session_record import SessionKey, SessionRecord, TokenSet
from bff.edge.problem import Problem
from bff.edge.settings import SessionSettings
from bff.stores.sessions import StoredSession

from .issuing import NOW
from .session_table import SessionTable, clock, in_virtual_time, monotonic, record

SETTINGS = SessionSettings(idle=3000, remembered=60)


def cache(table: SessionTable, **changes: Any) -> SessionCache:
    return SessionCache(table, SETTINGS.model_copy(update=changes), clock, monotonic)


async def got(sessions: SessionCache, key: SessionKey, *, safe: bool = True) -> str | int | None:
    """The access token, the status of the refusal, or None where there is no session."""
    try:
        found = await sessions.get(key, safe=safe, used=True)
    except Problem as problem:
        return problem.status
    return None if found is None else found.record.tokens.access_token


@in_virtual_time
async def test_a_session_is_decrypted_once_and_read_again_by_its_version() -> None:
    table = SessionTable()
    key, sessions = table.begin(record()), cache(table)
    first = await sessions.get(key, safe=True, used=True)
    assert first is not None and first.record == record() and first.stored.sealed is None
    second = await sessions.get(key, safe=True, used=False)
    assert second is not None and second.record is first.record
    assert [(idle, known) for _, _, idle, known in table.asked] == [(3000, None), (None, first.stored)]
    table.renew(key, record(refresh="r2"))
    third = await sessions.read(key)
    assert third is not None and third.record.tokens.refresh_token == "r2" and third.stored.version == 2
    assert table.asked[-1][2] is None, "it does not count as use"


@in_virtual_time
async def test_a_session_that_has_ended_is_forgotten() -> None:
    table = SessionTable()
    key, sessions = table.begin(record()), cache(table)
    assert await got(sessions, key) == "a1"
    del table.rows[key.id]
    assert await got(sessions, key) is None
    table.failing = {"open"}
    assert await got(sessions, key) == 503, "it is not served from memory either"


@in_virtual_time
async def test_a_record_that_cannot_be_read_or_names_no_subject_is_no_session() -> None:
    table = SessionTable()
    unreadable, unnamed, sessions = table.begin(record()), table.begin(record()), cache(table)
    table.rows[unreadable.id].sealed = SessionKey.new().seal(record())
    row = table.rows[unnamed.id]
    row.stored = replace(row.stored, subject="")
    assert [await got(sessions, key) for key in (unreadable, unnamed)] == [None, None]


@pytest.mark.parametrize(
    ("age", "reads", "writes"),
    [
        (0, "a1", "a1"),
        (59, "a1", "a1"),
        (60, "a1", 503),
        (299, "a1", 503),
        (300, 503, 503),
        (2999, 503, 503),
        (3000, None, None),
    ],
)
@in_virtual_time
async def test_while_redis_is_away_a_session_is_served_by_the_age_of_its_last_read(
    age: float, reads: str | int | None, writes: str | int | None
) -> None:
    table = SessionTable()
    key, sessions = table.begin(record()), cache(table)
    await asyncio.sleep(500)
    assert await got(sessions, key) == "a1"
    table.failing = {"open"}
    await asyncio.sleep(age)
    for _ in range(3):
        assert await got(sessions, key) == reads
        assert await got(sessions, key, safe=False) == writes
    assert len(table.asked) == 4, "the last ones are answered without asking"


@in_virtual_time
async def test_while_redis_is_away_a_session_ends_at_its_absolute_end() -> None:
    table = SessionTable()
    key, sessions = table.begin(record()), cache(table)
    row = table.rows[key.id]
    row.stored = replace(row.stored, ends=NOW + 20)
    await got(sessions, key)
    table.failing = {"open"}
    await asyncio.sleep(19)
    assert await got(sessions, key) == "a1"
    await asyncio.sleep(1)
    assert await got(sessions, key) is None


@in_virtual_time
async def test_nothing_is_served_from_memory_where_the_settings_remember_nothing() -> None:
    table = SessionTable()
    key, sessions = table.begin(record()), cache(table, remembered=0)
    await got(sessions, key)
    table.failing = {"open"}
    with pytest.raises(Problem) as caught:
        await sessions.get(key, safe=True, used=True)
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (503, "unavailable", 1.0)
    assert caught.value.detail == (
        "Sessions cannot be looked up at the moment. You are still signed in; try again shortly."
    )


@in_virtual_time
async def test_after_three_failures_redis_is_asked_once_a_second_until_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "bff.session")
    table = SessionTable()
    key, sessions = table.begin(record()), cache(table)
    await got(sessions, key)
    table.failing = {"open"}
    asked = []
    for pause in (0, 0, 0, 0, 0.9, 0.1, 0.9, 0.1):
        await asyncio.sleep(pause)
        assert await got(sessions, key) == "a1"
        asked.append(len(table.asked) - 1)
    assert asked == [1, 2, 3, 3, 3, 4, 4, 5]
    assert "sessions cannot be read: away" in caplog.messages
    table.failing.clear()
    await asyncio.sleep(1)
    for _ in range(3):
        assert await got(sessions, key) == "a1"
    assert len(table.asked) - 1 == 8


@in_virtual_time
async def test_an_answer_between_failures_keeps_redis_in_use() -> None:
    table = SessionTable()
    key, sessions = table.begin(record()), cache(table)
    for _ in range(3):
        for _ in range(2):
            table.failing = {"open"}
            await got(sessions, key)
        table.failing.clear()
        await got(sessions, key)
    assert len(table.asked) == 9


@in_virtual_time
async def test_a_browser_that_leaves_during_the_probe_does_not_keep_redis_out_of_use() -> None:
    table = SessionTable()
    key, sessions = table.begin(record()), cache(table)
    table.failing = {"open"}
    for _ in range(3):
        assert await got(sessions, key) == 503
    table.failing.clear()
    table.before["open"] = asyncio.Event().wait  # type: ignore[assignment]  # its result is not used
    await asyncio.sleep(1)
    leaving = asyncio.ensure_future(got(sessions, key))
    await asyncio.sleep(0.1)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    table.before.clear()
    assert await got(sessions, key) == "a1"


def sized(
    access: int, refresh: int = 0, hint: int = 0, claims: dict[str, Any] | None = None
) -> SessionRecord:
    tokens = TokenSet("a" * access, NOW, NOW + 300, frozenset(), "r" * refresh or None, "i" * hint or None)
    return replace(record(), tokens=tokens, claims=claims or {})


STORED = StoredSession(1, NOW + 300, None, NOW, "hash of ada")


@in_virtual_time
async def test_a_session_counts_with_its_tokens_and_claims() -> None:
    sessions = cache(SessionTable())
    assert sessions.put("small", sized(1), STORED).size == 2_003
    assert sessions.put("tokens", sized(100, 20, 3), STORED).size == 2_125
    assert sessions.put("claims", sized(1, claims={"name": "Ada"}), STORED).size == 2_001 + len(
        "{'name': 'Ada'}"
    )
    assert sessions.put("tokens", sized(7), STORED).size == 2_009, "a refreshed session has another size"


@in_virtual_time
async def test_the_least_recently_used_session_is_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_cache, "MAX_CACHED", 3)
    table = SessionTable()
    keys, sessions = [table.begin(record()) for _ in range(4)], cache(table)
    for number in (0, 1, 2, 0, 3):
        await got(sessions, keys[number])
    table.failing = {"open"}
    assert [await got(sessions, key) for key in keys] == ["a1", 503, "a1", "a1"]


@pytest.mark.parametrize(("most", "left"), [(6_000, ["a", "b"]), (5_999, ["b"]), (10, ["b"])])
@in_virtual_time
async def test_sessions_are_dropped_above_the_bound_in_bytes_and_the_newest_stays(
    most: int, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_cache, "MAX_BYTES", most)
    table = SessionTable()
    sessions = cache(table)
    records = {id: sized(998) for id in ("dropped", "again", "a", "b")}
    for id in ("dropped", "dropped", "again"):
        sessions.put(id, records[id], STORED)
    sessions.drop("dropped")
    sessions.drop("never there")
    sessions.put("again", sized(998), STORED)
    sessions.drop("again")
    for id in ("a", "a", "b"):
        sessions.put(id, records[id], STORED)
    table.failing = {"open"}
    found = []
    for id in ("a", "b"):
        try:
            found += [id] if await sessions.get(SessionKey(id, "v"), safe=True, used=True) else []
        except Problem:
            continue
    assert found == left


@in_virtual_time
async def test_the_bound_in_bytes_holds_after_many_sessions_were_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_cache, "MAX_BYTES", 9_000)
    table = SessionTable()
    sessions, keys = cache(table), [SessionKey.new() for _ in range(6)]
    for key in keys:
        sessions.put(key.id, sized(998), STORED)
    table.failing = {"open"}
    assert [await got(sessions, key) for key in keys] == [503] * 3 + ["a" * 998] * 3
