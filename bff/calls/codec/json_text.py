"""JSON text as Python values that lose nothing: numbers keep their digits, and what is no JSON is refused.

The standard parser, told to keep the text of every number with a fraction or an exponent. It costs about twice what
pydantic's own parser does, and is used where that one would lose digits.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

BOM = b"\xef\xbb\xbf"
# One escape of a JSON string: a pair of surrogates, a surrogate on its own, or anything else.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class Number(float):
    """A number of a JSON text that is not a plain integer: its double, and `text`, as it stands there."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Number:
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text


def parsed(body: bytes) -> Any:
    """The JSON text as dict, list, str, int, bool, None and `Number`. Raises ValueError, RecursionError."""
    return _DECODER.decode(body.decode("utf-8"))


def may_have_constants(body: bytes) -> bool:
    """Whether the text has the words NaN or Infinity, be it in a string."""
    # A single byte is found a hundred times as fast as a word, and a word from the end thrice as fast as forwards.
    return (b"N" in body and body.rfind(b"NaN") >= 0) or (b"I" in body and body.rfind(b"Infinity") >= 0)


def refuse_constants(body: bytes) -> None:
    """Raises ValueError when the text has NaN or Infinity in the place of a value: neither is JSON."""
    if may_have_constants(body):
        parsed(body)


def without_lone_surrogates(body: bytes) -> tuple[bytes, int]:
    """The JSON text with U+FFFD for each escaped surrogate without its other half, and how many there were."""
    found = 0

    def replaced(match: re.Match[bytes]) -> bytes:
        nonlocal found
        if match.group(1) is None:
            return match.group(0)
        found += 1
        return b"\\ufffd"

    if b"\\ud" not in body and b"\\uD" not in body:
        return body, 0
    return _ESCAPES.sub(replaced, body), found


def _refused(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Number, parse_constant=_refused)
