"""Open streams whose opaque tokens their issuer no longer accepts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from bff.calls import Principal
from bff.edge.access import token_watch
from bff.edge.access.fetch import FetchFailed
from bff.edge.access.token_watch import AT_ONCE, INTERVAL, TokenWatch

from .hostile import KEY
from .issuing import claims, sign
from .test_introspection import Endpoint, answer, world


class Streams:
    """Open streams by their principals; ended: those that were told to end; rounds: what each call decided."""

    def __init__(self, *principals: Principal) -> None:
        self.principals: Sequence[Principal] = principals
        self.ended: list[str] = []
        self.rounds = 0

    def end_revoked(self, revoked: Callable[[Principal], bool]) -> None:
        self.rounds += 1
        self.ended += [one.token for one in self.principals if revoked(one)]


async def watched(*tokens: str) -> tuple[TokenWatch, Streams, Endpoint]:
    """The streams of people with these tokens, whose answers are not believed for any time."""
    verifier, endpoint, _ = world(believed=0)
    streams = Streams(*[await verifier.verify(one) for one in tokens])
    endpoint.asked.clear()
    return TokenWatch(verifier, lambda: streams), streams, endpoint


async def test_the_streams_of_a_token_that_became_inactive_end_and_no_others() -> None:
    jwt = sign(KEY, claims())
    watch, streams, endpoint = await watched("a", "b", "b", jwt)
    endpoint.says({"active": False})
    await watch.check()
    assert streams.ended == ["a", "b", "b"]
    assert sorted(one["token"] for one in endpoint.asked) == ["a", "b"], "once each, and not about the JWT"


async def test_a_stream_stays_open_while_its_token_is_active_or_its_issuer_is_away() -> None:
    watch, streams, endpoint = await watched("a")
    await watch.check()
    endpoint.reply = FetchFailed("away")
    await watch.check()
    assert len(endpoint.asked) == 2
    assert (streams.ended, streams.rounds) == ([], 0), "there is nothing to end"


async def test_of_many_tokens_only_a_few_are_asked_about_at_once() -> None:
    names = [f"t{number}" for number in range(AT_ONCE + 4)]
    watch, streams, endpoint = await watched(*names)
    endpoint.gate.clear()
    round = asyncio.create_task(watch.check())
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(endpoint.asked) == AT_ONCE
    endpoint.says({"active": False})
    endpoint.gate.set()
    await round
    assert streams.ended == names


async def test_a_round_comes_after_each_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, _, endpoint = await watched("a")
    slept: list[float] = []
    third = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            third.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    async with asyncio.timeout(10), watch:
        assert watch.alive
        await third.wait()
    assert slept == [INTERVAL] * 3 and len(endpoint.asked) == 2
    assert not watch.alive


async def test_a_watch_that_ends_by_a_bug_is_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    verifier, _, _ = world()
    monkeypatch.setattr(token_watch, "INTERVAL", 0.0)

    def broken() -> Streams:
        raise RuntimeError("a bug")

    watch = TokenWatch(verifier, broken)
    await watch.start()
    [task] = [one for one in asyncio.all_tasks() if one.get_name() == "bff-token-watch"]
    with suppress(RuntimeError):
        await task
    await asyncio.sleep(0)
    assert "opaque tokens of open streams are not checked until a restart" in caplog.text
    await watch.stop()


async def test_a_stream_ends_once_its_issuer_answers_again_that_the_token_is_inactive() -> None:
    watch, streams, endpoint = await watched("a")
    endpoint.says(b"", status=500)
    await watch.check()
    endpoint.says(answer())
    await watch.check()
    endpoint.says({"active": False})
    await watch.check()
    assert streams.ended == ["a"]
