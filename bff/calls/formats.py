"""Bodies and answers in formats of their own: JSON with options, forms, text, bytes, one JSON value a line; and the
port for others.

A body in another format is a value given in place of the JSON body: `self.post("/token", Token, Form(grant_type="…"))`.
An answer in another format is declared at the call: `self.get("/readme", str).answered(TEXT)`. An answer under another
media type, or that cannot be read, is `invalid`, as for JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, get_args, get_origin, runtime_checkable
from urllib.parse import urlencode

from .codec import codec_of, encode
from .errors import DeclarationError
from .template import query_of


@runtime_checkable
class Body(Protocol):
    """A body that says what it is. media_type: for Content-Type, with parameters."""

    @property
    def media_type(self) -> str: ...
    def encoded(self) -> bytes:
        """The bytes that are sent. Raises DeclarationError for values that cannot be written."""


@dataclass(frozen=True, slots=True)
class Json:
    """JSON in another way than a plain body is written.

    value          anything pydantic can serialise; a secret in a model is sent in plain text
    exclude_unset  True leaves out the fields of models that were never set, so that a PATCH changes only the fields
                   that were; default False: all fields are sent, with their defaults
    media_type     for example ``application/merge-patch+json``
    """

    value: Any = field(repr=False)
    exclude_unset: bool = False
    media_type: str = "application/json"

    def encoded(self) -> bytes:
        return encode(self.value, secrets=True, exclude_unset=self.exclude_unset)


class Form:
    """A form (``application/x-www-form-urlencoded``). Values are written as in a query: a list repeats its name, None
    is left out."""

    media_type = "application/x-www-form-urlencoded"

    def __init__(self, fields: Mapping[str, Any] | None = None, **more: Any) -> None:
        self._pairs = query_of({**(fields or {}), **more}.items())

    def encoded(self) -> bytes:
        return urlencode(self._pairs).encode()


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text in UTF-8."""

    text: str
    media_type: str = "text/plain; charset=utf-8"

    def encoded(self) -> bytes:
        try:
            return self.text.encode()
        except UnicodeEncodeError:
            raise DeclarationError("a lone surrogate cannot be written in a text") from None


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of any media type."""

    data: bytes = field(repr=False)
    media_type: str = "application/octet-stream"

    def encoded(self) -> bytes:
        return self.data


class Format(Protocol):
    """How an answer is read: a port for formats of your own.

    accept  what is sent as Accept
    media   media types under which it is read, in lower case and without parameters
    """

    @property
    def accept(self) -> str: ...
    @property
    def media(self) -> tuple[str, ...]: ...
    def check(self, model: Any) -> None:
        """Raises DeclarationError for a model that this format cannot give."""

    def decode(self, model: Any, body: bytes, charset: str) -> Any:
        """The value. charset: as the answer says, else utf-8. Raises ValueError for bytes that are not this format."""


_CHARSETS = re.compile(
    r"utf-?8|utf-?16(?:[lb]e)?|us-ascii|ascii|iso-?8859-?[0-9]{1,2}|latin-?1|windows-125[0-8]|cp125[0-8]|koi8-[ru]|"
    r"shift_jis|euc-(?:jp|kr)|gb2312|gbk|gb18030|big5"
)


class _Text:
    """A text as `str`."""

    accept = "text/plain, text/*"
    media = ("text/plain", "text/html", "text/csv", "text/markdown", "text/xml")

    def check(self, model: Any) -> None:
        if model is not str:
            raise DeclarationError("a text is read as str")

    def decode(self, model: Any, body: bytes, charset: str) -> Any:
        # Python knows more encodings, some of which are no charsets or take very long.
        if not _CHARSETS.fullmatch(charset.lower()):
            raise ValueError(f"its charset {charset!r} is not read here")
        try:
            return body.decode(charset)
        except LookupError:
            raise ValueError(f"its charset {charset!r} is not known") from None


class _Bytes:
    """Bytes of any media type."""

    accept = "*/*"
    media = ()

    def check(self, model: Any) -> None:
        if model is not bytes:
            raise DeclarationError("bytes are read as bytes")

    def decode(self, model: Any, body: bytes, charset: str) -> Any:
        return body


class _JsonLines:
    """One JSON value a line, as a list."""

    accept = "application/x-ndjson"
    media = ("application/x-ndjson", "application/jsonl", "application/ndjson")

    def check(self, model: Any) -> None:
        if get_origin(model) is not list:
            raise DeclarationError("lines of JSON are read as a list, such as list[Ticket]")

    def decode(self, model: Any, body: bytes, charset: str) -> Any:
        codec = codec_of(get_args(model)[0])
        return [codec.decode(line) for line in body.splitlines() if line.strip()]


TEXT: Format = _Text()
"""A text, whatever its charset, as `str`."""
BYTES: Format = _Bytes()
"""Bytes of any media type."""
JSON_LINES: Format = _JsonLines()
"""One JSON value a line (NDJSON), as a list."""
