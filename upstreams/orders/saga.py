"""The order saga: reserve, charge, ship, and back again when one of them cannot be.

Promises that each undo is registered before its action, that undos run in reverse and are tried until they are
done or an operator gives up, and that every change is told once, in order, with a version that counts from 1.
Refuses to know who makes it durable: an `Engine` remembers what each step answered, so after a crash this code runs
again from the top and comes to the same place. Hence its rules: no clock, no randomness, no settings, no I/O here;
all of that is in steps, whose answers are plain values. It catches nothing: a refusal is a value, and an engine's
own errors must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, TypeVar

T = TypeVar("T")

GIVEN_UP = "given-up"

# What a resting saga is woken by: on its way forward (a cancel, an operator), on its way back (an operator). Two, or
# a cancel that no rest took up would cut the first rest of an undo short.
FORWARD = "wake"
BACKWARD = "wake-undo"


class Policy(TypedDict):
    """How patient this saga is; seconds. Part of its input, so that a new setting cannot change a running one."""

    forward_seconds: float
    retry_first_seconds: float
    retry_cap_seconds: float
    attention_attempts: int
    attention_seconds: float


class Order(TypedDict):
    """A saga's input, as JSON would have it. `data` is the order's content as told to the customer."""

    id: str
    owner: str
    mutation: str | None
    fingerprint: str
    created: float
    data: dict[str, Any]
    traceparent: str
    correlation_id: str
    policy: Policy


class Outcome(TypedDict):
    """What came of one attempt: `done`, `refused` (for good, and nothing was done) or `failed` (who knows).

    `reason` is a short stable code; `began` and `ended` are seconds since the epoch.
    """

    kind: str
    reason: str | None
    began: float
    ended: float


class Change(TypedDict):
    """One thing to tell.

    After a failed attempt it names the next one: `attempt` is its number, `next_try_at` its time (seconds since the
    epoch), `last_error` why the one before failed. `note` is an operator's words.
    """

    version: int
    status: str
    step: str | None
    attempt: int
    reason: str | None
    next_try_at: float | None
    last_error: str | None
    note: str | None


class Engine(Protocol):
    """What makes a saga durable."""

    async def step(self, name: str, body: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run the body and remember its answer; after a crash answer from memory. Names are unique in a saga."""

    async def rest(self, seconds: float, waker: str) -> None:
        """Wait, durably; ends early when this waker calls or has called."""


class Activities(Protocol):
    """The bodies of the steps; they answer with values and try again by themselves where only they can."""

    async def act(self, action: str, order: Order) -> Outcome:
        """One attempt of an action at its participant."""

    async def record_status(self, order: Order, change: Change) -> None:
        """Write the change down together with its event."""

    async def cancelled(self, order_id: str, last_chance: bool) -> bool:
        """Whether the customer took the order back; with `last_chance` a later wish is refused from now on."""

    async def given_up(self, order_id: str) -> str | None:
        """The words of an operator who ended the undo; None while nobody did."""


@dataclass(frozen=True, slots=True)
class Leg:
    action: str
    undo: str
    owner: str


LEGS = (
    Leg("reserve", "release", "inventory"),
    Leg("charge", "refund", "payments"),
    Leg("ship", "cancel-shipment", "shipping"),
)


def wait_before(attempt: int, policy: Policy) -> float:
    """Seconds before the next attempt when this one failed: doubling up to the cap."""
    return float(min(policy["retry_cap_seconds"], policy["retry_first_seconds"] * 2 ** min(attempt - 1, 30)))


class Saga:
    """One order's way; `run` answers the status it ended with."""

    def __init__(self, engine: Engine, activities: Activities, order: Order) -> None:
        self._engine = engine
        self._activities = activities
        self._order = order
        self._version = 0

    async def run(self) -> str:
        undos: list[str] = []
        for leg in LEGS:
            undos.append(leg.undo)
            kind, reason, attempt = await self._forward(leg)
            if kind == "refused":
                undos.pop()  # refused for good under the action's one key: nothing of it exists or will
            if kind != "done":
                return await self._backward(undos, leg.action, attempt, reason)
        await self._record("COMPLETED", LEGS[-1].action, attempt)
        return "COMPLETED"

    async def _forward(self, leg: Leg) -> tuple[str, str | None, int]:
        attempt, began = 1, None
        await self._record("RUNNING", leg.action, attempt)
        while True:
            outcome = await self._attempt(leg.action, attempt)
            began = outcome["began"] if began is None else began
            if outcome["kind"] == "refused":
                return "refused", outcome["reason"], attempt
            done = outcome["kind"] == "done"
            if await self._cancelled(leg, attempt, last_chance=done and leg is LEGS[-1]):
                return "cancelled", "cancelled", attempt
            if done:
                return "done", None, attempt
            if outcome["ended"] - began >= self._order["policy"]["forward_seconds"]:
                return "failed", outcome["reason"], attempt
            attempt += 1
            await self._rest("RUNNING", leg.action, attempt, None, outcome)

    async def _backward(self, undos: list[str], action: str, attempt: int, reason: str | None) -> str:
        if not undos:
            await self._record("REJECTED", action, attempt, reason)
            return "REJECTED"
        for undo in reversed(undos):
            done, attempt = await self._undo(undo, reason)
            if not done:
                return "NEEDS_ATTENTION"
        await self._record("COMPENSATED", undos[0], attempt, reason)
        return "COMPENSATED"

    async def _undo(self, undo: str, reason: str | None) -> tuple[bool, int]:
        policy = self._order["policy"]
        attempt, began = 1, None
        await self._record("COMPENSATING", undo, attempt, reason)
        while True:
            outcome = await self._attempt(undo, attempt)
            if outcome["kind"] == "done":
                return True, attempt
            began = outcome["began"] if began is None else began
            failing = outcome["ended"] - began
            stuck = attempt >= policy["attention_attempts"] or failing >= policy["attention_seconds"]
            attempt += 1
            await self._rest("NEEDS_ATTENTION" if stuck else "COMPENSATING", undo, attempt, reason, outcome)
            words = await self._given_up(undo, attempt)
            if words is not None:
                # Not undone, so never COMPENSATED: it keeps needing attention, only no longer ours.
                error = outcome["reason"]
                await self._record(
                    "NEEDS_ATTENTION", undo, attempt - 1, GIVEN_UP, last_error=error, note=words
                )
                return False, attempt - 1

    async def _attempt(self, action: str, attempt: int) -> Outcome:
        return await self._engine.step(f"{action}-{attempt}", self._activities.act, action, self._order)

    async def _rest(self, status: str, step: str, attempt: int, reason: str | None, failed: Outcome) -> None:
        """Say when the next attempt comes and why there is one, and wait for it."""
        wait = wait_before(attempt - 1, self._order["policy"])
        await self._record(
            status, step, attempt, reason, next_try_at=failed["ended"] + wait, last_error=failed["reason"]
        )
        await self._engine.rest(wait, FORWARD if status == "RUNNING" else BACKWARD)

    async def _cancelled(self, leg: Leg, attempt: int, *, last_chance: bool) -> bool:
        name = f"cancelled-{leg.action}-{attempt}"
        return await self._engine.step(name, self._activities.cancelled, self._order["id"], last_chance)

    async def _given_up(self, undo: str, attempt: int) -> str | None:
        return await self._engine.step(
            f"given-up-{undo}-{attempt}", self._activities.given_up, self._order["id"]
        )

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
        await self._engine.step(f"tell-{self._version}", self._activities.record_status, self._order, change)
