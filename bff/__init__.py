"""bff: a backend-for-frontend gateway with live updates.

One call per screen, one click per command, one stream per browser. Write upstreams as classes whose methods return
Calls, screens and commands as async functions, and serve the Gateway with `bff serve module:gateway`.
"""

from ._version import __version__
from .calls import (
    Call,
    CircuitOpen,
    DeclarationError,
    Failed,
    Invalid,
    Missing,
    Overloaded,
    Part,
    Principal,
    Raw,
    Ready,
    Refused,
    Rejected,
    SagaStatus,
    Stale,
    Timeout,
    Unreachable,
    Upstream,
    UpstreamError,
    optional,
    together,
)
from .edge.gateway import Gateway
from .edge.pages import ProblemPage
from .edge.problem import Problem
from .edge.rate_limits import Limit
from .edge.router import Router

__all__ = [
    "Call",
    "CircuitOpen",
    "DeclarationError",
    "Failed",
    "Gateway",
    "Invalid",
    "Limit",
    "Missing",
    "Overloaded",
    "Part",
    "Principal",
    "Problem",
    "ProblemPage",
    "Raw",
    "Ready",
    "Refused",
    "Rejected",
    "Router",
    "SagaStatus",
    "Stale",
    "Timeout",
    "Unreachable",
    "Upstream",
    "UpstreamError",
    "__version__",
    "optional",
    "together",
]
