"""How patient a saga is: when the next attempt comes, when a step is given up, when a compensation needs attention.

Guarantees the same answer each time it is asked, also after a crash: the jitter follows from the order and the attempt.
Refuses to end a compensation: only an operator does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TypedDict


class Policy(TypedDict):
    """Seconds and numbers. Part of a saga's input, so that a new setting cannot change a running one.

    forward_seconds: how long a failing step is tried again before the order is undone.
    retry_first_seconds, retry_cap_seconds: the first pause between attempts, doubled each time, and the longest.
    attention_attempts, attention_seconds: a compensation that fails more often, or for longer, needs attention.
    attention_cap_seconds: the longest pause from then on. attempts_per_run: after so many, a new run of the saga goes
    on.
    """

    forward_seconds: float
    retry_first_seconds: float
    retry_cap_seconds: float
    attention_attempts: int
    attention_seconds: float
    attention_cap_seconds: float
    attempts_per_run: int


def pause_before(attempt: int, policy: Policy, *, seed: str, attention: bool = False) -> float:
    """Seconds before this attempt (the second is the first that waits): doubling up to the cap, of which a half is
    jitter, so that orders that failed together do not come back together."""
    cap = policy["retry_cap_seconds"]
    if attention:
        cap = max(cap, policy["attention_cap_seconds"])
    full = min(cap, policy["retry_first_seconds"] * 2 ** min(attempt - 2, 30))
    jitter = random.Random(f"{seed}:{attempt}").uniform(0.5, 1.0)  # noqa: S311 - no secret
    return float(full * jitter)


@dataclass(slots=True)
class Attempts:
    """The attempts of one action. seed: what the jitter follows from; number: of the attempt under way; began: when
    the first one began, once it has ended."""

    policy: Policy
    seed: str
    number: int = 1
    began: float | None = None
    failing_for: float = 0.0

    def failed(self, began: float, ended: float) -> None:
        """The attempt under way failed; the next one has the next number."""
        self.began = began if self.began is None else self.began
        self.failing_for = ended - self.began
        self.number += 1

    @property
    def exhausted(self) -> bool:
        """Whether a step on the way forward is not tried again."""
        return self.failing_for >= self.policy["forward_seconds"]

    @property
    def need_attention(self) -> bool:
        """Whether a compensation has failed so often or so long that somebody should look."""
        failures = self.number - 1
        return (
            failures >= self.policy["attention_attempts"]
            or self.failing_for >= self.policy["attention_seconds"]
        )

    def ends_run(self, first: int) -> bool:
        """Whether a run that began with attempt `first` has had its share of attempts."""
        return self.number - first >= self.policy["attempts_per_run"]

    def pause(self, *, attention: bool = False) -> float:
        """Seconds before the attempt under way."""
        return pause_before(self.number, self.policy, seed=self.seed, attention=attention)
