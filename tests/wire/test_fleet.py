"""Three gateways as one system: whichever is killed, restarted, disconnected or frozen, every browser has the right
state."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from ..waiting import GUARD, IN_ANY_TIME_AND_TIMED, until
from .fleet import Browser, Fleet, Service, agreed, fleet, ranked
from .gateway import token


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("fleet")) as one:
        yield one


@contextlib.asynccontextmanager
async def crowd(
    one: Fleet, people: int, prefix: str, *, together: int = 100
) -> AsyncIterator[tuple[list[Browser], Service]]:
    """Browsers of that many people, all with a live stream."""
    browsers = [Browser(f"{prefix}-{number}", one.ports) for number in range(people)]
    service = Service(one.valkey.url)
    async with asyncio.TaskGroup() as group:
        following = []
        for number, browser in enumerate(browsers):
            following.append(group.create_task(browser.run()))
            while sum(not other.live for other in browsers[: number + 1]) > together:
                await asyncio.sleep(0.01)
        try:
            await all_live(browsers, 2 * GUARD)
            yield browsers, service
        finally:
            for task in following:
                task.cancel()
            await service.close()


async def all_live(browsers: list[Browser], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not all(one.live for one in browsers):
            await asyncio.sleep(0.02)


async def chaos(one: Fleet, people: int, events: int, rounds: int, prefix: str) -> None:
    """Publish continuously, and break each thing once a round."""
    async with crowd(one, people, prefix) as (browsers, service):
        sagas = [(browser.subject, f"{browser.subject}.{n}") for browser in browsers for n in range(5)]
        done, still, lost = asyncio.Event(), asyncio.Lock(), []

        async def tell() -> None:
            for start in range(0, events, 50):
                async with still:
                    await service.publish(*random.choices(sagas, k=min(50, events - start)))
                await asyncio.sleep(0.01)
            done.set()

        async def cut() -> None:
            while not done.is_set():
                await asyncio.sleep(0.2)
                for browser in random.sample(browsers, max(1, people // 50)):
                    if browser.line is not None:
                        browser.line.transport.abort()

        async def freeze() -> None:
            while not done.is_set():
                frozen = [browser.line for browser in random.sample(browsers, max(1, people // 20))]
                for line in frozen:
                    if line is not None:
                        line.transport.pause_reading()
                await asyncio.sleep(random.uniform(0.5, 3))
                for line in frozen:
                    if line is not None and not line.transport.is_closing():
                        line.transport.resume_reading()

        async def destroy() -> None:
            for _ in range(rounds):
                await one.again(random.choice(one.ports))
                await asyncio.sleep(0.5)
                one.valkey.stop(signal.SIGTERM)
                await asyncio.sleep(0.3)
                one.valkey.start()
                await asyncio.sleep(0.5)
                lost.append(await one.power_cut(random.uniform(0.2, 1.0), service, browsers, still))
            for port in one.ports if rounds > 1 else one.ports[:1]:
                await one.again(port, signal.SIGTERM)

        async with asyncio.TaskGroup() as group:
            for work in (tell, cut, freeze, destroy):
                group.create_task(work())
        for browser in browsers:
            if browser.line is not None and not browser.line.transport.is_closing():
                browser.line.transport.resume_reading()
        await agreed(browsers, service, 5 * GUARD)
        wrong = [line for browser in browsers for line in browser.wrong]
        resets = sum(browser.resets for browser in browsers)
        print(
            f"{people} clients, {events} events, {sum(one.events for one in browsers)} received one by one, "
            f"{sum(len(one.opened) for one in browsers)} connections, {resets} resets, {len(wrong)} wrong; Redis lost "
            f"{lost} confirmed bytes"
        )
        assert wrong == []
        assert min(lost) > 10_000


async def test_every_client_has_the_right_state_after_a_short_chaos(three: Fleet) -> None:
    await chaos(three, 60, 3_000, 1, "short")


@pytest.mark.slow
async def test_every_client_has_the_right_state_after_a_long_chaos(three: Fleet) -> None:
    await chaos(three, 1_000, 100_000, 3, "long")


async def test_the_stream_limit_holds_exactly_when_all_connect_at_once_to_three_gateways(
    three: Fleet,
) -> None:
    browsers = [Browser("everywhere", [three.ports[number % 3]]) for number in range(200)]
    following = [asyncio.create_task(one.run()) for one in browsers]
    try:
        async with asyncio.timeout(2 * GUARD):
            while sum(one.live or one.byes == ["limit"] for one in browsers) < 200:
                await asyncio.sleep(0.02)
        # A browser whose stream was ended comes back after half a minute; until then nothing may change.
        for _ in range(20):
            assert sum(one.live and not one.byes for one in browsers) == 16
            assert sum(one.byes == ["limit"] for one in browsers) == 184
            await asyncio.sleep(0.05)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


@contextlib.asynccontextmanager
async def at_the_cap(one: Fleet, subject: str) -> AsyncIterator[list[Browser]]:
    """Sixteen streams of one person; those that opened first are on the second and third gateway."""
    browsers = [Browser(subject, [port]) for port in one.ports[1:] * 3 + one.ports[:1] * 10]
    following = []
    try:
        for browser in browsers:
            following.append(asyncio.create_task(browser.run()))
            await all_live([browser], 30)
        yield browsers
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def test_streams_of_a_killed_gateway_occupy_no_slots(three: Fleet) -> None:
    dead, *others = three.ports
    async with at_the_cap(three, "at-the-cap") as browsers:
        lost = [browser for browser in browsers if browser.on == dead]
        began = time.monotonic()
        three.programs[dead].kill()
        for browser in lost:
            # Without a cursor, so that the stream is sent something at once.
            browser.live, browser.ports, browser.cursor = False, others, None
        await all_live(lost, 30)
        print(
            f"{len(lost)} of {len(browsers)} streams were there again after {time.monotonic() - began:.2f} s"
        )
        await asyncio.sleep(0.5)
        assert all(browser.live for browser in browsers)
        assert [browser.byes for browser in browsers] == [[]] * 16, (
            "no open stream was ended for streams of the killed gateway"
        )
    three.begin(dead)
    await asyncio.to_thread(three.up, dead)


@pytest.mark.slow
async def test_a_gateway_that_was_frozen_takes_its_slots_again_and_the_oldest_streams_end(
    three: Fleet,
) -> None:
    frozen = three.ports[0]
    async with at_the_cap(three, "frozen") as browsers:
        three.programs[frozen].process.send_signal(signal.SIGSTOP)
        # Its heartbeat is valid for ten seconds more.
        await asyncio.sleep(11)
        later = [Browser("frozen", three.ports[1:]) for _ in range(10)]
        following = [asyncio.create_task(browser.run()) for browser in later]
        try:
            await all_live(later, 30)
            assert all(browser.byes == [] for browser in [*browsers, *later])
            three.programs[frozen].process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(10):
                while sum(browser.live for browser in [*browsers, *later]) != 16:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(1)
            assert sum(browser.live for browser in [*browsers, *later]) == 16
            assert all(browser.live and not browser.byes for browser in later), "the newest streams stay open"
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


@IN_ANY_TIME_AND_TIMED
async def test_no_stream_outlives_its_token(three: Fleet, timed: bool) -> None:
    # Long enough for all streams to open, however busy the machine is.
    for life in (6, 20, 60):
        ends = int(time.time()) + life
        browsers = [
            Browser(f"brief-{life}-{number}", [three.ports[number % 3]], token(f"brief-{number}", exp=ends))
            for number in range(30)
        ]
        following = [asyncio.create_task(one.run()) for one in browsers]
        with contextlib.suppress(AssertionError):
            await until(lambda browsers=browsers: all(one.live for one in browsers), seconds=life - 1)
            break
        await _leave(following)
    try:
        assert all(one.live for one in browsers)
        late: list[float] = []
        async with asyncio.timeout(GUARD):
            while len(late) < len(browsers):
                # How much after the previous check the newly ended streams were closed.
                late += [time.time() - ends] * (sum(bool(one.byes) for one in browsers) - len(late))
                await asyncio.sleep(0.01)
        print(f"{ranked(late, 1):.2f} s after the token at most")
        assert all(one.byes[0] == "expired" for one in browsers)
        # The stream would have lived for ten minutes.
        assert min(late) > -0.1 and (max(late) < 1 or not timed)
    finally:
        await _leave(following)


async def _leave(following: list[asyncio.Task[None]]) -> None:
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.alone
async def test_no_stream_closes_while_redis_is_away_and_all_are_current_soon_after(three: Fleet) -> None:
    async with crowd(three, 300, "away") as (browsers, service):
        await service.publish(*((one.subject, f"{one.subject}.a") for one in browsers))
        await agreed(browsers, service, 20)
        opened = sum(len(one.opened) for one in browsers)
        three.valkey.stop(signal.SIGTERM)
        await asyncio.sleep(30)
        three.valkey.start()
        await service.publish(*((one.subject, f"{one.subject}.a") for one in browsers))
        took = await agreed(browsers, service, 30)
        resets = sum(one.resets for one in browsers)
        print(f"{len(browsers)} streams agree {took:.2f} s after Redis is back, {resets} by a reset")
        assert sum(len(one.opened) for one in browsers) == opened
        # One each, because a gateway cannot know whether anything was lost.
        assert not any(one.byes or one.wrong or one.resets > 1 for one in browsers)
        assert took < 5
