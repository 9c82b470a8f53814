"""Binds a request to a function's arguments, by the function's signature.

A parameter named in the path comes from the path, and `Principal` is the caller. A marker in the annotation says where
any other parameter comes from (`parameters`). Without a marker a parameter that one text or a list of texts can express
comes from the query. Other types are the JSON body of a command; in a view, a pydantic model is several parameters of
the query, and anything else is a mistake in the declaration. Input that does not fit is answered 422 with a pointer for
each mistake. Values are read by the table "Values" of docs/contract.md: a body must have JSON's types (`"1"` and `true`
are no numbers), and the text of a parameter is what JSON would print, without quotes.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from starlette.types import Scope

from ..calls import DeclarationError, Principal
from ..calls.codec import Codec, Parameters, codec_of, mentions
from .parameters import MARKERS, Body, Cookie, Header, Marker, Query, Source, Where, name_of, pointers
from .problem import Problem
from .reply import Returns, returns_of

_LISTS = (list, tuple, set, frozenset, Sequence)
_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
# pydantic's kinds of schema that no single text expresses.
_COMPOUND = ("model", "dataclass", "typed-dict", "dict", "any", "named-tuple", "arguments")
_WHERE: dict[type[Any], Where] = {Header: "header", Cookie: "cookie", Query: "query"}
_ORDER: tuple[Where, ...] = ("path", "query", "header", "cookie")


@dataclass(frozen=True, slots=True)
class BodyParameter:
    """The parameter that is the JSON body. optional: a request without a body leaves the parameter at its default."""

    name: str
    type: Any
    optional: bool


@dataclass(frozen=True, slots=True)
class Binding:
    """How a request becomes the arguments of one function.

    sources       the places of a request that it reads, with their parameters
    body          the parameter that is the JSON body, or None
    who           name of the parameter that is the principal, or None
    who_optional  the principal may be None
    returns       what the function returns
    """

    sources: tuple[Source, ...]
    body: BodyParameter | None
    who: str | None
    who_optional: bool
    returns: Returns

    @property
    def codecs(self) -> list[Codec[Any]]:
        """The codecs of the result and the body."""
        models = [] if self.returns.is_empty else [self.returns.model]
        return [codec_of(model) for model in (models if self.body is None else [*models, self.body.type])]

    @property
    def vary(self) -> list[str]:
        """The request's headers on which the function's result depends, in the order of their declarations."""
        names = [name.title() for source in self.sources if source.where == "header" for name in source.names]
        return [*names, *(["Cookie"] if any(source.where == "cookie" for source in self.sources) else [])]

    def arguments(self, scope: Scope, body: bytes | None, principal: Principal | None) -> dict[str, Any]:
        """Keyword arguments for the function; raises Problem 422 with pointers."""
        errors: list[dict[str, str]] = []
        values: dict[str, Any] = {}
        for source in self.sources:
            values |= source.arguments(scope, errors)
        if self.body is not None and (body or not self.body.optional):
            try:
                values[self.body.name] = codec_of(self.body.type).decode(body or b"")
            except ValidationError as error:
                errors += pointers(error, "body")
            except (ValueError, RecursionError):
                errors.append({"pointer": "", "in": "body", "detail": "It is not JSON (RFC 8259)."})
        if errors:
            raise Problem(
                422, "invalid-request", "Correct what `errors` points at and send it again.", errors=errors
            )
        if self.who is not None:
            values[self.who] = principal
        return values


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
    signature = _Signature(function.__name__, set(_PARAMETER.findall(path)), what, body)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise DeclarationError(f"{what}: parameter {name} must be an ordinary or keyword-only one")
        if name not in hints:
            raise DeclarationError(f"{what}: annotate parameter {name}")
        signature.add(name, hints[name], parameter.default)
    return signature.binding(path, returns_of(hints["return"], what))


class _Signature:
    """The parameters of one function, sorted by where they come from."""

    def __init__(self, function: str, in_path: set[str], what: str, takes_body: bool) -> None:
        self._function = function
        self._in_path = in_path
        self._what = what
        self._takes_body = takes_body
        self._texts: dict[Where, dict[str, tuple[Any, Any]]] = {where: {} for where in _ORDER}
        self._models: dict[Where, list[tuple[str, type[BaseModel]]]] = {where: [] for where in _ORDER}
        self._body: BodyParameter | None = None
        self._who: tuple[str, bool] | None = None

    def add(self, name: str, hint: Any, default: Any) -> None:
        members = [member for member in _members(hint) if member is not type(None)]
        if members == [Principal]:
            self._who = (name, len(_members(hint)) > 1)
            return
        marker = self._marker(name, hint)
        if name in self._in_path:
            if marker is not None:
                raise DeclarationError(f"{self._what}: {{{name}}} comes from the path, not from {marker!r}")
            self._texts["path"][name] = (hint, Field(...))
        elif isinstance(marker, Body) or (
            marker is None and self._takes_body and not self._is_text(name, hint)
        ):
            self._add_body(name, hint, default)
        else:
            self._add_parameter(name, hint, default, marker or Query())

    def _marker(self, name: str, hint: Any) -> Marker | None:
        found = [one for one in get_args(hint)[1:] if isinstance(one, MARKERS)] if _is_annotated(hint) else []
        wrong = [one for one in get_args(hint)[1:] if one in MARKERS] if _is_annotated(hint) else []
        if wrong:
            raise DeclarationError(
                f"{self._what}: {name}: write {wrong[0].__name__}(), not {wrong[0].__name__}"
            )
        if len(found) > 1:
            raise DeclarationError(f"{self._what}: {name} can come from one place only, not from {found}")
        return found[0] if found else None

    def _is_text(self, name: str, hint: Any) -> bool:
        """Whether one text or a list of texts expresses the type. Raises DeclarationError for a type that pydantic
        does not know."""
        try:
            schema = TypeAdapter(_type_of(hint)).core_schema
        except (PydanticUserError, PydanticSchemaGenerationError) as error:
            raise DeclarationError(f"{self._what}: {name}: {error.message}") from None
        return not any(mentions(schema, kind) for kind in _COMPOUND)

    def _add_body(self, name: str, hint: Any, default: Any) -> None:
        if not self._takes_body:
            raise DeclarationError(f"{self._what}: it takes no body, so {name} cannot be {_shown(hint)}")
        if self._body is not None:
            raise DeclarationError(f"{self._what}: one body only, {self._body.name} and {name} are two")
        self._body = BodyParameter(name, hint, default is not inspect.Parameter.empty)

    def _add_parameter(self, name: str, hint: Any, default: Any, marker: Header | Cookie | Query) -> None:
        where = _WHERE[type(marker)]
        in_request = name_of(marker, name, self._what)
        model = get_args(hint)[0] if _is_annotated(hint) else hint
        if isinstance(model, type) and issubclass(model, BaseModel):
            if marker.name or default is not inspect.Parameter.empty:
                raise DeclarationError(
                    f"{self._what}: {name} is several parameters, so it has neither a name nor a default"
                )
            self._models[where].append((name, self._model(name, model, where)))
            return
        if not self._is_text(name, hint):
            raise DeclarationError(
                f"{self._what}: {name} comes from the {where}, where no text expresses {_shown(hint)}"
            )
        empty = default is inspect.Parameter.empty
        if in_request != name:
            self._texts[where][name] = (hint, Field(... if empty else default, validation_alias=in_request))
        else:
            self._texts[where][name] = (hint, Field(...) if empty else default)

    def _model(self, name: str, model: type[BaseModel], where: Where) -> type[BaseModel]:
        for field, info in model.model_fields.items():
            if not self._is_text(f"{name}.{field}", _annotated(info.annotation, info.metadata)):
                raise DeclarationError(
                    f"{self._what}: {name}.{field} comes from the {where}, where no text expresses "
                    f"{_shown(info.annotation)}"
                )
        if where != "header":
            return model
        # Names of headers have dashes, and no upper case in ASGI.
        aliases: dict[str, Any] = {
            field: (info.annotation, _aliased(info, name_of(Header(_alias(info)), field, self._what)))
            for field, info in model.model_fields.items()
        }
        made: type[BaseModel] = create_model(model.__name__, __base__=model, **aliases)
        return made

    def binding(self, path: str, returns: Returns) -> Binding:
        what = self._what
        if missing := self._in_path - self._texts["path"].keys():
            raise DeclarationError(
                f"{what}: {path} has {{{', '.join(sorted(missing))}}} but the function takes none"
            )
        sources = tuple(source for where in _ORDER if (source := self._source(where)) is not None)
        for source in sources:
            if source.where == "path" and set(source.names) != self._in_path:
                other = min(self._in_path - set(source.names))
                raise DeclarationError(
                    f"{what}: {{{other}}} has its name from the path and can have no alias"
                )
        who, optional = self._who or (None, False)
        return Binding(sources, self._body, who, optional, returns)

    def _source(self, where: Where) -> Source | None:
        fields, models = self._texts[where], self._models[where]
        if not fields and not models:
            return None
        texts = None
        if fields:
            try:
                texts = Parameters(
                    create_model(  # type: ignore[call-overload]
                        f"{self._function}_{where}", __config__=ConfigDict(extra="ignore"), **fields
                    )
                )
            except PydanticUserError as error:
                raise DeclarationError(f"{self._what}: {error.message}") from None
        readers = [(name, Parameters(model)) for name, model in models]
        names: dict[str, bool] = {}
        for reader in [*([texts] if texts else []), *(reader for _, reader in readers)]:
            for name, is_list in self._names(reader.model, fields if reader is texts else {}):
                if name in names:
                    raise DeclarationError(f"{self._what}: {name} of the {where} is declared twice")
                names[name] = is_list
        lists = frozenset(name for name, is_list in names.items() if is_list)
        return Source(where, texts, tuple(readers), tuple(names), lists)

    def _names(self, model: type[BaseModel], hints: dict[str, tuple[Any, Any]]) -> Iterable[tuple[str, bool]]:
        """The names of a model's parameters in a request, and whether each may be given several times. hints: the
        annotations as they were written, where they are known."""
        for name, info in model.model_fields.items():
            is_list = _is_list(hints[name][0] if name in hints else info.annotation)
            for alias in _aliases(name, info):
                if alias is None:
                    raise DeclarationError(f"{self._what}: {name} is one parameter and can have no AliasPath")
                yield alias, is_list


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _is_annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated


def _annotated(hint: Any, metadata: Sequence[Any]) -> Any:
    return Annotated[(hint, *metadata)] if metadata else hint


def _type_of(hint: Any) -> Any:
    """The type without what belongs to the parameter: its `Field` and its marker."""
    if not _is_annotated(hint):
        return hint
    plain, *metadata = get_args(hint)
    return _annotated(plain, [one for one in metadata if not isinstance(one, FieldInfo | Marker)])


def _is_list(hint: Any) -> bool:
    if _is_annotated(hint):
        return _is_list(get_args(hint)[0])
    return any(get_origin(member) in _LISTS or member in _LISTS for member in _members(hint)) or any(
        _is_list(member) for member in _members(hint) if _is_annotated(member)
    )


def _aliases(name: str, field: FieldInfo) -> list[str | None]:
    """The names of a parameter in a request; None for an AliasPath, which is not a name."""
    alias = field.validation_alias
    if alias is None:
        return [name]
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [None if isinstance(choice, AliasPath) else choice for choice in choices]


def _alias(field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else ""


def _aliased(field: FieldInfo, name: str) -> FieldInfo:
    return FieldInfo.merge_field_infos(field, validation_alias=name)


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
