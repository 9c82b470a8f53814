"""The path of a call: a template with parameters, and the text of their values.

`{name}` takes one path segment. A value with a slash, a backslash, a control character or a dot segment (RFC 3986
section 3.3) is refused: for the service, or for a proxy before it, the path would name another resource. A template can
allow slashes: `{name:path}` takes several segments, `{name:escaped}` sends a slash as %2F. Both refuse dot segments and
control characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from .codec import text_of
from .errors import DeclarationError

_PARAMETER = re.compile(r"\{([^{}]*)\}")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::(path|escaped))?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SEPARATOR = re.compile(r"[/\\]")
# A segment that stands as it is (RFC 3986 section 2.3).
_UNRESERVED = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._~-]+")


class UnusablePathValue(ValueError):
    """A value that cannot be used in a path. parameter: its name."""

    def __init__(self, parameter: str) -> None:
        super().__init__(f"{parameter} has a value that cannot be used in a path")
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Template:
    """literals: the texts before, between and after the parameters; parameters: name and kind of each."""

    literals: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]

    def filled(self, data: dict[str, Any]) -> str:
        """The path, percent-encoded. Removes the values that it uses from `data`. Raises UnusablePathValue; raises
        DeclarationError for a parameter that is missing or cannot be written as text."""
        literals = self.literals
        pieces = [literals[0]]
        for (name, kind), after in zip(self.parameters, literals[1:], strict=True):
            try:
                value = data.pop(name)
            except KeyError:
                raise DeclarationError(f"needs {name}=…") from None
            try:
                text = text_of(value)
            except ValueError as error:
                raise DeclarationError(f"{name}=: {error}") from None
            pieces += (_segment(name, text, kind), after)
        return "".join(pieces)


@lru_cache(maxsize=4096)
def template_of(text: str) -> Template:
    """The parsed template. Raises DeclarationError for a text without a leading slash and for braces that are not a
    parameter."""
    if not text.startswith("/"):
        raise DeclarationError(f"a path must begin with /, this is {text!r}")
    literals: list[str] = []
    parameters: list[tuple[str, str]] = []
    at = 0
    for match in _PARAMETER.finditer(text):
        inside = _INSIDE.fullmatch(match.group(1))
        if inside is None:
            raise DeclarationError(
                f"{match.group(0)} in {text} is not a parameter: write {{name}}, {{name:path}} or {{name:escaped}}"
            )
        name = inside.group(1)
        if any(name == other for other, _ in parameters):
            raise DeclarationError(f"{text} has {{{name}}} twice")
        literals.append(text[at : match.start()])
        parameters.append((name, inside.group(2) or "segment"))
        at = match.end()
    literals.append(text[at:])
    if any("{" in literal or "}" in literal for literal in literals):
        raise DeclarationError(f"{text} has a brace that is not part of a parameter")
    return Template(tuple(literals), tuple(parameters))


def _segment(name: str, text: str, kind: str) -> str:
    if _UNRESERVED.fullmatch(text):
        return text
    segments = _SEPARATOR.split(text)
    if (len(segments) > 1 and (kind == "segment" or "\\" in text)) or _CONTROL.search(text):
        raise UnusablePathValue(name)
    if any(map(_is_dots, segments)) or not text or (kind == "path" and not all(segments)):
        raise UnusablePathValue(name)
    return quote(text, safe="/" if kind == "path" else "")


def _is_dots(segment: str) -> bool:
    # Some servers ignore what follows a semicolon: they read `..;x` as `..`.
    return segment.partition(";")[0].strip(" ") in (".", "..")


def query_of(data: Iterable[tuple[str, Any]]) -> tuple[tuple[str, str], ...]:
    """The pairs of a query in order. A list repeats its name; None is left out, also inside a list. Raises
    DeclarationError for a value that cannot be written as text."""
    pairs: list[tuple[str, str]] = []
    for name, value in data:
        if value is None:
            continue
        if isinstance(value, set | frozenset):
            value = sorted(_query_text(name, item) for item in value if item is not None)
        if isinstance(value, list | tuple):
            pairs += [(name, _query_text(name, item)) for item in value if item is not None]
        else:
            pairs.append((name, _query_text(name, value)))
    return tuple(pairs)


def _query_text(name: str, value: Any) -> str:
    try:
        text = text_of(value)
        text.encode()
    except UnicodeEncodeError:
        raise DeclarationError(f"{name}=: a lone surrogate cannot be written in a URL") from None
    except ValueError as error:
        raise DeclarationError(f"{name}=: {error}") from None
    return text
