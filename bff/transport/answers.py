"""From what came over the wire to the declared model, or to the error that names the owner."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

from ..calls import Call, Invalid, Principal, Raw
from ..calls.codec import codec_of
from ..policies.events import Observer, Replaced, ignore
from .refused import failure
from .wire import Answer


def decode(
    call: Call[Any], answer: Answer, observe: Observer = ignore, *, asker: Principal | None = None
) -> Any:
    """The answer as the call's model, by the table "Values" of docs/contract.md. asker: whom the call told the
    service of. Raises Overloaded, Failed, Refused or Invalid."""
    if 200 <= answer.status < 300:
        return None if call.model is None else _value(call, answer, observe)
    raise failure(call, answer, asker=asker)


def _value(call: Call[Any], answer: Answer, observe: Observer) -> Any:
    body = answer.body
    if not body:
        # 204, or nothing all the same: None, where the model has room for it.
        if call.model is Raw:
            raise Invalid(call.owner, call.name, "answered nothing, which is not JSON.")
        body = b"null"
    else:
        media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not _is_json(media) if call.media is None else media not in call.media:
            raise Invalid(call.owner, call.name, f"answered {media or 'no content type'} instead of JSON.")
    replaced: Callable[[int], None] | None = None
    if observe is not ignore:

        def replaced(count: int) -> None:
            observe(Replaced(call.owner.service, call.name, count))

    try:
        return codec_of(call.model).decode(body, replaced)
    except (ValueError, RecursionError) as error:
        if not answer.body:
            why = f"answered nothing ({answer.status}) where its model has no None"
        else:
            why = f"answered what {_why(error)}"
        raise Invalid(call.owner, call.name, f"{why}.") from None


def _is_json(media: str) -> bool:
    """An answer that names no type at all is read as JSON, too: it has to be JSON anyway."""
    return media in ("application/json", "text/json", "") or media.endswith("+json")


# Mistakes whose message never quotes the value: a validator of the model's own may, and so does a wrong tag.
_PLAIN = frozenset(get_args(ErrorType)) - {"assertion_error", "union_tag_invalid", "value_error"}


def _why(error: Exception) -> str:
    """Where it does not fit, without the values: they may be somebody's data."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if first["type"] != "json_invalid":
            words = first["msg"] if first["type"] in _PLAIN else "This is not valid"
            return f"its model does not allow: /{'/'.join(str(step) for step in first['loc'])} {words}"
        return f"is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}"
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg}"
    if isinstance(error, UnicodeDecodeError | RecursionError):
        return "is not JSON: it is not UTF-8, or nested too deeply"
    return f"is not JSON: {error}"
