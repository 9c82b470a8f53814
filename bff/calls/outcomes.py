"""What becomes of each status that a service may answer, as data: one table for screens and commands.

A status of 2xx is a success and has no row. A row says which kind of failure the status is, whether screens and
commands pass it on to their client as it is (else they answer 502, or 503 for `overloaded`), and what becomes of a
command's idempotency key. A status without a row is judged by its class, as RFC 9110 section 15 asks.

The table is a frozen value: a call carries one (`Call.passes` returns a call with another), and so can an upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["refused", "overloaded", "failed"]
"""Which error the status becomes: Refused, Overloaded or Failed."""

Passed = Literal["yes", "identified", "no"]
"""Whether the status is passed on as it is. identified: only where the call told the service who asks."""

Repeat = Literal["stored", "released", "unknown"]
"""What a command's idempotency key is after this status. stored: the same key gets the same answer. released: nothing
was done, so the same key may try again. unknown: it may have been done; where the service does not honour keys, the
same key is told so."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of an `OutcomeTable`.

    kind     the error that the status becomes: `refused`, `overloaded` or `failed`
    screen   whether a screen passes the status on to its client: `yes`, `no`, or `identified` (only where the call told
             the service who asks); else the client gets 502, or 503 for `overloaded`
    command  the same for a command
    repeat   the command's idempotency key after this status: `stored` (the same key gets the same answer), `released`
             (nothing was done, the same key may try again) or `unknown` (it may have been done)
    """

    kind: Kind
    screen: Passed = "no"
    command: Passed = "no"
    repeat: Repeat = "released"

    def passed(self, *, command: bool, identified: bool) -> bool:
        """Whether the client of a screen, or of a command, gets the service's own status."""
        rule = self.command if command else self.screen
        return rule == "yes" or (rule == "identified" and identified)


# A 4xx without a row says that this gateway's request was wrong, not its client's: 405, 406 and 415 are the usual ones.
_MISTAKE = Outcome("refused")
_FAILED = Outcome("failed", repeat="unknown")
_OVERLOADED = Outcome("overloaded")
_BOTH = Outcome("refused", "yes", "yes", "stored")
_COMMANDS = Outcome("refused", "no", "yes", "stored")
_IDENTIFIED = Outcome("refused", "identified", "identified", "stored")
_LOCKED = Outcome("refused", "no", "yes", "released")

NEVER_PASSED = frozenset({401, 407, 429})
"""Statuses of 4xx that no call can pass on: 401 and 407 speak of the gateway's own credentials, 429 is `overloaded`."""


@dataclass(frozen=True, slots=True)
class OutcomeTable:
    """What becomes of each status that is no success: rows of (status, outcome), each status once. A status without a
    row is judged by its class: 4xx is refused and not passed on, anything else has failed.

    `OUTCOMES.changed({409: Outcome("failed", repeat="unknown")})` and `OUTCOMES.passing((403,))` make one from another;
    an upstream has its own by `class Legacy(Upstream, …, outcomes=…)`. Raises ValueError for a status that is not from
    300 to 599, and for a row that would pass on what is not 4xx, or is 401, 407 or 429.
    """

    rows: tuple[tuple[int, Outcome], ...]

    def __post_init__(self) -> None:
        for status, outcome in self.rows:
            passed = (outcome.screen, outcome.command) != ("no", "no")
            if not 300 <= status <= 599 or (passed and (not 400 <= status <= 499 or status in NEVER_PASSED)):
                raise ValueError(f"{status} cannot have the outcome {outcome}")

    def changed(self, rows: Mapping[int, Outcome]) -> OutcomeTable:
        """This table with these rows in place of its own."""
        return OutcomeTable(tuple(sorted({**dict(self.rows), **rows}.items())))

    def of(self, status: int) -> Outcome:
        """The row of a status that is no success."""
        for known, outcome in self.rows:
            if known == status:
                return outcome
        if 400 <= status < 500:
            return _MISTAKE
        # Also 3xx, for no redirect is followed, and what is no final status at all: nobody knows what was done.
        return _FAILED

    def passing(self, statuses: tuple[int, ...], *, only: bool = False) -> OutcomeTable:
        """This table with these statuses passed on by screens and commands, whoever asked. only: and no other one."""
        known = dict(self.rows)
        rows = {status: _MISTAKE if only and row.kind == "refused" else row for status, row in known.items()}
        for status in statuses:
            repeat: Repeat = known[status].repeat if status in known else "stored"
            rows[status] = Outcome("refused", "yes", "yes", repeat)
        return OutcomeTable(tuple(sorted(rows.items())))


OUTCOMES = OutcomeTable(
    (
        (400, _COMMANDS),
        (402, _IDENTIFIED),
        (403, _IDENTIFIED),
        (404, _BOTH),
        (409, _BOTH),
        (410, _BOTH),
        (412, _COMMANDS),
        (413, _COMMANDS),
        (422, _BOTH),
        (423, _LOCKED),
        (428, _COMMANDS),
        (429, _OVERLOADED),
        (451, _COMMANDS),
        (503, _OVERLOADED),
    )
)
"""The table of every call that says nothing else; docs/contract.md prints it."""
