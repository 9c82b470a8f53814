"""The meter of outcomes: which events it asks Redis about, and when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from bff.live import outcomes
from bff.live.outcomes import OutcomeMeter, OutcomeTarget
from bff.stores.outcomes import PendingOutcomes
from bff.stores.redis.client import StoreUnavailable

from ...waiting import until

NOW = 1_800_000_000.0
RECENT, OLD = "2027-01-15T07:59:50Z", "2027-01-15T07:00:00Z"
TARGETS = {
    "command /jobs": [
        OutcomeTarget("quick", 1.0, frozenset({"COMPLETED"})),
        OutcomeTarget("slow", 5.0, frozenset({"COMPLETED", "REJECTED"})),
    ]
}


class Stub(PendingOutcomes):
    """Records steps; answers them from `answers`, by the step's first word."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers: dict[str, Any] = {"begin": 1, "take": [], "due": -1}
        self.away = False

    def begin(self, owner: str, mutation: str, command: str, age: float, ttl: float) -> Any:
        return ("begin", owner, mutation, command, ttl)

    def take(self, owner: str, mutations: Sequence[str], since: float) -> Any:
        return ("take", owner, tuple(mutations))

    def due(self, owner: str, mutation: str) -> Any:
        return ("due", owner, mutation)

    async def run(self, steps: Sequence[Any]) -> list[Any]:
        if self.away:
            raise StoreUnavailable("away")
        self.asked += steps
        return [self.answers[step[0]] for step in steps]


class Tally:
    def __init__(self) -> None:
        self.found: list[tuple[str, object]] = []

    def count(self, name: str, *, good: bool) -> None:
        self.found.append((name, good))

    def leave_out(self, name: str, why: str) -> None:
        self.found.append((name, why))


class Riding:
    """As much of a stream as the meter uses."""

    owner = "ada"


def event(
    status: str = "COMPLETED", *, type: str = "job", mutation: str | None = "k1", **more: object
) -> bytes:
    return json.dumps({"type": type, "status": status, "mutation": mutation, "at": RECENT} | more).encode()


@pytest.fixture
async def made() -> Any:
    store, tally = Stub(), Tally()
    async with OutcomeMeter(store, TARGETS, ["job"], tally, wall=lambda: NOW) as meter:
        yield meter, store, tally


async def quiet(meter: OutcomeMeter) -> None:
    await asyncio.sleep(0)
    await until(lambda: meter.idle)


async def test_a_settling_event_takes_all_its_commands(made: Any) -> None:
    meter, store, tally = made
    store.answers["take"] = [b"command /jobs", b"3000", b"command /gone", b"1"]
    meter.on_sent(Riding(), (event("REJECTED", mutations=["k2"]),), True)
    await quiet(meter)
    assert store.asked == [("take", "ada", ("k1", "k2"))]
    assert tally.found == [("quick", False), ("slow", True)]


@pytest.mark.parametrize(
    "entry",
    [
        event("RUNNING"),
        event("NEEDS_ATTENTION"),
        event(type="other"),
        event(mutation=None),
        b"nonsense",
        b'{"type": 1}',
    ],
)
async def test_other_events_cost_nothing(made: Any, entry: bytes) -> None:
    meter, store, _ = made
    meter.on_sent(Riding(), (entry,), True)
    await quiet(meter)
    assert store.asked == []


async def test_what_waits_in_a_buffer_counts_when_the_connection_takes_it(made: Any) -> None:
    meter, store, _ = made
    one, left = Riding(), Riding()
    meter.on_sent(one, (event(),), False)
    meter.on_sent(left, (event(mutation="k9"),), False)
    await quiet(meter)
    assert store.asked == []
    meter.forget(left)
    meter.on_flushed(left)
    meter.on_flushed(one)
    meter.on_flushed(one)
    await quiet(meter)
    assert store.asked == [("take", "ada", ("k1",))]


async def test_of_a_state_only_sagas_that_settled_lately_are_asked_about(made: Any) -> None:
    meter, store, _ = made
    old = [event(mutation=f"o{number}", at=OLD) for number in range(40)]
    meter.on_sent(Riding(), [event(mutation="new"), *old, event(mutation="last"), event(at="?")], True)
    await quiet(meter)
    assert [asked[2] for asked in store.asked] == [("new",), ("last",)]


async def test_an_outcome_that_is_due_is_bad_for_a_person_with_a_stream_and_else_left_out(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, store, tally = made
    monkeypatch.setattr(outcomes, "SLACK", -5.0)
    now = meter._clock()
    for streams, expected in ((2, False), (0, "left"), (-1, None)):
        tally.found.clear()
        store.answers["due"] = streams
        meter.begin("command /jobs", "ada", f"k{streams}", now)
        await until(lambda streams=streams: ("due", "ada", f"k{streams}") in store.asked)
        await quiet(meter)
        assert tally.found == ([] if expected is None else [("quick", expected), ("slow", expected)])
    assert ("begin", "ada", "k2", "command /jobs", 65.0) in store.asked


async def test_a_command_without_an_slo_is_not_timed(made: Any) -> None:
    meter, store, _ = made
    meter.begin("command /other", "ada", "k1", 0.0)
    meter.drop("ada", "k1")
    await quiet(meter)
    assert store.asked == []


async def test_outcomes_beyond_the_bound_and_without_redis_are_left_out(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, store, tally = made
    store.away = True
    meter.begin("command /jobs", "ada", "k1", meter._clock())
    await quiet(meter)
    assert tally.found == [("quick", "unmeasured"), ("slow", "unmeasured")]
    monkeypatch.setattr(outcomes, "MOST", 1)
    tally.found.clear()
    meter.begin("command /jobs", "ada", "k2", meter._clock())
    assert tally.found == [("quick", "unmeasured"), ("slow", "unmeasured")]
