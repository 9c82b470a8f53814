"""Decodes the response of a service into the declared model, or makes the error that names the owner.

A status of 2xx is decoded as the call's model, by the table "Values" of docs/contract.md. Every other status becomes an
error, by the call's outcome table (calls/outcomes.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, get_args

from msgspec import Struct
from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

from ..calls import Answer, Call, Failed, Invalid, Overloaded, Principal, Raw, Refused, UpstreamError
from ..calls.codec import codec_of
from ..calls.formats import Format
from ..policies.events import Observer, SurrogatesReplaced, ignore
from .problem_details import MAX_SENT, details, texts
from .wire import WireResponse

MAX_RETRY_AFTER = 3600.0
"""Seconds; a longer Retry-After is cut to this."""


class CallResult(Struct, frozen=True):
    """response: as the service sent it; value: its body as the call's model, None for a 304; coalesced: True when it is
    the response to another caller's request.

    Each caller decodes its own copy from the bytes, so that a view never sees what another view has changed.
    """

    response: WireResponse
    value: Any
    coalesced: bool = False


def decode(
    call: Call[Any], response: WireResponse, observe: Observer = ignore, *, asker: Principal | None = None
) -> Any:
    """The response as the call's model. asker: the user that the request identified to the service, None for none.
    Raises Overloaded, Failed, Refused or Invalid."""
    if 200 <= response.status < 300:
        value = None if call.model is None else _value(call, response, observe)
        if not call.takes:
            return value
        return Answer(
            value, {name: response.headers[name] for name in call.takes if name in response.headers}
        )
    raise upstream_error(call, response, asker=asker)


_CHARSET = re.compile(r'charset="?([A-Za-z0-9_.:-]{1,40})"?')

# ---- a success -----------------------------------------------------------------------------------------------------


def _value(call: Call[Any], response: WireResponse, observe: Observer) -> Any:
    if call.format is not None:
        return _formatted(call, call.format, response)
    body = response.body
    if not body:
        # 204, or another success without a body: None, where the model allows it.
        if call.model is Raw:
            raise Invalid(call.owner, call.name, "answered without a body, which is not JSON.")
        body = b"null"
    else:
        media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not _is_json(media) if call.media is None else media not in call.media:
            raise Invalid(call.owner, call.name, f"answered {media or 'no content type'} instead of JSON.")
    replaced: Callable[[int], None] | None = None
    if observe is not ignore:

        def replaced(count: int) -> None:
            observe(SurrogatesReplaced(call.owner.service, call.name, count))

    try:
        return codec_of(call.model).decode_lazily(body, replaced)
    except (ValueError, RecursionError) as error:
        if not response.body:
            why = f"answered {response.status} without a body, which its model does not allow"
        else:
            why = f"gave an answer that {_why(error)}"
        raise Invalid(call.owner, call.name, f"{why}.") from None


def _formatted(call: Call[Any], format: Format, response: WireResponse) -> Any:
    """The answer in another format than JSON."""
    media, _, parameters = response.headers.get("content-type", "").partition(";")
    media = media.strip().lower()
    accepted = format.media if call.media is None else call.media
    if accepted and response.body and media not in accepted:
        raise Invalid(
            call.owner, call.name, f"answered {media or 'no content type'} instead of {accepted[0]}."
        )
    found = _CHARSET.search(parameters)
    try:
        return format.decode(call.model, response.body, found.group(1) if found else "utf-8")
    except UnicodeDecodeError:
        raise Invalid(call.owner, call.name, "gave an answer that is not in its charset.") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(call.owner, call.name, f"gave an answer that {_why(error)}.") from None


def _is_json(media: str) -> bool:
    """A response without a content type is read as JSON, too, and refused if it is not."""
    return media in ("application/json", "text/json", "") or media.endswith("+json")


# Types of validation errors whose message never quotes the value. The user's validators may quote it, and the error of
# a wrong tag does.
_WITHOUT_VALUE = frozenset(get_args(ErrorType)) - {"assertion_error", "union_tag_invalid", "value_error"}


def _why(error: Exception) -> str:
    """Why the body does not fit the model, without its values, which may be personal data."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if first["type"] != "json_invalid":
            message = first["msg"] if first["type"] in _WITHOUT_VALUE else "This is not valid"
            return f"does not fit its model: /{'/'.join(str(step) for step in first['loc'])} {message}"
        return f"is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg}"
    if isinstance(error, UnicodeDecodeError | RecursionError):
        return "is not JSON: it is not UTF-8, or nested too deeply"
    return f"is not JSON: {error}"


# ---- every other status --------------------------------------------------------------------------------------------


def upstream_error(
    call: Call[Any], response: WireResponse, *, asker: Principal | None = None
) -> UpstreamError:
    """Overloaded, Failed or Refused, by the call's outcome table. asker: the user that the request identified to the
    service, None for none."""
    status = response.status
    outcome = call.outcomes.of(status)
    detail = f"answered {status}."
    match outcome.kind:
        case "overloaded":
            return Overloaded(call.owner, call.name, detail, retry_after=retry_after(response))
        case "failed":
            redirect = " Redirects are not followed." if 300 <= status < 400 else ""
            return Failed(call.owner, call.name, detail + redirect, status=status)
        case "refused":
            media = response.headers.get("content-type", "")
            problem = details(status, media, response.body, _sent_values(call, asker))
            return Refused(
                call.owner,
                call.name,
                problem.get("detail", detail),
                status=status,
                problem=problem,
                outcome=outcome,
                identified=asker is not None,
                retry_after=retry_after(response),
            )


def _sent_values(call: Call[Any], asker: Principal | None) -> list[str]:
    """Every value in the request's query and body, and the token that may have been sent with it."""
    values = [value for _, value in (*call.query, *call.headers)]
    if asker is not None:
        values.append(asker.token)
    if call.body is None:
        return values
    if len(call.body) > 4 * MAX_SENT:
        # Too long to compare messages with: this value has more than MAX_SENT characters, too.
        return ["?" * (MAX_SENT + 1)]
    try:
        values.extend(texts(json.loads(call.body)))
    except (ValueError, RecursionError):
        values.append(call.body.decode(errors="replace"))
    return values


def retry_after(response: WireResponse) -> float | None:
    """Seconds from a Retry-After header, which is a number or an HTTP date (RFC 9110 section 10.2.3); None without
    one."""
    value = response.headers.get("retry-after")
    if not value:
        return None
    if value.isascii() and value.strip().isdigit():
        return min(float(value), MAX_RETRY_AFTER)
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - time()), MAX_RETRY_AFTER)
    except (ValueError, TypeError):
        return None
