"""Binds a request to a function's arguments, by the function's signature.

A parameter named in the path comes from the path, a parameter of a pydantic model is the JSON body, `Principal` is
the caller, and every other parameter comes from the query. Input that does not fit is answered 422 with a pointer for
each mistake. Values are read by the table "Values" of docs/contract.md: a body must have JSON's types (`"1"` and `true`
are no numbers), and the text of a parameter is what JSON would print, without quotes. A parameter that is given twice
and is not a list is refused, because it is not known which of the two was meant.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from ..calls import DeclarationError, Principal
from ..calls.codec import Codec, Parameters, codec_of
from .problem import Problem

MAX_QUERY = 100
_LISTS = (list, tuple, set, frozenset, Sequence)
_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Binding:
    """How a request becomes the arguments of one function.

    path, query   read the parameters; None where the function has none
    lists         names of the query that may be given several times
    body          name and type of the parameter that is the JSON body, or None
    who           name of the parameter that is the principal, or None
    who_optional  the principal may be None
    returns       the annotated result
    """

    path: Parameters | None
    query: Parameters | None
    lists: frozenset[str]
    body: tuple[str, Any] | None
    who: str | None
    who_optional: bool
    returns: Any

    @property
    def codecs(self) -> list[Codec[Any]]:
        """The codecs of the result and the body."""
        models = [self.returns] if self.body is None else [self.returns, self.body[1]]
        return [codec_of(model) for model in models]

    def arguments(
        self, path: Mapping[str, str], query: bytes, body: bytes | None, principal: Principal | None
    ) -> dict[str, Any]:
        """Keyword arguments for the function; raises Problem 422 with pointers."""
        errors: list[dict[str, str]] = []
        values: dict[str, Any] = {}
        if self.path is not None:
            values |= _read(self.path, dict(path), "path", errors)
        if self.query is not None:
            values |= _read(self.query, self._query(query, errors), "query", errors)
        if self.body is not None:
            name, model = self.body
            try:
                values[name] = codec_of(model).decode(body or b"")
            except ValidationError as error:
                errors += _pointers(error, "body")
            except (ValueError, RecursionError):
                errors.append({"pointer": "", "in": "body", "detail": "It is not JSON (RFC 8259)."})
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
    from_path: dict[str, tuple[Any, Any]] = {}
    from_query: dict[str, tuple[Any, Any]] = {}
    from_body: tuple[str, Any] | None = None
    who: str | None = None
    who_optional = False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise DeclarationError(f"{what}: parameter {name} must be an ordinary or keyword-only one")
        if name not in hints:
            raise DeclarationError(f"{what}: annotate parameter {name}")
        hint, default = hints[name], parameter.default
        members = [member for member in _members(hint) if member is not type(None)]
        if members == [Principal]:
            who, who_optional = name, len(_members(hint)) > 1
        elif name in in_path:
            from_path[name] = (hint, Field(...))
        elif any(isinstance(member, type) and issubclass(member, BaseModel) for member in members):
            if not body:
                raise DeclarationError(
                    f"{what}: a view is a GET and takes no body, so {name} cannot be {hint}"
                )
            if from_body is not None:
                raise DeclarationError(f"{what}: one body only, {from_body[0]} and {name} are two")
            from_body = (name, hint)
        else:
            from_query[name] = (hint, Field(...) if default is inspect.Parameter.empty else default)
    if missing := in_path - from_path.keys():
        raise DeclarationError(
            f"{what}: {path} has {{{', '.join(sorted(missing))}}} but the function takes none"
        )
    of_path = _parameters(f"{function.__name__}_path", from_path, what)
    of_query = _parameters(f"{function.__name__}_query", from_query, what)
    if of_path is not None:
        for name, info in of_path.model.model_fields.items():
            if set(_names(name, info)) != {name}:
                raise DeclarationError(f"{what}: {{{name}}} has its name from the path and can have no alias")
    return Binding(
        path=of_path,
        query=of_query,
        lists=frozenset() if of_query is None else frozenset(_lists(of_query, from_query, what)),
        body=from_body,
        who=who,
        who_optional=who_optional,
        returns=hints["return"],
    )


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _is_list(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        return _is_list(get_args(hint)[0])
    return any(get_origin(member) in _LISTS or member in _LISTS for member in _members(hint)) or any(
        _is_list(member) for member in _members(hint) if get_origin(member) is Annotated
    )


def _lists(reader: Parameters, query: Mapping[str, tuple[Any, Any]], what: str) -> Iterable[str]:
    """The names of the query parameters that are lists."""
    for name, info in reader.model.model_fields.items():
        names = _names(name, info)
        if None in names:
            raise DeclarationError(f"{what}: {name} is one parameter of the query and can have no AliasPath")
        if _is_list(query[name][0]):
            yield from (alias for alias in names if alias is not None)


def _names(name: str, field: FieldInfo) -> list[str | None]:
    """The names of a parameter in a request; None for an AliasPath, which is not a name."""
    alias = field.validation_alias
    if alias is None:
        return [name]
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [None if isinstance(choice, AliasPath) else choice for choice in choices]


def _parameters(name: str, fields: dict[str, tuple[Any, Any]], what: str) -> Parameters | None:
    if not fields:
        return None
    try:
        made: type[BaseModel] = create_model(name, __config__=ConfigDict(extra="ignore"), **fields)  # type: ignore[call-overload]
    except PydanticUserError as error:
        raise DeclarationError(f"{what}: {error.message}") from None
    return Parameters(made)


def _read(
    reader: Parameters, given: dict[str, Any], where: str, errors: list[dict[str, str]]
) -> dict[str, Any]:
    try:
        bound = reader.read(given)
    except ValidationError as error:
        errors += _pointers(error, where)
        return {}
    return {name: getattr(bound, name) for name in type(bound).model_fields}


def _pointers(error: ValidationError, where: str) -> list[dict[str, str]]:
    """RFC 6901 pointers. The values themselves are left out: they may be secrets."""
    return [
        {"pointer": _pointer(mistake["loc"]), "in": where, "detail": mistake["msg"]}
        for mistake in error.errors(include_input=False, include_url=False, include_context=False)[:50]
    ]


def _pointer(steps: Iterable[str | int]) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
