"""Whichever process dies, and at whichever step: a command has at most one effect, and its answer reaches its
sender."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
from pathlib import Path

import httpx
import pytest

from ..waiting import GUARD
from .crashes import LEASE, POINTS, World, world

FAULTS = ("gateway killed", "owner paused past its lease", "redis restarted")


async def play(at: World, point: str, fault: str, how: str) -> None:
    """Hold one command at `point`, let `fault` happen, and retry like a client until the outcome is known."""
    first, other = at.gates
    key = f"{point} {fault} {how}".replace(" ", "-")
    at.held.arm(point)
    sent = asyncio.ensure_future(at.post(first, how, key, "ada"))
    await asyncio.wait_for(at.held.reached.wait(), GUARD)
    starting = None
    if fault == "gateway killed":
        first.kill()
        at.held.let.set()
        starting = asyncio.ensure_future(asyncio.to_thread(first.start))
    elif fault == "redis restarted":
        await asyncio.to_thread(at.valkey.stop)
        at.held.let.set()
        await asyncio.to_thread(at.valkey.start)
    else:
        first.send(signal.SIGSTOP)
        at.held.let.set()
        await asyncio.sleep(LEASE * 1.2)
    # Meanwhile another person uses the same key.
    hers = await at.settled(other, how, key, "bea")
    told = await at.settled(other, how, key, "ada")
    if fault == "owner paused past its lease":
        first.send(signal.SIGCONT)
    with contextlib.suppress(httpx.TransportError):
        answer = await sent
        if answer.status_code == 200 and told.status_code == 200:
            assert answer.content == told.content
    if starting is not None:
        await starting

    assert hers.status_code == 200
    assert at.done(how, key, "bea") == 1
    if how == "safe":
        assert told.status_code == 200, "a service that honours keys can always be called again"
    again = [await at.settled(gate, how, key, "ada") for gate in at.gates]
    if told.status_code == 200:
        assert {one.content for one in again} == {told.content}
        assert all(one.headers["idempotency-replayed"] == "true" for one in again)
    done = at.done(how, key, "ada")
    assert done <= 1, "never two effects"
    if any(one.status_code == 200 for one in (told, *again)):
        assert done == 1, "an answer without its effect"


WALK = [
    ("committed", "gateway killed", "safe"),
    ("sent", "owner paused past its lease", "unsafe"),
    ("before store", "redis restarted", "unsafe"),
]


async def test_a_command_held_at_each_step_has_one_effect_whichever_process_dies(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        for point, fault, how in WALK:
            await play(at, point, fault, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["safe", "unsafe"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_every_step_and_every_fault(tmp_path: Path, fault: str, how: str) -> None:
    async with world(tmp_path) as at:
        for point in POINTS:
            await play(at, point, fault, how)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_a_storm_of_clicks_while_gateways_and_redis_die_at_random(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    numbers = itertools.count()
    async with world(tmp_path) as at:
        over = asyncio.Event()
        asked: set[tuple[str, str, str]] = set()

        async def clicks() -> None:
            while not over.is_set():
                how, who = chance.choice(["safe", "unsafe"]), chance.choice(["ada", "bea", "cy"])
                # Other people use the same keys, too, and impatient clicks send one key several times at once.
                key = f"k{max(0, next(numbers) // 3)}"
                asked.add((how, key, who))
                with contextlib.suppress(httpx.TransportError):
                    answer = await at.post(chance.choice(at.gates), how, key, who)
                    if answer.status_code == 200:
                        assert answer.json()["name"].endswith(f"|{who} {key}")
                await asyncio.sleep(chance.uniform(0, 0.05))

        async def faults() -> None:
            for _ in range(8):
                await asyncio.sleep(chance.uniform(0.2, 0.8))
                match chance.randrange(3):
                    case 0:
                        gate = chance.choice(at.gates)
                        gate.kill()
                        await asyncio.to_thread(gate.start)
                    case 1:
                        gate = chance.choice(at.gates)
                        gate.send(signal.SIGSTOP)
                        await asyncio.sleep(LEASE * 1.3)
                        gate.send(signal.SIGCONT)
                    case _:
                        await at.restart_redis()
            over.set()

        await asyncio.gather(faults(), *(clicks() for _ in range(12)))
        assert len(asked) > 50
        assert max(at.service.effects.values()) == 1, at.service.effects.most_common(5)
        few = asyncio.Semaphore(20)

        async def settle(how: str, key: str, who: str) -> None:
            async with few:
                told = await at.settled(chance.choice(at.gates), how, key, who)
            assert at.done(how, key, who) in ((1,) if told.status_code == 200 else (0, 1))

        await asyncio.gather(*(settle(*one) for one in asked))
        assert max(at.service.effects.values()) == 1
