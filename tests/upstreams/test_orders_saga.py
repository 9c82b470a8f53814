"""The saga's decisions, on an engine of a few lines that remembers only the results of its steps."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from upstreams.orders.execution import BACKWARD, CONTINUED, FORWARD, SagaExecution
from upstreams.orders.participants import ACTIONS
from upstreams.orders.retry import Policy, pause_before
from upstreams.orders.saga import STEPS, Change, Continuation, Done, Failed, Order, Outcome, Refused
from upstreams.orders.settings import OrdersSettings

T = TypeVar("T")
POLICY = Policy(
    forward_seconds=10.0,
    retry_first_seconds=0.5,
    retry_cap_seconds=4.0,
    attention_attempts=3,
    attention_seconds=900.0,
    attention_cap_seconds=4.0,
    attempts_per_run=1000,
)


class Killed(BaseException):
    """Simulates the end of the process."""


class Memory:
    """An engine: returns remembered results of earlier steps; dies once, around the chosen step."""

    def __init__(self, die_at: int | None = None, *, after_body: bool = False) -> None:
        self.answers: dict[str, str] = {}
        self.names: list[str] = []
        self.rests: list[tuple[float, str]] = []
        self.die_at = die_at
        self.after_body = after_body
        self.continued: list[Continuation] = []

    async def step(self, name: str, body: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        assert name not in self.names, f"two steps are called {name}"
        self.names.append(name)
        if name not in self.answers:
            dies = self.die_at is not None and len(self.names) == self.die_at
            if dies and not self.after_body:
                self.die_at = None
                raise Killed
            answer = await body(*copy.deepcopy(args))
            if dies:
                self.die_at = None
                raise Killed
            self.answers[name] = json.dumps(answer)
        remembered: T = json.loads(self.answers[name])
        return remembered

    async def rest(self, seconds: float, waker: str) -> None:
        self.rests.append((seconds, waker))

    async def continue_as(self, order: Order, continuation: Continuation) -> None:
        self.continued.append(json.loads(json.dumps(continuation)))

    def again(self) -> None:
        """A new process with the same memory."""
        self.names = []
        self.rests = []


class World:
    """Participants that follow a script; `now` advances one second with each attempt."""

    def __init__(self, *, cancel_after: str | None = None, gives_up: str = "", **script: list[str]) -> None:
        self.script = {name.replace("_", "-"): list(kinds) for name, kinds in script.items()}
        self.cancel_after = cancel_after
        self.done: list[str] = []
        self.attempts: list[str] = []
        self.told: dict[int, Change] = {}
        self.runs: list[int] = []
        self.closed = False
        self.now = 0.0
        self.seconds_an_attempt = 1.0
        self.gives_up_on = gives_up
        self.gives_up_after = 1
        self.words = "settled by hand"

    async def act(self, action: str, order: Order) -> Outcome:
        began, self.now = self.now, self.now + self.seconds_an_attempt
        self.attempts.append(action)
        kinds = self.script.get(action, [])
        kind = kinds.pop(0) if kinds else "done"
        if kind == "done" and action not in self.done:
            self.done.append(action)
        if kind == "done":
            return Done(kind="done", began=began, ended=self.now)
        if kind == "refused":
            return Refused(kind="refused", reason=f"{action}-refused", began=began, ended=self.now)
        return Failed(kind="failed", reason=f"{action}-failed", began=began, ended=self.now)

    async def record_status(self, order: Order, change: Change, run: int) -> None:
        self.runs.append(run)
        known = self.told.setdefault(change["version"], change)
        assert known == change, "the same version was published with another content"

    async def cancelled(self, order_id: str, last_chance: bool) -> bool:
        asked = self.cancel_after is not None and self.cancel_after in self.attempts
        self.closed = self.closed or (last_chance and not asked)
        return asked

    async def given_up(self, order_id: str) -> str | None:
        tries = sum(action == self.gives_up_on for action in self.attempts)
        return self.words if tries >= self.gives_up_after else None

    def history(self) -> list[tuple[str, str | None, int]]:
        assert sorted(self.told) == list(range(1, len(self.told) + 1))
        changes = [self.told[version] for version in sorted(self.told)]
        return [(change["status"], change["step"], change["attempt"]) for change in changes]


def an_order() -> Order:
    return Order(
        id="o",
        owner="iss|ada",
        mutation=None,
        fingerprint="f",
        created=0.0,
        data={"lines": [], "total_cents": 1, "currency": "EUR"},
        traceparent="",
        correlation_id="",
        policy=POLICY.copy(),
    )


def pause(attempt: int, action: str) -> float:
    return pause_before(attempt, POLICY, seed=f"o:{action}")


async def run(world: World, engine: Memory | None = None) -> str:
    return await SagaExecution(engine or Memory(), world, an_order()).run()


def test_every_action_and_undo_has_a_participant() -> None:
    assert {step.action for step in STEPS} | {step.compensate for step in STEPS} == ACTIONS.keys()
    assert all(
        ACTIONS[one].service == step.service for step in STEPS for one in (step.action, step.compensate)
    )
    assert [step.pivot for step in STEPS] == [False] * (len(STEPS) - 1) + [True]


def test_pauses_double_up_to_the_cap_and_up_to_a_half_of_each_is_jitter() -> None:
    for attempt, full in ((2, 0.5), (3, 1), (4, 2), (5, 4), (6, 4), (1000, 4)):
        pauses = [pause_before(attempt, POLICY, seed=f"order-{n}") for n in range(200)]
        assert full / 2 <= min(pauses) < full * 0.6 and full * 0.9 < max(pauses) <= full
        # After a crash the same pause is found again.
        assert pauses == [pause_before(attempt, POLICY, seed=f"order-{n}") for n in range(200)]


def test_pauses_grow_on_once_an_undo_needs_attention() -> None:
    policy = Policy(**{**POLICY, "attention_cap_seconds": 300.0})
    assert 150 <= pause_before(30, policy, seed="o", attention=True) <= 300
    assert pause_before(30, policy, seed="o") <= 4
    assert pause_before(30, POLICY, seed="o", attention=True) <= 4


def test_a_stuck_undo_is_recorded_a_few_hundred_times_a_day_at_most() -> None:
    settings = OrdersSettings()
    policy = Policy(
        **{**POLICY, "retry_cap_seconds": 15.0, "attention_cap_seconds": settings.attention_cap_seconds}
    )
    day = sum(pause_before(attempt, policy, seed="o", attention=True) for attempt in range(20, 420))
    assert day > 86_400


def test_the_engine_never_shares_a_sqlite_file_and_follows_the_application_to_a_server() -> None:
    assert OrdersSettings(data_dir=Path("d")).engine_url == "sqlite:///d/orders-engine.db"
    own_file = OrdersSettings(data_dir=Path("d"), database_url="sqlite+aiosqlite:///{service}.db")
    assert own_file.engine_url == "sqlite:///d/orders-engine.db"
    server = OrdersSettings(database_url="postgresql+asyncpg://u:secret@db/{service}")
    assert server.engine_url == "postgresql://u:secret@db/orders"
    assert OrdersSettings(engine_database_url="sqlite:///x.db").engine_url == "sqlite:///x.db"


async def test_a_refusal_undoes_only_what_was_done_before_it() -> None:
    world = World(charge=["refused"])
    assert await run(world) == "COMPENSATED"
    assert world.attempts == ["reserve", "charge", "release"]
    world = World(reserve=["refused"])
    assert await run(world) == "REJECTED"
    assert world.attempts == ["reserve"]
    assert world.history() == [("RUNNING", "reserve", 1), ("REJECTED", "reserve", 1)]


async def test_a_step_with_an_unknown_outcome_is_undone_too() -> None:
    world = World(charge=["failed"] * 50)
    assert await run(world) == "COMPENSATED"
    # Ten seconds of retries, one for each attempt.
    assert world.attempts == ["reserve"] + ["charge"] * 10 + ["refund", "release"]
    assert {change["reason"] for change in world.told.values()} == {None, "charge-failed"}
    assert [n for status, step, n in world.history() if (status, step) == ("RUNNING", "charge")] == list(
        range(1, 11)
    )


async def test_a_refusal_after_failures_is_still_a_refusal() -> None:
    world = World(reserve=["failed", "refused"])
    assert await run(world) == "REJECTED"
    assert world.history()[-1] == ("REJECTED", "reserve", 2)


async def test_undos_run_in_reverse_and_are_retried_without_end() -> None:
    world = World(ship=["refused"], refund=["failed", "refused"] * 100)
    assert await run(world) == "COMPENSATED"
    assert world.attempts[3:] == ["refund"] * 201 + ["release"]
    refunds = [(status, n) for status, step, n in world.history() if step == "refund"]
    assert refunds[:3] == [("COMPENSATING", n) for n in (1, 2, 3)]
    assert {status for status, n in refunds if n > 3} == {"NEEDS_ATTENTION"}
    assert world.history()[-2:] == [("COMPENSATING", "release", 1), ("COMPENSATED", "release", 1)]


async def test_an_undo_that_fails_for_long_needs_attention_before_its_tenth_attempt() -> None:
    world = World(ship=["refused"], refund=["failed"] * 2)
    world.seconds_an_attempt = 901.0
    assert await run(world) == "COMPENSATED"
    refunds = [(status, n) for status, step, n in world.history() if step == "refund"]
    assert refunds == [("COMPENSATING", 1), ("NEEDS_ATTENTION", 2), ("NEEDS_ATTENTION", 3)]


async def test_a_wait_is_published_with_the_next_attempts_number_and_time_and_the_last_error() -> None:
    world = World(ship=["refused"], refund=["failed", "failed"])
    await run(world)
    refunds = [change for change in world.told.values() if change["step"] == "refund"]
    # An attempt takes a second here; reserve, charge and ship took three.
    assert [(one["attempt"], one["next_try_at"], one["last_error"]) for one in refunds] == [
        (1, None, None),
        (2, 4.0 + pause(2, "refund"), "refund-failed"),
        (3, 5.0 + pause(3, "refund"), "refund-failed"),
    ]
    assert {one["reason"] for one in refunds} == {"ship-refused"}
    last = world.told[len(world.told)]
    assert (last["status"], last["next_try_at"], last["last_error"]) == ("COMPENSATED", None, None)

    world = World(charge=["failed"])
    await run(world)
    charges = [change for change in world.told.values() if change["step"] == "charge"]
    assert [(one["attempt"], one["next_try_at"]) for one in charges] == [
        (1, None),
        (2, 2.0 + pause(2, "charge")),
    ]


async def test_an_earlier_cancel_does_not_shorten_a_wait_of_the_undo() -> None:
    engine = Memory()
    await run(World(charge=["failed"], ship=["refused"], refund=["failed", "failed"]), engine)
    assert engine.rests == [
        (pause(2, "charge"), FORWARD),
        (pause(2, "refund"), BACKWARD),
        (pause(3, "refund"), BACKWARD),
    ]


async def test_a_give_up_ends_the_undo_and_never_reports_it_as_done() -> None:
    world = World(ship=["refused"], refund=["failed"] * 100)
    world.gives_up_on, world.gives_up_after = "refund", 5
    assert await run(world) == "NEEDS_ATTENTION"
    assert world.attempts == ["reserve", "charge", "ship"] + ["refund"] * 5
    last = world.told[len(world.told)]
    assert (last["status"], last["step"], last["attempt"]) == ("NEEDS_ATTENTION", "refund", 5)
    assert (last["reason"], last["note"], last["last_error"]) == (
        "given-up",
        "settled by hand",
        "refund-failed",
    )
    assert {change["note"] for version, change in world.told.items() if version < len(world.told)} == {None}


async def test_a_give_up_while_the_undo_succeeds_changes_nothing() -> None:
    world = World(ship=["refused"], refund=["failed"])
    world.gives_up_on, world.gives_up_after = "refund", 2
    assert await run(world) == "COMPENSATED"


async def test_an_undo_that_goes_on_failing_is_taken_up_by_new_runs_that_remember_no_more_than_their_own() -> (
    None
):
    order = an_order()
    order["policy"]["attempts_per_run"] = 10
    calm, world = (
        World(ship=["refused"], refund=["failed"] * 34),
        World(ship=["refused"], refund=["failed"] * 34),
    )
    whole = await SagaExecution(Memory(), calm, an_order()).run()
    continuation: Continuation | None = None
    ended, remembered = CONTINUED, []
    while ended == CONTINUED:
        engine = Memory()
        ended = await SagaExecution(engine, world, order, continuation).run()
        remembered.append(len(engine.names))
        continuation = engine.continued[-1] if engine.continued else None
    assert (ended, world.history()) == (whole, calm.history())
    assert (world.attempts, world.told) == (calm.attempts, calm.told)
    assert len(remembered) == 4 and max(remembered) < 50
    assert sorted(set(world.runs)) == [1, 2, 3, 4]


@pytest.mark.parametrize("point", range(1, 20))
async def test_a_kill_in_a_later_run_changes_nothing_of_how_it_ends(point: int) -> None:
    start = Continuation(
        run=2, version=20, compensations=["refund", "release"], reason="x", attempt=11, began=1.0
    )
    calm, world = World(refund=["failed"] * 5), World(refund=["failed"] * 5)
    whole = await SagaExecution(Memory(), calm, an_order(), start).run()
    engine = Memory(point)
    with pytest.raises(Killed):
        await SagaExecution(engine, world, an_order(), start).run()
    engine.again()
    assert await SagaExecution(engine, world, an_order(), start).run() == whole == "COMPENSATED"
    assert (world.attempts, world.told) == (calm.attempts, calm.told)


class Broken(Exception):
    """What an engine raises when a saga does not match its records."""


class Poisoned(Memory):
    """An engine that refuses one step with an error of its own."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__()
        self.poison = name
        self.error = error

    async def step(self, name: str, body: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        if name == self.poison:
            raise self.error
        return await super().step(name, body, *args)


@pytest.mark.parametrize("error", [Broken(), KeyError("state"), Killed()])
@pytest.mark.parametrize("name", ["record-2", "charge-1", "cancelled-charge-1", "ship-1", "record-4"])
async def test_an_impossible_state_stops_the_saga_and_undoes_nothing(name: str, error: BaseException) -> None:
    world = World()
    with pytest.raises(type(error)):
        await run(world, Poisoned(name, error))
    assert not {step.compensate for step in STEPS} & set(world.attempts)
    assert "COMPENSATING" not in {status for status, _, _ in world.history()}


async def test_an_impossible_state_in_an_undo_stops_it_and_never_reports_compensated() -> None:
    world = World(ship=["refused"])
    with pytest.raises(Broken):
        await run(world, Poisoned("refund-1", Broken()))
    assert world.history()[-1] == ("COMPENSATING", "refund", 1)


@pytest.mark.parametrize(
    ("after", "undos"),
    [
        ("reserve", ["release"]),
        ("charge", ["refund", "release"]),
        ("ship", ["cancel-shipment", "refund", "release"]),
    ],
)
async def test_a_cancel_takes_effect_after_each_action(after: str, undos: list[str]) -> None:
    world = World(cancel_after=after)
    assert await run(world) == "COMPENSATED"
    assert world.done[-len(undos) :] == undos
    assert world.told[len(world.told)]["reason"] == "cancelled"
    assert not world.closed


async def test_the_last_chance_to_cancel_ends_only_when_the_order_has_shipped() -> None:
    world = World(ship=["failed"])
    assert await run(world) == "COMPLETED"
    assert world.closed
    world = World(charge=["refused"])
    await run(world)
    assert not world.closed


async def test_a_cancel_ends_the_retries_of_a_failing_step() -> None:
    world = World(cancel_after="charge", charge=["failed"] * 50)
    assert await run(world) == "COMPENSATED"
    assert world.attempts == ["reserve", "charge", "refund", "release"]


@pytest.mark.parametrize("after_body", [False, True])
@pytest.mark.parametrize(
    "script",
    [
        {},
        {"charge": ["refused"]},
        {"charge": ["failed", "done"], "ship": ["refused"], "refund": ["failed"]},
        {"cancel_after": "ship"},
        {"reserve": ["failed"] * 50},
        {"ship": ["refused"], "refund": ["failed"] * 5, "gives_up": "refund"},
    ],
)
async def test_a_kill_at_any_step_does_not_change_the_result(
    script: dict[str, Any], after_body: bool
) -> None:
    calm = World(**copy.deepcopy(script))
    quiet = Memory()
    ended = await run(calm, quiet)
    for point in range(1, len(quiet.names) + 1):
        world = World(**copy.deepcopy(script))
        engine = Memory(point, after_body=after_body)
        with pytest.raises(Killed):
            await run(world, engine)
        engine.again()
        again = await run(world, engine)
        if not after_body:
            assert (again, world.history()) == (ended, calm.history())
            assert world.done == calm.done
        # A body that ran twice used one more answer of the script; the invariants hold anyway.
        assert world.history()[-1][0] == again
        assert len(set(engine.names)) == len(engine.names)
