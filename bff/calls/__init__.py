"""A request as a value: calls, parts, deadlines, the request's scope, errors. Pure: no web framework, no client."""

from .alarm import Alarm, Limit
from .call import LONGEST, Call, Method, tag_of
from .deadline import Clock, Deadline
from .errors import (
    BffError,
    CircuitOpen,
    DeclarationError,
    Failed,
    Invalid,
    NoScope,
    Overloaded,
    Reason,
    Refused,
    Rejected,
    Timeout,
    Unreachable,
    UpstreamError,
)
from .outcomes import OUTCOMES, Outcome, OutcomeTable
from .owner import Owner
from .part import Missing, OwnerInfo, Part, Ready, Stale, optional, together
from .principal import Principal
from .raw import Raw, Splices
from .saga import ENDED, STATUSES, SagaStatus, Status
from .scope import Ledger, Runner, Scope, Timing, current, opened, within
from .upstream import Upstream

__all__ = [
    "ENDED",
    "LONGEST",
    "OUTCOMES",
    "STATUSES",
    "Alarm",
    "BffError",
    "Call",
    "CircuitOpen",
    "Clock",
    "Deadline",
    "DeclarationError",
    "Failed",
    "Invalid",
    "Ledger",
    "Limit",
    "Method",
    "Missing",
    "NoScope",
    "Outcome",
    "OutcomeTable",
    "Overloaded",
    "Owner",
    "OwnerInfo",
    "Part",
    "Principal",
    "Raw",
    "Ready",
    "Reason",
    "Refused",
    "Rejected",
    "Runner",
    "SagaStatus",
    "Scope",
    "Splices",
    "Stale",
    "Status",
    "Timeout",
    "Timing",
    "Unreachable",
    "Upstream",
    "UpstreamError",
    "current",
    "opened",
    "optional",
    "tag_of",
    "together",
    "within",
]
