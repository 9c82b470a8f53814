"""The part of a service's 4xx response that may be passed on: `detail`, `code` and `errors` of its body. Pure.

It reads problem+json (RFC 9457), the validation responses of FastAPI, Django REST framework, Spring and Rails, and
similar ones (ASP.NET, JSON:API). It passes on at most 1 KB of text and 32 errors in sum, without control or
bidirectional characters, and locates errors by JSON pointers (RFC 6901). It refuses markup, stack traces and values
printed by a programming language. An ellipsis replaces a quoted value of the request. A fixed sentence replaces a
refused message, so that its pointer is not lost.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

MAX_BODY = 65_536
"""Bytes; a larger body is not read at all."""
MAX_TEXT = 1_024
"""Bytes of detail, code and errors in sum, in UTF-8."""
MAX_ERRORS = 32
MAX_DETAIL = 512
"""Bytes of the detail, so that there is room for errors."""
MAX_MESSAGE = 256
"""Bytes of one error's message."""
MAX_SENT = 32_768
"""Characters of the request's values that messages are compared with. When there are more, no message is passed on."""

REPLACEMENT = "This is not accepted."
"""Replaces a message that cannot be passed on."""

_MAX_POINTER = 128
_MAX_DEPTH = 8
_MAX_NODES = 2_000
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
# The first step of a location in FastAPI and express-validator: the part of the request.
_LOCATIONS = frozenset({"body", "query", "path", "header", "headers", "cookie", "cookies", "params"})
# Names of a form's errors that belong to no single field, in Django, Rails and Spring.
_NO_FIELD = frozenset({"non_field_errors", "__all__", "base", "global", "$", ""})
_LOCATION_NAMES = ("pointer", "loc", "field", "path", "param", "property", "name")
_MESSAGE_NAMES = ("detail", "defaultMessage", "msg", "message", "reason")

_INTERNALS = re.compile(
    r"""
    <[a-z!/?]                                     # markup
    | &\#?\w{2,8};                                # markup, escaped
    | traceback\ \(most | ^[ \t]{0,20}file\ "[^"\n]{0,200}",\ line\ \d | ^[ \t]{0,20}\#\d+\s
    | ^[ \t]{0,20}at\ \S | \bat\ [\w.$<>]{1,200}\(
    | stack\ ?trace | goroutine\ \d | \bpanic(?:ked)?\b | nested\ exception | cannot\ unmarshal | \[object\ \w
    | \.(?:py|rb|js|ts|java|kt|go|php|cs|cpp|rs)\b(?::|",|\(|\ line) # a line of a program
    | \b(?:java|javax|jakarta|kotlin|scala|org|com|net|io)\.\w+\.\w | \b(?:system|microsoft)\.\w # a class
    | (?<![\w.:/])/(?:etc|var|usr|home|opt|srv|app|tmp|root|proc|mnt|data)/ | \b[a-z]:\\ # a file
    | \bobject\ at\ 0x | \b0x[0-9a-f]{6,} | input_value= | input_type= | \#<\w | =>
    | [\[({][ ]{0,4}['"{\[] | ['"][ ]{0,4}:[ ]{0,4}['"\[{\d] # a list, tuple or mapping as a language prints it
    | \beyj[\w-]{8,} | \b(?:bearer|basic)\ [\w.~+/=-]{8,} # a token
    | \bsqlstate\b | \bora-\d{4} | \bviolates\ [^\n]{0,60}\bconstraint | \bkey\ \([^\n]{0,60}\)=\( # a database
    | \bselect\ [^\n]{0,100}\ from\ | \binsert\ into\b
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_PRINTED = re.compile(
    r"\b\w+(?:Error|Exception|Fault)\b|\bErrorDetail\(|\b[A-Z]\w+\([a-z_]\w*=|(?<![\w'\"])[bru]'|^\W*(?:None|null|nil|undefined|NaN)\W*$"
)
"""An exception, an object, or a value with its prefix, as a programming language prints it."""


def details(status: int, media: str, body: bytes, sent: Iterable[str] = ()) -> dict[str, Any]:
    """`detail`, `code` and `errors` (a list of `{"pointer", "detail"}`), each only where there is one to pass on.

    media  the response's content type
    sent   every text and number of the request's query and body
    """
    kind = media.partition(";")[0].strip().lower()
    if len(body) > MAX_BODY or not (kind in ("application/json", "text/json") or kind.endswith("+json")):
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    passed = _PassedOn(_SentValues(sent))
    if isinstance(document, dict):
        passed.add_code(document.get("code"))
        detail = document.get("detail")
        passed.add_detail(detail)
        problem = kind == "application/problem+json"
        for found in (document.get("errors"), None if problem or isinstance(detail, dict) else detail):
            passed.add_errors(_field_errors(found))
        if not passed.members and not problem and status in (400, 422) and _is_form(document):
            passed.add_errors(_by_field(document, (), [_MAX_NODES]))
    elif isinstance(document, list) and status in (400, 422) and _is_form(document):
        passed.add_errors(_by_field(document, (), [_MAX_NODES]))
    return passed.members


def texts(value: object) -> Iterator[str]:
    """Every text and number in a JSON value, without the names of members. The JSON parser bounds the depth."""
    unvisited = [value]
    while unvisited:
        current = unvisited.pop()
        if isinstance(current, dict):
            unvisited.extend(current.values())
        elif isinstance(current, list):
            unvisited.extend(current)
        elif isinstance(current, str):
            yield current
        elif isinstance(current, int | float) and not isinstance(current, bool):
            yield str(current)


# ---- finding errors ----------------------------------------------------------------------------------------------

_Path = tuple[str | int, ...]
_FieldError = tuple[str, object]
"""A JSON pointer, and the message as the service sent it."""


def _field_errors(found: object) -> Iterator[_FieldError]:
    """The errors in `errors`, or in FastAPI's `detail`: a list of entries or sentences, or lists by field."""
    if isinstance(found, list):
        for entry in found:
            if isinstance(entry, dict):
                message = next((entry[name] for name in _MESSAGE_NAMES if name in entry), None)
                yield _pointer(_location(entry)), message
            elif isinstance(entry, str):
                yield "", entry
    elif isinstance(found, dict):
        yield from _by_field(found, (), [_MAX_NODES])


def _location(entry: dict[str, Any]) -> object:
    source = entry.get("source")
    if isinstance(source, dict):
        # JSON:API section 7.1
        return source.get("pointer") or source.get("parameter")
    return next((entry[name] for name in _LOCATION_NAMES if entry.get(name) is not None), None)


def _by_field(value: object, path: _Path, left: list[int]) -> Iterator[_FieldError]:
    """The form of Django and Rails: messages under the names of their fields, nested as the input was."""
    left[0] -= 1
    if left[0] < 0 or len(path) > _MAX_DEPTH:
        return
    if isinstance(value, str):
        yield _path_pointer(path), value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str) and path:
                # The members of an object, not the messages of a field.
                continue
            yield from _by_field(inner, path if name in _NO_FIELD else (*path, *_steps(name)), left)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _by_field(inner, path if isinstance(inner, str) else (*path, index), left)


def _is_form(value: object, depth: int = 0) -> bool:
    """Whether this is Django's form: under every name a list of sentences, or an object of the same form."""
    if depth > _MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return (bool(value) or depth > 0) and all(
            not isinstance(inner, str) and _is_form(inner, depth + 1) for inner in value.values()
        )
    if isinstance(value, list):
        return bool(value) and all(
            isinstance(inner, str) or (isinstance(inner, dict) and _is_form(inner, depth + 1))
            for inner in value
        )
    return False


# ---- pointers ------------------------------------------------------------------------------------------------------


def _pointer(location: object) -> str:
    """A JSON pointer from a framework's location: a pointer, a list of steps, or a path with dots and brackets."""
    if isinstance(location, list):
        steps = [step for step in location if isinstance(step, str | int) and not isinstance(step, bool)]
        if steps and steps[0] in _LOCATIONS:
            steps = steps[1:]
        return _path_pointer(tuple(steps))
    if not isinstance(location, str):
        return ""
    location = location[: 4 * _MAX_POINTER]
    if location.startswith("#"):
        # RFC 6901 section 6: a pointer in a URI's fragment, as in RFC 9457 section 3.
        location = unquote(location[1:])
    if location.startswith("/"):
        return _cut(_clean(location), _MAX_POINTER)
    return _path_pointer(() if location in _NO_FIELD else _steps(location))


def _steps(name: str) -> _Path:
    """The steps of `lines[0].quantity` or `$.lines[0]`."""
    parts = [part.strip("'\"") for part in re.split(r"[.\[\]]+", name[:_MAX_POINTER]) if part]
    return tuple(part for part in parts if part not in ("$", ""))


def _path_pointer(path: _Path) -> str:
    steps = (_clean(str(step)).replace("~", "~0").replace("/", "~1") for step in path[: _MAX_DEPTH * 2])
    return _cut("".join(f"/{step}" for step in steps), _MAX_POINTER)


# ---- text ---------------------------------------------------------------------------------------------------------


def _clean(text: str) -> str:
    """Without control characters (C0, C1), bidirectional and other invisible ones, and lone surrogates. White space
    becomes single blanks."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    visible = (
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
    )
    return " ".join("".join(visible).split())


def _cut(text: str, size: int) -> str:
    """The text in at most `size` bytes, with an ellipsis at the end where it was cut."""
    data = text.encode()
    if len(data) <= size:
        return text
    return data[: max(0, size - 3)].decode(errors="ignore") + "…" if size >= 3 else ""


class _PassedOn:
    """Collects what is passed on, within the bounds in sum."""

    def __init__(self, sent: _SentValues) -> None:
        self.members: dict[str, Any] = {}
        self._sent = sent
        self._left = MAX_TEXT
        # Characters that may still be examined. Examining takes time, also when the text is not passed on.
        self._examinable = 4 * MAX_TEXT

    def add_code(self, code: object) -> None:
        if isinstance(code, int) and not isinstance(code, bool):
            code = str(code)
        if isinstance(code, str) and _CODE.fullmatch(code) and self._sent.without(code) == code:
            self.members["code"] = code
            self._left -= len(code)

    def add_detail(self, detail: object) -> None:
        if text := self._passable(detail, min(MAX_DETAIL, self._left)):
            self.members["detail"] = text
            self._left -= len(text.encode())

    def add_errors(self, errors_found: Iterable[_FieldError]) -> None:
        for pointer, message in errors_found:
            errors: list[dict[str, str]] = self.members.setdefault("errors", [])
            left = self._left - len(pointer.encode())
            if len(errors) >= MAX_ERRORS or left < len(REPLACEMENT):
                return
            detail = self._passable(message, min(MAX_MESSAGE, left)) or REPLACEMENT
            errors.append({"pointer": pointer, "detail": detail})
            self._left = left - len(detail.encode())

    def _passable(self, message: object, size: int) -> str:
        """The part of the message that may be passed on, empty for none."""
        if not isinstance(message, str):
            return ""
        message = message[: min(2 * size, self._examinable)]
        self._examinable -= len(message)
        if _INTERNALS.search(message) or _PRINTED.search(message):
            return ""
        message = self._sent.without(_clean(message))
        return _cut(message, size) if any(map(str.isalpha, message)) else ""


# ---- what was sent -------------------------------------------------------------------------------------------------

_GRAM = 12
"""So many consecutive characters of a long value count as a quotation of it, because frameworks shorten quotations."""
_WHOLE = 8
"""A value of at least this length is also found inside a longer word."""
_WORD = 4
"""A value of at least this length is found as a separate word; a shorter one only in quotes, or as three digits."""
_PARTS = re.compile(r"[@/:?#=&,;|]+")
_QUOTES = "\"'`´‘’‚“”„«»‹›"


class _SentValues:
    """The values of a request, which messages about it must not quote."""

    def __init__(self, values: Iterable[str]) -> None:
        self._short: set[str] = set()
        self._lengths: list[int] = []
        self._grams: set[str] = set()
        self._too_many = False
        total = 0
        for value in values:
            total += len(value)
            if total > MAX_SENT:
                self._too_many = True
                return
            text = _lower(_clean(value))
            self._add(text)
            if " " not in text:
                # An e-mail address or a URL: its parts may be quoted separately.
                for part in _PARTS.split(text):
                    if len(part) >= _WORD:
                        self._add(part)
        self._lengths = sorted({len(value) for value in self._short})

    def _add(self, text: str) -> None:
        if len(text) >= _GRAM:
            self._grams.update(text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1))
        elif text:
            self._short.add(text)

    def without(self, text: str) -> str:
        """The text with every quotation replaced by an ellipsis; empty when there are too many values to compare."""
        if self._too_many:
            return ""
        if not self._short and not self._grams:
            return text
        lower = _lower(text)
        hidden = bytearray(len(text))
        for start, end in self._quotations(lower):
            hidden[start:end] = b"\x01" * (end - start)
        if not any(hidden):
            return text
        pieces: list[str] = []
        for character, is_hidden in zip(text, hidden, strict=True):
            if not is_hidden:
                pieces.append(character)
            elif not pieces or pieces[-1] != "…":
                pieces.append("…")
        return "".join(pieces)

    def _quotations(self, lower: str) -> Iterator[tuple[int, int]]:
        for at in range(len(lower) - _GRAM + 1):
            if lower[at : at + _GRAM] in self._grams:
                yield at, at + _GRAM
        for length in self._lengths:
            for at in range(len(lower) - length + 1):
                value = lower[at : at + length]
                if value in self._short and _stands_out(lower, value, at, at + length):
                    yield at, at + length


def _stands_out(text: str, value: str, start: int, end: int) -> bool:
    """Whether the text quotes the value here, or only has the same characters in a word of its own."""
    if len(value) >= _WHOLE:
        return True
    before, after = text[start - 1 : start], text[end : end + 1]
    if before and before in _QUOTES and after and after in _QUOTES:
        return True
    alone = not before.isalnum() and not after.isalnum()
    return alone and (len(value) >= _WORD or (len(value) == 3 and value.isdigit()))


def _lower(text: str) -> str:
    """The text in lower case, with each character at the same index."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)
