"""A failed call, as a test asks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..calls import (
    Call,
    CircuitOpen,
    Failed,
    Invalid,
    Overloaded,
    Principal,
    Reason,
    Refused,
    Timeout,
    Unreachable,
    UpstreamError,
)
from ..transport.response import upstream_error
from ..transport.wire import WireResponse


@dataclass(frozen=True, slots=True)
class fails:
    """A failed call: `fails("timeout")`, `fails("refused", status=409)`.

    reason       one of the seven reasons of docs/contract.md
    status       of `failed` (default 500) and `refused` (default 404; 400 to 499 without 429)
    problem      the service's problem document, for `refused`; your view gets the part that a real call passes on
    retry_after  seconds, for `circuit-open` and `overloaded`
    """

    reason: Reason
    status: int | None = None
    problem: Mapping[str, Any] | None = None
    retry_after: float | None = None

    def error(self, call: Call[Any], *, asker: Principal | None = None) -> UpstreamError:
        """The error that the call raises. asker: the user that the request identifies to the service, None for none.
        Raises ValueError for a wrong status."""
        owner, name, detail = call.owner, call.name, "failed, as the test requires."
        match self.reason:
            case "failed":
                return Failed(owner, name, detail, status=self.status or 500)
            case "refused":
                body = json.dumps(dict(self.problem or {})).encode()
                answer = WireResponse(self.status or 404, {"content-type": "application/problem+json"}, body)
                error = upstream_error(call, answer, asker=asker)
                if not isinstance(error, Refused):
                    raise ValueError(f"refused takes a status of 400 to 499 without 429, not {self.status}")
                return error
            case "timeout":
                return Timeout(owner, name, detail)
            case "circuit-open":
                return CircuitOpen(owner, name, detail, retry_after=self.retry_after)
            case "overloaded":
                return Overloaded(owner, name, detail, retry_after=self.retry_after)
            case "unreachable":
                return Unreachable(owner, name, detail)
            case "invalid":
                return Invalid(owner, name, detail)
