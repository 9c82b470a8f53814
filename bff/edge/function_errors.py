"""Errors raised by the function of a view or a command: a service's failure, a problem, or a mistake of the gateway.

Guarantees that only an UpstreamError is answered as a service's failure. Any other exception is an error of the
function and is answered 500, unless it is a Problem. A refusal that is not passed on to the client is logged, because
it shows what is wrong with this gateway.
"""

from __future__ import annotations

import asyncio
import logging
import time

from ..calls import Clock, Refused, RequestRecord, UpstreamError
from .problem import DOCS, TITLES, Problem

log = logging.getLogger("bff.upstreams")

LOG_INTERVAL = 60.0
MOST = 1_000
"""Calls and statuses that are remembered as logged; beyond it, all of them are forgotten."""


def expected_error(error: BaseException) -> UpstreamError | Problem | None:
    """The service's failure or the problem in this exception; None for a mistake of the function.

    For a group, as a TaskGroup in the function raises it: that of its first member, if every member has one.
    """
    if isinstance(error, UpstreamError | Problem):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [expected_error(member) for member in error.exceptions]
        return found[0] if all(found) else None
    return None


# The status for the failure of a required part (docs/contract.md); a Refused has its row in the outcome table.
_STATUS = {
    "timeout": 504,
    "circuit-open": 503,
    "overloaded": 503,
    "unreachable": 502,
    "failed": 502,
    "invalid": 502,
}
# The detail of a refusal that came without one.
_DEFAULT_DETAILS = {
    400: "The service cannot use what was sent.",
    402: "The service asks for a payment first.",
    403: "The service does not allow this.",
    404: "The service has no such thing.",
    409: "The service says that this conflicts with the present state.",
    410: "The service says that this is gone for good.",
    412: "The service says that this has changed in the meantime.",
    413: "The service says that this is too large.",
    422: "The service does not accept what was sent.",
    423: "The service says that this is locked at the moment.",
    428: "The service requires a version (a conditional request).",
    451: "The service may not show this, for legal reasons.",
}
# Codes that a service may not use, because clients take them for codes of this gateway.
_GATEWAY_CODES = frozenset(TITLES) - {"not-found"}


def _refusal(error: Refused, command: bool) -> Problem:
    if not error.outcome.passed(command=command, identified=error.identified):
        return Problem(502, "refused", f"{error.call}: answered {error.status}.", owner=error.owner)
    details = error.problem
    code = str(details.get("code", "refused"))
    return Problem(
        error.status,
        "refused" if code in _GATEWAY_CODES else code,
        str(details.get("detail") or _DEFAULT_DETAILS.get(error.status, "The service refuses this.")),
        title=TITLES["refused"],
        errors=details.get("errors", ()),
        owner=error.owner,
        retry_after=error.retry_after,
        type=f"{DOCS}#refused",
    )


class UpstreamFailures:
    """Makes problems of services' failures, and logs refusals that are mistakes of this gateway, each call and status
    at most once in `LOG_INTERVAL` seconds. clock: monotonic seconds."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._logged_until: dict[tuple[str, int], float] = {}

    def problem(self, error: UpstreamError, *, command: bool = False) -> Problem:
        """The problem that the failure of a required call becomes; it names the owner. command: the call was made
        by a command, not by a screen.

        A refusal is passed on where its row of the outcome table passes it on. Otherwise it is a mistake of the gateway
        (502), is logged, and the problem contains nothing of the service's answer.
        """
        if isinstance(error, Refused):
            problem = _refusal(error, command)
            if problem.status != error.status:
                self._log_refusal(error)
            return problem
        status = _STATUS[error.reason]
        retry_after = 1.0 if error.retry_after is None and status == 503 else error.retry_after
        detail = f"{error.call}: {error.detail}"
        return Problem(status, error.code, detail, owner=error.owner, retry_after=retry_after)

    def _log_refusal(self, error: Refused) -> None:
        key, now = (error.call, error.status), self._clock()
        if now < self._logged_until.get(key, float("-inf")):
            return
        if len(self._logged_until) >= MOST:
            self._logged_until.clear()
        self._logged_until[key] = now + LOG_INTERVAL
        log.warning(
            "a refusal is not passed on: %s",
            error.detail,
            extra={"fields": {"upstream": error.owner.service, "call": error.call, "status": error.status}},
        )


def self_cancellation() -> RuntimeError | None:
    """The error to raise in place of the CancelledError being handled, where the function itself raised that one:
    otherwise the request would get no answer. None where this task was cancelled from outside."""
    task = asyncio.current_task()
    if task is None or task.cancelling() > 0:
        return None
    return RuntimeError("the function raised CancelledError though nobody cancelled it")


def took_too_long(detail: str, record: RequestRecord) -> Problem:
    """504 for a function that did not end in time. It names the owner of the call that was waited for, if any: on a
    late event loop the time of the function may end before the error of that call has arrived."""
    if record.cut_off is None:
        return Problem(504, "timeout", detail)
    name, owner = record.cut_off
    return Problem(504, "timeout", f"{detail} {name} had not answered by then.", owner=owner)
