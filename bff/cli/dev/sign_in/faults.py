"""Faults of the development sign-in: what goes wrong with a provider, switched on by hand or by a test.

Guarantees that no fault is in force unless it was switched on, and that `times` faults end by themselves. Refuses
unknown names. Faults strike what a gateway or a service requests, not the pages of people.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

FAULTS: Mapping[str, str] = {
    "expired": "Tokens have already expired when they are issued.",
    "revoked": "Refresh tokens are refused, and access tokens are reported as revoked.",
    "slow": "Answers take three seconds.",
    "error": "Answers are 500.",
    "stalled": "Requests are accepted and not answered until the fault ends.",
    "wrong-key": "Tokens are signed with a key that is not published.",
    "huge-groups": "Tokens list 1,000 groups, some 50 KB.",
}
"""Each fault and what it does."""
OF_ANSWERS = ("slow", "error", "stalled")
"""Faults that strike every request of a program; the others change what is issued."""
GROUPS = 1_000
LONGEST_STALL = 120.0
"""Seconds after which a stalled request is answered anyway."""


class FaultPlan(BaseModel):
    """faults: their names; times: how often they strike before the plan ends, None: without end; seconds: how long
    `slow` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    faults: tuple[str, ...] = Field((), max_length=len(FAULTS))
    times: int | None = Field(None, ge=1, le=1_000_000)
    seconds: float = Field(3.0, ge=0, le=60)

    @field_validator("faults")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(names) - FAULTS.keys()):
            raise ValueError(f"there is no fault {unknown[0]!r}; there are {', '.join(FAULTS)}")
        return names


class Faults:
    """The plan in force."""

    def __init__(self) -> None:
        self._plan = FaultPlan()
        self._left: int | None = None
        self._held = 0
        self._ended = asyncio.Event()

    def set(self, plan: FaultPlan) -> None:
        """Replace the plan; requests that are stalled go on."""
        self._plan, self._left = plan, plan.times
        self._ended.set()
        self._ended = asyncio.Event()

    def state(self) -> dict[str, Any]:
        """`{faults, times, seconds, held}`: the plan, how often it still strikes, and how many requests are stalled."""
        return {
            "faults": [name for name in FAULTS if self.active(name)],
            "times": self._left,
            "seconds": self._plan.seconds,
            "held": self._held,
        }

    def active(self, name: str) -> bool:
        """Whether the fault is in force."""
        return name in self._plan.faults and self._left != 0

    def strikes(self, name: str) -> bool:
        """Whether the fault is in force, and count it."""
        struck = self.active(name)
        if struck and self._left is not None:
            self._left -= 1
        return struck

    async def strike(self) -> bool:
        """Delay a request as planned. Whether it is to be answered 500."""
        if self.strikes("stalled"):
            self._held += 1
            try:
                async with asyncio.timeout(LONGEST_STALL):
                    await self._ended.wait()
            except TimeoutError:
                pass
            finally:
                self._held -= 1
        if self.strikes("slow"):
            await asyncio.sleep(self._plan.seconds)
        return self.strikes("error")
