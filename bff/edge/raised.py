"""What a view's or a command's function raised: a service's failure, an answer of its own, or a mistake of the gateway.

Guarantees that only an UpstreamError is told as a service's failure; whatever else a function raises is its own, and is
500 unless it is a Problem. A refusal that no client is told of is logged, for it says what is wrong with this gateway.
"""

from __future__ import annotations

import asyncio
import logging
import time

from ..calls import Clock, Refused, UpstreamError
from .problem import Problem, problem_of

log = logging.getLogger("bff.upstreams")

TOLD_EVERY = 60.0
MOST = 1_000
"""Calls and statuses remembered as told; beyond it all are forgotten."""


def told(error: BaseException, *, command: bool = False) -> UpstreamError | Problem | None:
    """The failure or answer that this exception is, None for a mistake of the function.

    A group is one where nothing else is in it: it comes from a TaskGroup of the function's own.
    """
    if isinstance(error, UpstreamError | Problem):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [told(one, command=command) for one in error.exceptions]
        return found[0] if all(found) else None
    return None


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


def from_within() -> bool:
    """Whether the CancelledError being handled came out of the function itself: nobody has cancelled this task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() == 0


def cancelled_itself() -> RuntimeError:
    """What stands for such a cancellation: nobody would answer otherwise."""
    return RuntimeError("the function raised CancelledError though nobody cancelled it")
