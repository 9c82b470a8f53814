"""Faults on demand, for demos and tests. Promises one plan at a time that slows, fails, refuses or parks matching
requests, before or after their effect; refuses to touch the health, fault and OpenAPI routes, which never ask it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Literal

from bff_service import Problem
from pydantic import BaseModel, ConfigDict, Field

MAX_HELD = 1000


class FaultPlan(BaseModel):
    """What goes wrong, for which requests, how many times."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency_ms: int = Field(0, ge=0, le=600_000, description="wait before anything else")
    error_rate: float = Field(
        0.0, ge=0.0, le=1.0, description="share answered with `status`, without an effect"
    )
    status: int = Field(503, ge=400, le=599)
    refuse: bool = Field(False, description="the mutation's own business refusal")
    hold: Literal["before", "after"] | None = Field(
        None, description="park before the effect, or after its commit and before the answer"
    )
    match: str | None = Field(
        None,
        max_length=300,
        description="prefix of `METHOD /path`, as requested or as declared; a `$` at its end: the whole",
    )
    times: int | None = Field(None, ge=0, description="how many requests it still hits; null: all")


class FaultState(FaultPlan):
    """The plan and how many requests are parked right now."""

    held: int = 0


class Faults:
    """The plan in force and the parked requests (at most 1000; one more answers 503)."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._plan = FaultPlan()
        self._left: int | None = None
        self._gate = asyncio.Event()
        self._held = 0
        self._chance = chance

    def state(self) -> FaultState:
        return FaultState(**self._plan.model_dump(exclude={"times"}), times=self._left, held=self._held)

    def plan(self, plan: FaultPlan) -> FaultState:
        """Put a plan in force; what is parked stays parked."""
        self._plan, self._left = plan, plan.times
        return self.state()

    def clear(self) -> FaultState:
        """No faults any more, and everything parked goes on."""
        self.plan(FaultPlan())
        return self.release()

    def release(self) -> FaultState:
        """Let the parked requests go on; the plan stays in force."""
        self._gate.set()
        self._gate = asyncio.Event()
        return self.state()

    def strike(self, method: str, path: str, template: str, *, refusable: bool) -> FaultPlan | None:
        """The plan, when it hits this request (and counts it); None when it does not.

        A plan that only refuses passes by an operation that has no business refusal.
        """
        plan = self._plan
        idle = not (plan.latency_ms or plan.error_rate or plan.hold or (plan.refuse and refusable))
        if idle or self._left == 0 or not _matches(plan.match, f"{method} {path}", f"{method} {template}"):
            return None
        if self._left is not None:
            self._left -= 1
        return plan

    async def before(self, plan: FaultPlan) -> None:
        """What happens before the effect; raises the planned error."""
        if plan.latency_ms:
            await asyncio.sleep(plan.latency_ms / 1000)
        if plan.error_rate and self._chance() < plan.error_rate:
            raise Problem(plan.status, "fault-injected", "This failure was asked for at /faults.")
        if plan.hold == "before":
            await self._park()

    async def after(self, plan: FaultPlan) -> None:
        """What happens between the effect's commit and the answer."""
        if plan.hold == "after":
            await self._park()

    async def _park(self) -> None:
        if self._held >= MAX_HELD:
            raise Problem(503, "fault-injected", "Too many requests are parked.")
        self._held += 1
        try:
            await self._gate.wait()
        finally:
            self._held -= 1


def _matches(match: str | None, *names: str) -> bool:
    if match is None:
        return True
    if match.endswith("$"):
        return match[:-1] in names
    return any(name.startswith(match) for name in names)
