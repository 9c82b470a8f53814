"""What a view's or a command's function raised: a service's failure, an answer of its own, or a mistake of the gateway.

Guarantees that only an UpstreamError is told as a service's failure; whatever else a function raises is its own, and is
500 unless it is a Problem. A refusal that no client is told of is logged, for it says what is wrong with this gateway.
"""

from __future__ import annotations

import asyncio
import logging
import time

from ..calls import Clock, Refused, UpstreamError
from .problem import DOCS, TITLES, Problem

log = logging.getLogger("bff.upstreams")

TOLD_EVERY = 60.0
MOST = 1_000
"""Calls and statuses remembered as told; beyond it all are forgotten."""


def expected_error(error: BaseException, *, command: bool = False) -> UpstreamError | Problem | None:
    """The failure or answer that this exception is, None for a mistake of the function.

    A group is one where nothing else is in it: it comes from a TaskGroup of the function's own.
    """
    if isinstance(error, UpstreamError | Problem):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [expected_error(one, command=command) for one in error.exceptions]
        return found[0] if all(found) else None
    return None


# What a required part's failure answers (the contract's table); a Refused has its row in the outcome table.
_STATUS = {
    "timeout": 504,
    "circuit-open": 503,
    "overloaded": 503,
    "unreachable": 502,
    "failed": 502,
    "invalid": 502,
}
# What is said of a refusal that came without words of its own.
_SAID = {
    400: "The service cannot use what was sent.",
    402: "The service asks for a payment first.",
    403: "The service does not allow this.",
    404: "The service has no such thing.",
    409: "The service says that this does not go with the present state.",
    410: "The service says that this is gone for good.",
    412: "The service says that this has changed in the meantime.",
    413: "The service says that this is too large.",
    422: "The service does not accept what was sent.",
    423: "The service says that this is locked at the moment.",
    428: "The service wants to be told which version is meant.",
    451: "The service may not show this, for legal reasons.",
}
# A service's own code may be any but those with which this gateway speaks of itself: clients act on them.
_OWN_CODES = frozenset(TITLES) - {"not-found"}


def problem_of(error: UpstreamError, *, command: bool = False) -> Problem:
    """The problem that a required call's failure becomes; it names the owner.

    A refusal is passed on where its row of the outcome table says so for screens, or for commands (command), and is the
    gateway's own mistake (502) elsewhere: then nothing of what the service said is in it.
    """
    if isinstance(error, Refused):
        return _refusal(error, command)
    retry_after = error.retry_after
    status = _STATUS[error.reason]
    if retry_after is None and status == 503:
        retry_after = 1.0
    return Problem(
        status, error.code, f"{error.call}: {error.detail}", owner=error.owner, retry_after=retry_after
    )


def _refusal(error: Refused, command: bool) -> Problem:
    if not error.outcome.passed(command=command, identified=error.identified):
        return Problem(502, "refused", f"{error.call}: answered {error.status}.", owner=error.owner)
    told = error.problem
    code = str(told.get("code", "refused"))
    return Problem(
        error.status,
        "refused" if code in _OWN_CODES else code,
        str(told.get("detail") or _SAID.get(error.status, "The service refuses this.")),
        title=TITLES["refused"],
        errors=told.get("errors", ()),
        owner=error.owner,
        retry_after=error.retry_after,
        type=f"{DOCS}#refused",
    )


class UpstreamFailures:
    """Makes problems of services' failures, and logs the refusals that are mistakes of this gateway: those of one call
    with one status at most once in `TOLD_EVERY` seconds. clock: monotonic seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[tuple[str, int], float] = {}

    def problem(self, error: UpstreamError, *, command: bool = False) -> Problem:
        """The problem that a service's failure becomes, for a screen or for a command."""
        problem = problem_of(error, command=command)
        if isinstance(error, Refused) and problem.status != error.status:
            self._note(error)
        return problem

    def _note(self, error: Refused) -> None:
        key, now = (error.call, error.status), self._clock()
        if now < self._told.get(key, float("-inf")):
            return
        if len(self._told) >= MOST:
            self._told.clear()
        self._told[key] = now + TOLD_EVERY
        fields = {"upstream": error.owner.service, "call": error.call, "status": error.status}
        log.warning("a service refused what is not passed on: %s", error.detail, extra={"fields": fields})


def is_self_cancelled() -> bool:
    """Whether the CancelledError being handled came out of the function itself: nobody has cancelled this task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0


def self_cancellation() -> RuntimeError:
    """What stands for such a cancellation: nobody would answer otherwise."""
    return RuntimeError("the function raised CancelledError though nobody cancelled it")
