"""From an answer that is no success to the error that names the owner, by the call's outcome table."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from ..calls import Call, Failed, Overloaded, Principal, Refused, UpstreamError
from .problem_details import MAX_SENT, details, texts
from .wire import Answer


def failure(call: Call[Any], answer: Answer, *, asker: Principal | None = None) -> UpstreamError:
    """Overloaded, Failed or Refused, as the table has it. asker: whom the call told the service of, None: of
    nobody."""
    status = answer.status
    outcome = call.outcomes.of(status)
    said = f"answered {status}."
    match outcome.kind:
        case "overloaded":
            return Overloaded(call.owner, call.name, said, retry_after=retry_after(answer))
        case "failed":
            redirect = " Redirects are not followed." if 300 <= status < 400 else ""
            return Failed(call.owner, call.name, said + redirect, status=status)
        case "refused":
            media = answer.headers.get("content-type", "")
            problem = details(status, media, answer.body, _sent(call, asker))
            return Refused(
                call.owner,
                call.name,
                problem.get("detail", said),
                status=status,
                problem=problem,
                outcome=outcome,
                identified=asker is not None,
                retry_after=retry_after(answer),
            )


def _sent(call: Call[Any], asker: Principal | None) -> list[str]:
    """Every value in the request's query and body, and the token that may have gone with it."""
    values = [value for _, value in call.query]
    if asker is not None:
        values.append(asker.token)
    if call.body is None:
        return values
    if len(call.body) > 4 * MAX_SENT:
        # More than messages are compared with, whatever is in it.
        return ["?" * (MAX_SENT + 1)]
    try:
        values.extend(texts(json.loads(call.body)))
    except (ValueError, RecursionError):
        values.append(call.body.decode(errors="replace"))
    return values


def retry_after(answer: Answer) -> float | None:
    """Seconds from a Retry-After header: a number or an HTTP date (RFC 9110 section 10.2.3)."""
    value = answer.headers.get("retry-after")
    if not value:
        return None
    if value.isascii() and value.strip().isdigit():
        return min(float(value), 3600.0)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - time()), 3600.0)
    except (ValueError, TypeError):
        return None
