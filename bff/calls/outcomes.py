"""The outcome of each status that a service may answer, as data: one table for screens and commands.

A status of 2xx is a success and has no row. A row says which kind of failure the status is, whether screens and
commands pass it on to their client unchanged (otherwise they answer 502, or 503 for `overloaded`), and what happens to
a command's idempotency key. A status without a row is treated by its class (RFC 9110 section 15).

The table is a frozen value. A call has one (`Call.passes` returns a call with another one), and an upstream can set one
for all its calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["refused", "overloaded", "failed"]
"""Which error the status becomes: Refused, Overloaded or Failed."""

Passed = Literal["yes", "identified", "no"]
"""Whether the status is passed on unchanged. identified: only when the request identified the user to the service."""

Repeat = Literal["stored", "released", "unknown"]
"""The state of a command's idempotency key after this status. stored: the same key gets the same answer. released: the
command was not carried out, so the same key may try again. unknown: it may have been carried out; when the service does
not honour keys, a repeat with the same key is answered that the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of an `OutcomeTable`.

    kind     the error that the status becomes: `refused`, `overloaded` or `failed`
    screen   whether a screen passes the status on to its client: `yes`, `no`, or `identified` (only when the request
             identified the user to the service); otherwise the client gets 502, or 503 for `overloaded`
    command  the same for a command
    repeat   the command's idempotency key after this status: `stored` (the same key gets the same answer), `released`
             (the command was not carried out, the same key may try again) or `unknown` (it may have been)
    """

    kind: Kind
    screen: Passed = "no"
    command: Passed = "no"
    repeat: Repeat = "released"

    def passed(self, *, command: bool, identified: bool) -> bool:
        """Whether the client of a screen, or of a command, gets the service's status."""
        rule = self.command if command else self.screen
        return rule == "yes" or (rule == "identified" and identified)


# A 4xx without a row means that the gateway's request was wrong, not its client's: mostly 405, 406 and 415.
_MISTAKE = Outcome("refused")
_FAILED = Outcome("failed", repeat="unknown")
_OVERLOADED = Outcome("overloaded")
_BOTH = Outcome("refused", "yes", "yes", "stored")
_COMMANDS = Outcome("refused", "no", "yes", "stored")
_IDENTIFIED = Outcome("refused", "identified", "identified", "stored")
_LOCKED = Outcome("refused", "no", "yes", "released")

NEVER_PASSED = frozenset({401, 407, 429})
"""4xx statuses that no call can pass on: 401 and 407 are about the gateway's credentials, 429 is `overloaded`."""


@dataclass(frozen=True, slots=True)
class OutcomeTable:
    """The outcome of each status outside 2xx: rows of (status, outcome), each status once. A status without a row is
    treated by its class: 4xx is `refused` and not passed on, every other one is `failed`.

    `OUTCOMES.changed({409: Outcome("failed", repeat="unknown")})` and `OUTCOMES.passing((403,))` return a changed
    table; `class Legacy(Upstream, …, outcomes=…)` sets the table of an upstream. Raises ValueError for a status outside
    300 to 599, and for a row that passes on a status outside 4xx, or 401, 407 or 429.
    """

    rows: tuple[tuple[int, Outcome], ...]

    def __post_init__(self) -> None:
        for status, outcome in self.rows:
            passed = (outcome.screen, outcome.command) != ("no", "no")
            if not 300 <= status <= 599 or (passed and (not 400 <= status <= 499 or status in NEVER_PASSED)):
                raise ValueError(f"{status} cannot have the outcome {outcome}")

    def changed(self, rows: Mapping[int, Outcome]) -> OutcomeTable:
        """This table with these rows added or replaced."""
        return OutcomeTable(tuple(sorted({**dict(self.rows), **rows}.items())))

    def of(self, status: int) -> Outcome:
        """The outcome of a status outside 2xx."""
        for known, outcome in self.rows:
            if known == status:
                return outcome
        if 400 <= status < 500:
            return _MISTAKE
        # Also 3xx, because redirects are not followed, and 1xx or invalid statuses: it is unknown what was done.
        return _FAILED

    def passing(self, statuses: tuple[int, ...], *, only: bool = False) -> OutcomeTable:
        """This table with these statuses passed on by screens and commands, for every user. only: and no others."""
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
"""The default table of every call; docs/contract.md prints it."""
