"""Counts the good requests of each SLO: `bff_slo_events_total`, `bff_slo_good_total` and, with a reason, what was left
out (`bff_slo_excluded_total`).

`SloCounts` is an observer and the tally of `live/outcomes.py`. Every series exists from the start, with 0, so that a
rate over the first failure is right. Labels are the names of declared budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ...live.outcomes import LeftOut
from .observers import Event, RequestEnded

_LEFT = 499

BudgetOf = Literal["answers", "completeness", "outcomes"]
"""What a budget counts: answers in time, complete ones of the answered screens, or outcomes on a stream."""


@dataclass(frozen=True, slots=True)
class CountedBudget:
    """One error budget. method, route: whose requests count; within: seconds that are good, None: any."""

    name: str
    of: BudgetOf
    method: str
    route: str
    within: float | None


class _Counts:
    __slots__ = ("events", "good", "left_out")

    def __init__(self) -> None:
        self.events = self.good = 0
        self.left_out: dict[LeftOut, int] = dict.fromkeys(get_args(LeftOut), 0)


class SloCounts:
    """Counts for these budgets."""

    def __init__(self, budgets: Sequence[CountedBudget]) -> None:
        self._counts = {budget.name: _Counts() for budget in budgets}
        self._by_route: dict[tuple[str, str | None], list[CountedBudget]] = {}
        for budget in budgets:
            self._by_route.setdefault((budget.method, budget.route), []).append(budget)

    def observe(self, event: Event) -> None:
        """An Observer."""
        if type(event) is not RequestEnded:
            return
        for budget in self._by_route.get((event.method, event.route), ()):
            if event.status == _LEFT:
                if budget.of != "outcomes":
                    # The outcome of a command counts even so, for a person whose stream is still open.
                    self.leave_out(budget.name, "left")
            elif 400 <= event.status < 500:
                self.leave_out(budget.name, "refused")
            elif event.status >= 500:
                if budget.of != "completeness":
                    self.count(budget.name, good=False)
            elif budget.of == "answers":
                self.count(budget.name, good=budget.within is None or event.seconds <= budget.within)
            elif budget.of == "completeness":
                self.count(budget.name, good=event.record is None or not event.record.missing)

    def count(self, name: str, *, good: bool) -> None:
        """One more event of this budget."""
        counts = self._counts[name]
        counts.events += 1
        counts.good += good

    def leave_out(self, name: str, why: LeftOut) -> None:
        """One that is neither good nor bad."""
        self._counts[name].left_out[why] += 1

    def readings(self) -> dict[str, Callable[[], Mapping[tuple[str, ...], float]]]:
        """What reads the counts, by the instrument's name."""
        counts = self._counts.items()
        return {
            "bff.slo.events": lambda: {(name,): one.events for name, one in counts},
            "bff.slo.good": lambda: {(name,): one.good for name, one in counts},
            "bff.slo.excluded": lambda: {
                (name, why): number for name, one in counts for why, number in one.left_out.items()
            },
        }
