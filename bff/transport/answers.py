"""From what came over the wire to the declared model, or to the error that names the owner."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from functools import lru_cache
from time import time
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..calls import Call, Failed, Invalid, Overloaded, Raw, Refused
from .wire import Answer

MAX_PROBLEM = 16_384


@lru_cache(maxsize=4096)
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def decode(call: Call[Any], answer: Answer) -> Any:
    """The answer as the call's model. Raises Overloaded, Failed, Refused or Invalid."""
    status = answer.status
    if 200 <= status < 300:
        if call.model is None:
            return None
        media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json" and not media.endswith("+json"):
            raise Invalid(call.owner, call.name, f"answered {media or 'no content type'} instead of JSON.")
        if call.model is Raw:
            try:
                return Raw(answer.body)
            except ValueError as error:
                raise Invalid(call.owner, call.name, f"answered what is not JSON: {error}.") from None
        try:
            return _adapter(call.model).validate_json(answer.body)
        except (ValidationError, ValueError, RecursionError) as error:
            raise Invalid(
                call.owner, call.name, f"answered what its model does not allow: {_why(error)}."
            ) from None
    if status in (429, 503):
        raise Overloaded(
            call.owner,
            call.name,
            f"answered {status}.",
            retry_after=retry_after(answer),
        )
    if status >= 500 or status < 400:
        raise Failed(call.owner, call.name, f"answered {status}.", status=status)
    problem = _problem(answer)
    detail = str(problem.get("detail") or f"answered {status}.")[:500]
    raise Refused(call.owner, call.name, detail, status=status, problem=problem)


def _why(error: Exception) -> str:
    """Where it does not fit, without the values: they may be somebody's data."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        return f"/{'/'.join(str(step) for step in first['loc'])} {first['msg']}"
    return type(error).__name__


def _problem(answer: Answer) -> dict[str, Any]:
    media = answer.headers.get("content-type", "")
    if "json" not in media or len(answer.body) > MAX_PROBLEM:
        return {}
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


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
