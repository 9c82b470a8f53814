"""Carries a saga's steps out: forward one by one, and back again when one of them cannot be done.

Guarantees that each compensation is registered before its action, that compensations run in reverse and are tried until
they are done or an operator gives up, and that every change is recorded once, in order, with a version that counts
from 1. Refuses to know who makes it durable: an `Engine` remembers what each step answered, so after a crash this code
runs again from the top and comes to the same place. Hence its rules: no clock, no settings, no I/O here; all of that is
in activities, whose answers are plain values. It catches nothing: a refusal is a value, and an engine's own errors must
pass.

What an engine has to remember is bounded: a compensation that goes on failing ends its run after
`policy["attempts_per_run"]` attempts, and a new run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeVar

from upstreams.orders.retry import Attempts
from upstreams.orders.saga import STEPS, Change, Continuation, Failed, Order, Outcome, Refused, SagaStep

T = TypeVar("T")

GIVEN_UP: Final = "given-up"
CANCELLED: Final = "cancelled"
CONTINUED: Final = "CONTINUED"

# What a resting saga is woken by: on its way forward (a cancel, an operator), on its way back (an operator). Two, or
# a cancel that no rest took up would cut the first rest of a compensation short.
FORWARD: Final = "wake"
BACKWARD: Final = "wake-undo"


class Engine(Protocol):
    """What makes a saga durable."""

    async def step(self, name: str, body: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run the body and remember its answer; after a crash answer from memory. Names are unique in a run."""

    async def rest(self, seconds: float, waker: str) -> None:
        """Wait, durably; ends early when this waker calls or has called."""

    async def continue_as(self, order: Order, continuation: Continuation) -> None:
        """Start the next run of this order's saga, durably and once."""


class Activities(Protocol):
    """The bodies of the steps; they answer with values and try again by themselves where only they can."""

    async def act(self, action: str, order: Order) -> Outcome:
        """One attempt of an action at its service."""

    async def record_status(self, order: Order, change: Change, run: int) -> None:
        """Write the change down together with its event."""

    async def cancelled(self, order_id: str, last_chance: bool) -> bool:
        """Whether the customer took the order back; with `last_chance` a later wish is refused from now on."""

    async def given_up(self, order_id: str) -> str | None:
        """The words of an operator who ended the compensation; None while nobody did."""


@dataclass(frozen=True, slots=True)
class _Stopped:
    """Why a step on the way forward was not done: refused, cancelled, or given up after its last failure."""

    kind: Literal["refused", "cancelled", "failed"]
    reason: str
    attempt: int


class SagaExecution:
    """One run of an order's saga; `run` answers the status it ended with, or CONTINUED.

    continuation: where the run before it ended; None: this is the first.
    """

    def __init__(
        self,
        engine: Engine,
        activities: Activities,
        order: Order,
        continuation: Continuation | None = None,
        *,
        steps: tuple[SagaStep, ...] = STEPS,
    ) -> None:
        self._engine = engine
        self._activities = activities
        self._order = order
        self._continuation = continuation
        self._steps = steps
        self._run = 1 if continuation is None else continuation["run"]
        self._version = 0 if continuation is None else continuation["version"]

    async def run(self) -> str:
        if self._continuation is not None:
            return await self._compensate_all(
                self._continuation["compensations"], self._continuation["reason"], self._continuation
            )
        registered: list[str] = []
        attempt = 1
        for step in self._steps:
            registered.append(step.compensate)
            ended = await self._forward(step)
            if isinstance(ended, _Stopped):
                if ended.kind == "refused":
                    registered.pop()  # refused for good under the action's one key: nothing of it exists or will
                if not registered:
                    await self._record("REJECTED", step.action, ended.attempt, ended.reason)
                    return "REJECTED"
                return await self._compensate_all(registered[::-1], ended.reason)
            attempt = ended
        await self._record("COMPLETED", self._steps[-1].action, attempt)
        return "COMPLETED"

    # Forward

    async def _forward(self, step: SagaStep) -> int | _Stopped:
        """Try until it is done; answers the number of the attempt that did it."""
        attempts = self._attempts(step.action)
        await self._record("RUNNING", step.action, attempts.number)
        while True:
            attempt = attempts.number
            outcome = await self._attempt(step.action, attempt)
            if outcome["kind"] == "refused":
                return _Stopped("refused", outcome["reason"], attempt)
            done = outcome["kind"] == "done"
            if await self._cancelled(step, attempt, last_chance=done and step.pivot):
                return _Stopped("cancelled", CANCELLED, attempt)
            if outcome["kind"] == "done":
                return attempt
            attempts.failed(outcome["began"], outcome["ended"])
            if attempts.exhausted:
                return _Stopped("failed", outcome["reason"], attempt)
            await self._rest("RUNNING", step.action, attempts, None, outcome)

    # Back

    async def _compensate_all(
        self, actions: list[str], reason: str | None, continuation: Continuation | None = None
    ) -> str:
        """Compensate in this order; a continuation says how far the first of them came."""
        attempt = 1
        for index, action in enumerate(actions):
            ended = await self._compensate(action, reason, actions[index:], continuation)
            if isinstance(ended, str):
                return ended
            attempt, continuation = ended, None
        await self._record("COMPENSATED", actions[-1], attempt, reason)
        return "COMPENSATED"

    async def _compensate(
        self, action: str, reason: str | None, remaining: list[str], continuation: Continuation | None
    ) -> int | str:
        """Try until it is done; answers the number of the attempt that did it, or how this run ended."""
        attempts = self._attempts(action)
        if continuation is None:
            await self._record("COMPENSATING", action, attempts.number, reason)
        else:
            attempts.number, attempts.began = continuation["attempt"], continuation["began"]
        first = attempts.number
        while True:
            outcome = await self._attempt(action, attempts.number)
            if outcome["kind"] == "done":
                return attempts.number
            attempts.failed(outcome["began"], outcome["ended"])
            status = "NEEDS_ATTENTION" if attempts.need_attention else "COMPENSATING"
            await self._rest(status, action, attempts, reason, outcome)
            words = await self._given_up(action, attempts.number)
            if words is not None:
                # Not undone, so never COMPENSATED: it keeps needing attention, only no longer ours.
                error, last = outcome["reason"], attempts.number - 1
                await self._record("NEEDS_ATTENTION", action, last, GIVEN_UP, last_error=error, note=words)
                return "NEEDS_ATTENTION"
            if attempts.ends_run(first):
                await self._continue(remaining, reason, attempts, outcome)
                return CONTINUED

    async def _continue(
        self, remaining: list[str], reason: str | None, attempts: Attempts, last: Outcome
    ) -> None:
        continuation = Continuation(
            run=self._run + 1,
            version=self._version,
            compensations=remaining,
            reason=reason,
            attempt=attempts.number,
            began=last["began"] if attempts.began is None else attempts.began,
        )
        await self._engine.continue_as(self._order, continuation)

    # Both ways

    def _attempts(self, action: str) -> Attempts:
        return Attempts(self._order["policy"], seed=f"{self._order['id']}:{action}")

    async def _attempt(self, action: str, attempt: int) -> Outcome:
        return await self._engine.step(f"{action}-{attempt}", self._activities.act, action, self._order)

    async def _rest(
        self, status: str, action: str, attempts: Attempts, reason: str | None, failed: Failed | Refused
    ) -> None:
        """Say when the next attempt comes and why there is one, and wait for it."""
        pause = attempts.pause(attention=status == "NEEDS_ATTENTION")
        await self._record(
            status,
            action,
            attempts.number,
            reason,
            next_try_at=failed["ended"] + pause,
            last_error=failed["reason"],
        )
        await self._engine.rest(pause, FORWARD if status == "RUNNING" else BACKWARD)

    async def _cancelled(self, step: SagaStep, attempt: int, *, last_chance: bool) -> bool:
        name = f"cancelled-{step.action}-{attempt}"
        return await self._engine.step(name, self._activities.cancelled, self._order["id"], last_chance)

    async def _given_up(self, action: str, attempt: int) -> str | None:
        name = f"given-up-{action}-{attempt}"
        return await self._engine.step(name, self._activities.given_up, self._order["id"])

    async def _record(
        self,
        status: str,
        step: str | None,
        attempt: int,
        reason: str | None = None,
        *,
        next_try_at: float | None = None,
        last_error: str | None = None,
        note: str | None = None,
    ) -> None:
        self._version += 1
        change = Change(
            version=self._version,
            status=status,
            step=step,
            attempt=attempt,
            reason=reason,
            next_try_at=next_try_at,
            last_error=last_error,
            note=note,
        )
        await self._engine.step(
            f"record-{self._version}", self._activities.record_status, self._order, change, self._run
        )
