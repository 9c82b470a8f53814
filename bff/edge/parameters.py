"""Where a parameter of a view or command is read from, as a marker in its annotation: `Annotated[str, Header()]`.

Without a marker a parameter comes from the path or the query, or is the body of a command (see `bind`). This module
also reads the texts of each place of a request. It refuses a text that is given twice and is not a list: it is not
known which of the two was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.types import Scope

from ..calls import DeclarationError
from ..calls.codec import Parameters
from .http.request import cookies
from .problem import Problem
from .reply import OWN_COOKIES

MAX_QUERY = 100
"""Parameters of one query."""

Where = Literal["path", "query", "header", "cookie"]


@dataclass(frozen=True, slots=True)
class Header:
    """A header of the request. name: default the parameter's name, with dashes in place of underscores; the case of
    its letters does not matter. A list takes the members of a comma-separated value (RFC 9110 section 5.6.1).

    A screen's answer names the headers that its view declares in `Vary`.
    """

    name: str = ""


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie of the request. name: default the parameter's name."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query, or a model of several. name: default the parameter's name."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """The JSON body of a command, of any type that pydantic reads."""


Marker = Header | Cookie | Query | Body
MARKERS = (Header, Cookie, Query, Body)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
# They belong to the connection or to the gateway: who asks is `Principal`, the command's key is `Idempotency-Key`.
_OWN_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "idempotency-key",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-bff",
    }
)


def name_of(marker: Header | Cookie | Query, parameter: str, what: str) -> str:
    """The name in a request. Raises DeclarationError for one that is not valid, or is read by the gateway alone."""
    name = marker.name or parameter
    if isinstance(marker, Header):
        name = (marker.name or parameter.replace("_", "-")).lower()
        if name in _OWN_HEADERS or name.startswith("x-forwarded-"):
            raise DeclarationError(f"{what}: {parameter}: the header {name} is read by the gateway alone")
    if isinstance(marker, Cookie) and name.lower().startswith(OWN_COOKIES):
        raise DeclarationError(f"{what}: {parameter}: the cookie {name} is read by the gateway alone")
    if not isinstance(marker, Query) and not _TOKEN.fullmatch(name.lower()):
        kind = type(marker).__name__.lower()
        raise DeclarationError(
            f"{what}: {parameter}: {name!r} is no name of a {kind} (RFC 9110 section 5.6.2)"
        )
    return name


@dataclass(frozen=True, slots=True)
class Source:
    """What a function takes from one place of a request.

    texts   reads the parameters that are one text or a list each; None: there are none
    models  by the names of their parameters: readers of models whose fields are the parameters
    names   of the parameters in the request, in the order of their declarations
    lists   those of them that may be given several times
    """

    where: Where
    texts: Parameters | None
    models: tuple[tuple[str, Parameters], ...]
    names: tuple[str, ...]
    lists: frozenset[str]

    @property
    def readers(self) -> list[Parameters]:
        return [*([self.texts] if self.texts else []), *(reader for _, reader in self.models)]

    def arguments(self, scope: Scope, errors: list[dict[str, str]]) -> dict[str, Any]:
        """Keyword arguments for the function; adds to `errors` what does not fit. Raises Problem 400 for a query that
        cannot be read."""
        given = dict(scope["path_params"]) if self.where == "path" else self._collected(scope, errors)
        values: dict[str, Any] = {}
        if self.texts is not None:
            values |= _fields(self.texts, given, self.where, errors)
        for name, reader in self.models:
            try:
                values[name] = reader.read(given)
            except ValidationError as error:
                errors += pointers(error, self.where)
        return values

    def _collected(self, scope: Scope, errors: list[dict[str, str]]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        repeated: dict[str, None] = {}
        for name, value in self._pairs(scope):
            if name in self.lists:
                given.setdefault(name, []).append(value)
            elif name in given:
                repeated[name] = None
            else:
                given[name] = value
        # One error for each name: a client could send thousands of cookies.
        errors += [
            {"pointer": _pointer([name]), "in": self.where, "detail": "It is given twice."}
            for name in repeated
        ]
        return given

    def _pairs(self, scope: Scope) -> Iterable[tuple[str, str]]:
        if self.where == "query":
            yield from _query(scope["query_string"])
            return
        pairs = cookies(scope["headers"]) if self.where == "cookie" else scope["headers"]
        for raw_name, raw_value in pairs:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip(" \t")
            if name not in self.names:
                continue
            if self.where == "header" and name in self.lists:
                yield from ((name, member) for member in _members(value))
            else:
                yield name, value


def pointers(error: ValidationError, where: str) -> list[dict[str, str]]:
    """What does not fit, as RFC 6901 pointers. The values themselves are left out: they may be secrets."""
    return [
        {"pointer": _pointer(mistake["loc"]), "in": where, "detail": mistake["msg"]}
        for mistake in error.errors(include_input=False, include_url=False, include_context=False)[:50]
    ]


def _pointer(steps: Iterable[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _fields(
    reader: Parameters, given: Mapping[str, Any], where: str, errors: list[dict[str, str]]
) -> dict[str, Any]:
    try:
        bound = reader.read(dict(given))
    except ValidationError as error:
        errors += pointers(error, where)
        return {}
    return {name: getattr(bound, name) for name in type(bound).model_fields}


def _query(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_QUERY, errors="strict"
        )
    except ValueError:
        raise Problem(
            400, "invalid-request", f"The query is not UTF-8, or has more than {MAX_QUERY} parameters."
        ) from None


# A member of a comma-separated value; commas inside a quoted string belong to it (RFC 9110 section 5.6.4).
_MEMBER = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')


def _members(value: str) -> list[str]:
    """The members of a comma-separated value; empty ones are left out."""
    return [member for found in _MEMBER.findall(value) if (member := found.strip(" \t"))]
