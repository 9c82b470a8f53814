"""A request as a value: calls, parts, deadlines, the request's context, errors. Pure: no web framework, no client."""

from .call import MAX_LIFETIME, Answer, Call, Method, tag_of
from .codec.raw import Raw, Splices
from .context import CallTiming, RequestContext, RequestRecord, Runner, current_context, use_context, within
from .deadline import Clock, Deadline, RequestTimer, TimeLimit
from .errors import (
    BffError,
    CircuitOpen,
    DeclarationError,
    Failed,
    Invalid,
    NoRequestContext,
    Overloaded,
    Reason,
    Refused,
    Rejected,
    Timeout,
    Unreachable,
    UpstreamError,
)
from .formats import BYTES, JSON_LINES, TEXT, Bytes, Form, Format, Json, Text
from .outcomes import OUTCOMES, Outcome, OutcomeTable
from .owner import Owner
from .part import Missing, OwnerInfo, Part, Ready, Stale, optional, together
from .principal import Principal
from .saga import ENDED, STATUSES, SagaStatus, Status
from .upstream import Upstream

__all__ = [
    "BYTES",
    "ENDED",
    "JSON_LINES",
    "MAX_LIFETIME",
    "OUTCOMES",
    "STATUSES",
    "TEXT",
    "Answer",
    "BffError",
    "Bytes",
    "Call",
    "CallTiming",
    "CircuitOpen",
    "Clock",
    "Deadline",
    "DeclarationError",
    "Failed",
    "Form",
    "Format",
    "Invalid",
    "Json",
    "Method",
    "Missing",
    "NoRequestContext",
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
    "RequestContext",
    "RequestRecord",
    "RequestTimer",
    "Runner",
    "SagaStatus",
    "Splices",
    "Stale",
    "Status",
    "Text",
    "TimeLimit",
    "Timeout",
    "Unreachable",
    "Upstream",
    "UpstreamError",
    "current_context",
    "optional",
    "tag_of",
    "together",
    "use_context",
    "within",
]
