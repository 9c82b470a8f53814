"""The client's Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-08): a structured-field String (RFC 9651
section 3.3.3), or a bare token, which many clients send.

Around the value only SP and HTAB are removed (RFC 9110 section 5.5). Refuses what could be read in two ways: lists,
repeated headers, parameters, unfinished strings, keys over 255 characters.
"""

from __future__ import annotations

import re

from starlette.types import Scope

from ..problem import Problem

MAX_KEY = 255
_BARE = re.compile(r"[\x21-\x7e]{1,255}")
_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')


def idempotency_key(scope: Scope) -> str:
    """The key's value without its quotes. Raises Problem 400."""
    values = [
        value.strip(b" \t").decode("latin-1")
        for name, value in scope["headers"]
        if name == b"idempotency-key"
    ]
    if not values or values == [""]:
        raise Problem(
            400,
            "idempotency-key-missing",
            "Send `Idempotency-Key` with a value of your own for each new command (a UUID will do), and the same "
            "value again when you try the same command again.",
        )
    match = _STRING.fullmatch(values[0])
    key = re.sub(r"\\(.)", r"\1", match.group(1)) if match else values[0]
    # RFC 9110 section 5.3: a repeated field is one list; a list is not a key.
    if len(values) > 1 or len(key) > MAX_KEY or not key or not (match or _bare(values[0])):
        raise Problem(
            400,
            "idempotency-key-invalid",
            f'It is one string of 1 to {MAX_KEY} visible characters: "a-value".',
        )
    return key


def _bare(value: str) -> bool:
    return bool(_BARE.fullmatch(value)) and '"' not in value and "," not in value
