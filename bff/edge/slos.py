"""Service level objectives: what share of a screen's or a command's requests must be good, over how many days.

    Slo("checkout", command="/api/orders", good=confirmed(within=3), target=0.99)
    Slo("home", view="/api/screens/products", good=complete(within=0.3), target=0.995, days=28)

Measured at the gateway, from a request's arrival:

- `answered(within)`: the answer ended in time with a status below 500.
- `complete(within)`: the same, for a view. That a screen was answered without some of its optional parts does not spend
  this budget but one of its own, `<name>-complete`: of the screens that were answered, which share was complete.
- `confirmed(within)`: the event that settles the saga of a command was written to a stream of the person who sent it,
  on any gateway (`live/outcomes.py` says what counts). An answer of 500 and above is bad at once.

Answers of 4xx and requests whose client left before the answer are left out: they are neither good nor bad.
`bff slo export` makes Prometheus' rules and alerts of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..calls import ENDED, DeclarationError
from ..calls.errors import declaring
from ..live.outcomes import OutcomeTarget
from .declared import COMMAND_METHODS, Route, check_name
from .observe.slos import BudgetOf, CountedBudget

MOST_SECONDS = 300.0
"""Longest `within`."""
MOST_SLOS = 100
"""SLOs of one gateway."""
_COMPLETE = "-complete"
_STATUSES = tuple(sorted(ENDED))


@dataclass(frozen=True, slots=True)
class Answered:
    """See `answered`."""

    within: float | None


@dataclass(frozen=True, slots=True)
class Complete:
    """See `complete`."""

    within: float | None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """See `confirmed`."""

    within: float
    statuses: frozenset[str]


Good: TypeAlias = Answered | Complete | Confirmed


def answered(within: float | None = None) -> Answered:
    """Good: answered with a status below 500, within so many seconds (None: however long it takes)."""
    return Answered(within)


def complete(within: float | None = None) -> Complete:
    """Of a view. Good: answered with a status below 500, within so many seconds (None: however long it takes). Screens
    that lacked an optional part spend a budget of their own, `<name>-complete`, with the same target."""
    return Complete(within)


def confirmed(within: float, *, statuses: Sequence[str] = _STATUSES) -> Confirmed:
    """Of a command that starts or advances a saga. Good: within so many seconds the event with which the saga settled
    was on a stream of the person who sent the command.

    statuses  of a settled saga that are good. Default: all three, because the person learns the truth in time; without
              COMPENSATED, a saga that had to be undone is bad
    """
    return Confirmed(within, frozenset(statuses))


@dataclass(frozen=True, slots=True)
class Slo:
    """An objective of a gateway, for `Gateway(slos=[…])`.

    name     lower-case letters, digits and dashes; the label `bff_slo` of its metrics
    good     what a good request is: `answered`, `complete` or `confirmed`
    target   the share of requests that must be good, 0.5 to below 1
    view     the path of a view, as it is declared with its prefixes
    command  the path of a command, with its method where the path has several: ``PUT /api/basket``
    days     of the budget, 7 to 90, default 28
    minimum  requests without which no alert is raised, in the alert's long window; default 20
    team, contact  who is told; default: the gateway's name
    runbook  an address to use in place of the runbook of this documentation

    Raises DeclarationError.
    """

    name: str
    good: Good
    target: float
    view: str = ""
    command: str = ""
    days: int = 28
    minimum: int = 20
    team: str = ""
    contact: str = ""
    runbook: str = ""

    def __init__(
        self,
        name: str,
        *,
        good: Good,
        target: float,
        view: str = "",
        command: str = "",
        days: int = 28,
        minimum: int = 20,
        team: str = "",
        contact: str = "",
        runbook: str = "",
    ) -> None:
        given = locals()
        for field in self.__slots__:
            object.__setattr__(self, field, given[field])
        with declaring():
            self._check()

    def _check(self) -> None:
        check_name(self.name, "slo")
        what = f"slo {self.name}"
        if bool(self.view) == bool(self.command):
            raise DeclarationError(
                f"{what}: it is about one view or one command: view='/api/screens/…' or command='/api/…'"
            )
        if not isinstance(self.good, Answered | Complete | Confirmed):
            raise DeclarationError(
                f"{what}: good is answered(within=…), complete(within=…) or confirmed(within=…), not {self.good!r}"
            )
        if isinstance(self.good, Complete) and self.command:
            raise DeclarationError(
                f"{what}: only a view can be complete; of a command use confirmed(within=…) or answered(within=…)"
            )
        if isinstance(self.good, Confirmed) and self.view:
            raise DeclarationError(
                f"{what}: only a command can be confirmed; of a view use complete(within=…) or answered(within=…)"
            )
        within = self.good.within
        if within is not None and not 0 < within <= MOST_SECONDS:
            raise DeclarationError(
                f"{what}: within is seconds above 0 and up to {MOST_SECONDS:g}, not {within!r}"
            )
        if isinstance(self.good, Confirmed) and not (self.good.statuses and self.good.statuses <= ENDED):
            raise DeclarationError(
                f"{what}: statuses are some of {', '.join(_STATUSES)}, not "
                f"{', '.join(sorted(self.good.statuses)) or 'none'}"
            )
        if not 0.5 <= self.target < 1:
            percent = f"; write {self.target / 100:g}" if 50 <= self.target < 100 else ""
            raise DeclarationError(
                f"{what}: target is a share from 0.5 to below 1, such as 0.99, not {self.target!r}{percent}"
            )
        if not 7 <= self.days <= 90:
            raise DeclarationError(f"{what}: days are 7 to 90, not {self.days!r}")
        if self.minimum < 1:
            raise DeclarationError(f"{what}: minimum is a number of requests from 1, not {self.minimum!r}")


@dataclass(frozen=True, slots=True)
class Budget:
    """One error budget: `name` is the label of its metrics. An `Slo` with `complete` has two."""

    name: str
    of: BudgetOf
    slo: Slo
    route: Route

    @property
    def counted(self) -> CountedBudget:
        """It as the metrics count it."""
        return CountedBudget(self.name, self.of, self.route.method, self.route.path, self.slo.good.within)

    @property
    def what(self) -> str:
        """What a good request is, for people."""
        within = self.slo.good.within
        in_time = f" within {within:g} s" if within is not None else ""
        if self.of == "completeness":
            return f"{self.route.what} is answered with all its parts"
        if self.of == "outcomes":
            return f"the outcome of {self.route.what} is on the person's stream{in_time}"
        return f"{self.route.what} is answered{in_time}"


def check_names(slos: Iterable[Slo]) -> tuple[Slo, ...]:
    """These SLOs. Raises DeclarationError for what is no Slo, for two budgets of one name, and for too many."""
    found = tuple(slos)
    names: set[str] = set()
    for slo in found:
        if not isinstance(slo, Slo):
            raise DeclarationError(f"slos: {slo!r} is no Slo")
        for name in _names(slo):
            if name in names:
                raise DeclarationError(f"slo {slo.name}: there is another budget named {name}; rename one")
            names.add(name)
    if len(found) > MOST_SLOS:
        raise DeclarationError(f"slos: {len(found)} are declared, {MOST_SLOS} at most")
    return found


def _names(slo: Slo) -> tuple[str, ...]:
    return (slo.name, slo.name + _COMPLETE) if isinstance(slo.good, Complete) else (slo.name,)


def budgets_of(slos: Iterable[Slo], routes: Sequence[Route]) -> list[Budget]:
    """The budgets of these SLOs. Raises DeclarationError for one whose route does not exist or does not fit."""
    found = []
    for slo in slos:
        route = _route_of(slo, routes)
        if isinstance(slo.good, Confirmed):
            if route.starts is None:
                raise DeclarationError(
                    f"slo {slo.name}: {route.what} starts no saga, so its answer is final: use answered(within=…), or "
                    f"declare the command with starts=… ({route.origin})"
                )
            found.append(Budget(slo.name, "outcomes", slo, route))
            continue
        found.append(Budget(slo.name, "answers", slo, route))
        if isinstance(slo.good, Complete):
            found.append(Budget(slo.name + _COMPLETE, "completeness", slo, route))
    return found


def _route_of(slo: Slo, routes: Sequence[Route]) -> Route:
    kind = "view" if slo.view else "command"
    method, _, path = (slo.view or slo.command).rpartition(" ")
    if method and (slo.view or method not in COMMAND_METHODS):
        raise DeclarationError(
            f"slo {slo.name}: {kind}={slo.view or slo.command!r} is a path, before which a command may have one of "
            f"{', '.join(COMMAND_METHODS)}"
        )
    named = [route for route in routes if route.path == path and method in ("", route.method)]
    fitting = [route for route in named if route.kind == kind]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        choices = " or ".join(repr(f"{route.method} {path}") for route in fitting)
        raise DeclarationError(f"slo {slo.name}: {path} has several commands: write command={choices}")
    if named:
        other = named[0].kind
        raise DeclarationError(
            f"slo {slo.name}: {path} is a {other}, not a {kind}: write {other}={path!r} ({named[0].origin})"
        )
    known = [route.path for route in routes if route.kind == kind]
    near = difflib.get_close_matches(path, known, 1, 0.6)
    cure = (
        f"did you mean {near[0]}?"
        if near
        else f"it has {', '.join(sorted(set(known))[:10]) or 'none'}; write a path as it is declared, with its prefixes"
    )
    raise DeclarationError(f"slo {slo.name}: the gateway has no {kind} {path}; {cure}")


def outcome_targets(budgets: Iterable[Budget]) -> dict[str, list[OutcomeTarget]]:
    """What the meter of outcomes measures, by the command."""
    targets: dict[str, list[OutcomeTarget]] = {}
    for budget in budgets:
        good = budget.slo.good
        if isinstance(good, Confirmed):
            target = OutcomeTarget(budget.name, good.within, good.statuses)
            targets.setdefault(budget.route.what, []).append(target)
    return targets
