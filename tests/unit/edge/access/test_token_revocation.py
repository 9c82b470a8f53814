"""Revocation of the tokens of sessions that have ended: it holds nobody up and is bounded."""

from __future__ import annotations

import asyncio

import pytest

from bff.edge.access.fetch import FetchFailed
from bff.edge.access.session_record import TokenSet
from bff.edge.access.token_revocation import PENDING, TokenRevocations

TOKENS = TokenSet("secret-access", 1.0, 2.0, refresh_token="secret-refresh")


async def test_a_revocation_that_hangs_holds_up_neither_its_caller_nor_the_end_of_the_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bff.edge.access.token_revocation.CLOSE_WAIT", 0.01)
    revocations, ended = TokenRevocations(), asyncio.Event()

    async def hangs(tokens: TokenSet) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    revocations.start(hangs, TOKENS)
    await asyncio.sleep(0)
    await revocations.close()
    assert ended.is_set()


async def test_more_revocations_than_may_wait_are_left_out_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    revocations, release, revoked = TokenRevocations(), asyncio.Event(), []

    async def slow(tokens: TokenSet) -> None:
        await release.wait()
        revoked.append(tokens)

    for _ in range(PENDING + 3):
        revocations.start(slow, TOKENS)
    release.set()
    await revocations.close()
    assert revoked == [TOKENS] * PENDING
    told = f"the tokens of a session are not revoked: {PENDING} revocations wait already"
    assert caplog.messages == [told] * 3


async def test_a_revocation_that_is_over_makes_room_for_another_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    revocations, revoked = TokenRevocations(), []

    async def quick(tokens: TokenSet) -> None:
        revoked.append(tokens)

    for _ in range(2):
        for _ in range(PENDING):
            revocations.start(quick, TOKENS)
        assert {one.get_name() for one in revocations._tasks} == {"bff-revocation"}
        while revocations._tasks:
            await asyncio.sleep(0)
    assert len(revoked) == 2 * PENDING and not caplog.messages
    await revocations.close()


async def test_a_failed_revocation_is_logged_without_the_tokens(caplog: pytest.LogCaptureFixture) -> None:
    revocations = TokenRevocations()

    async def away(tokens: TokenSet) -> None:
        raise FetchFailed("the provider is away")

    async def broken(tokens: TokenSet) -> None:
        raise RuntimeError("a bug")

    revocations.start(away, TOKENS)
    revocations.start(broken, TOKENS)
    await revocations.close()
    assert caplog.messages == [
        "the tokens of a session that has ended are not revoked: the provider is away",
        "revoking the tokens of a session failed",
    ]
    assert "a bug" in caplog.text
    assert "secret" not in caplog.text
