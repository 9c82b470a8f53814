"""From a request to a function's arguments, by the function's own signature.

A parameter named in the path comes from the path, one annotated with a pydantic model is the JSON body, `Principal`
is the caller, everything else is the query. What does not fit is told with a pointer for each mistake. A query is text
and is read as its declared types; JSON has types of its own, so a body is held to them: `"1"` and `true` are no number.
A parameter that is given twice and is no list is refused: which of the two was meant cannot be known.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from ..calls import DeclarationError, Principal
from .problem import Problem

MAX_QUERY = 100
_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Binding:
    """path, query: a pydantic model of the parameters or None; body: (name, type) or None; who: the principal
    parameter's name or None; who_optional: it may be None; returns: the annotated result."""

    path: type[BaseModel] | None
    query: type[BaseModel] | None
    lists: frozenset[str]
    body: tuple[str, Any] | None
    who: str | None
    who_optional: bool
    returns: Any

    def arguments(
        self, path: Mapping[str, str], query: bytes, body: bytes | None, principal: Principal | None
    ) -> dict[str, Any]:
        """Keyword arguments for the function; raises Problem 422 with pointers."""
        errors: list[dict[str, str]] = []
        values: dict[str, Any] = {}
        if self.path is not None:
            values |= _validate(self.path, dict(path), "path", errors)
        if self.query is not None:
            values |= _validate(self.query, self._query(query, errors), "query", errors)
        if self.body is not None:
            name, model = self.body
            try:
                values[name] = TypeAdapter(model).validate_json(body or b"", strict=True)
            except ValidationError as error:
                errors += _pointers(error, "body")
        if errors:
            raise Problem(
                422, "invalid-request", "Correct what `errors` points at and send it again.", errors=errors
            )
        if self.who is not None:
            values[self.who] = principal
        return values

    def _query(self, raw: bytes, errors: list[dict[str, str]]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        try:
            pairs = parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_QUERY, errors="strict"
            )
        except ValueError:
            raise Problem(
                400, "invalid-request", f"The query is not UTF-8, or has more than {MAX_QUERY} parameters."
            ) from None
        for name, value in pairs:
            if name in self.lists:
                given.setdefault(name, []).append(value)
            elif name in given:
                errors.append({"pointer": _pointer([name]), "in": "query", "detail": "It is given twice."})
            else:
                given[name] = value
        return given


def binding(function: Callable[..., Any], path: str, what: str, *, body: bool) -> Binding:
    """Read the signature. `body`: whether this kind of route takes one. Raises DeclarationError by name."""
    if not inspect.iscoroutinefunction(function):
        raise DeclarationError(f"{what}: {function.__name__} must be `async def`")
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DeclarationError(f"{what}: an annotation cannot be resolved: {error}") from None
    if "return" not in hints:
        raise DeclarationError(f"{what}: annotate what {function.__name__} returns")
    in_path = set(_PARAMETER.findall(path))
    found = _Parameters()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise DeclarationError(f"{what}: parameter {name} must be an ordinary or keyword-only one")
        if name not in hints:
            raise DeclarationError(f"{what}: annotate parameter {name}")
        found.add(name, hints[name], parameter.default, in_path, what, body)
    if missing := in_path - found.path.keys():
        raise DeclarationError(
            f"{what}: {path} has {{{', '.join(sorted(missing))}}} but the function takes none"
        )
    return Binding(
        path=_model(f"{function.__name__}_path", found.path),
        query=_model(f"{function.__name__}_query", found.query),
        lists=frozenset(name for name, (hint, _) in found.query.items() if _is_list(hint)),
        body=found.body,
        who=found.who,
        who_optional=found.who_optional,
        returns=hints["return"],
    )


class _Parameters:
    def __init__(self) -> None:
        self.path: dict[str, tuple[Any, Any]] = {}
        self.query: dict[str, tuple[Any, Any]] = {}
        self.body: tuple[str, Any] | None = None
        self.who: str | None = None
        self.who_optional = False

    def add(self, name: str, hint: Any, default: Any, in_path: set[str], what: str, takes_body: bool) -> None:
        plain = [one for one in _members(hint) if one is not type(None)]
        if plain == [Principal]:
            self.who, self.who_optional = name, len(_members(hint)) > 1
        elif name in in_path:
            self.path[name] = (hint, Field(...))
        elif any(isinstance(one, type) and issubclass(one, BaseModel) for one in plain):
            if not takes_body:
                raise DeclarationError(
                    f"{what}: a view is a GET and takes no body, so {name} cannot be {hint}"
                )
            if self.body is not None:
                raise DeclarationError(f"{what}: one body only, {self.body[0]} and {name} are two")
            self.body = (name, hint)
        else:
            self.query[name] = (hint, Field(...) if default is inspect.Parameter.empty else default)


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _is_list(hint: Any) -> bool:
    return any(get_origin(one) in (list, tuple, set, frozenset) for one in _members(hint))


def _model(name: str, fields: dict[str, tuple[Any, Any]]) -> type[BaseModel] | None:
    if not fields:
        return None
    made: type[BaseModel] = create_model(name, __config__=ConfigDict(extra="ignore"), **fields)  # type: ignore[call-overload]
    return made


def _validate(
    model: type[BaseModel], given: dict[str, Any], where: str, errors: list[dict[str, str]]
) -> dict[str, Any]:
    try:
        bound = model.model_validate(given)
    except ValidationError as error:
        errors += _pointers(error, where)
        return {}
    return {name: getattr(bound, name) for name in type(bound).model_fields}


def _pointers(error: ValidationError, where: str) -> list[dict[str, str]]:
    """RFC 6901 pointers. The values themselves are left out: they may be secrets."""
    found = []
    for one in error.errors(include_input=False, include_url=False, include_context=False)[:50]:
        found.append({"pointer": _pointer(one["loc"]), "in": where, "detail": one["msg"]})
    return found


def _pointer(steps: Iterable[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
