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
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from .dependencies import ARGUMENTS, Dependency, Depends, Resource, Resources, call, is_dependency
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
    dependencies  every function that it depends on, in the order in which they run
    bindings      how the request becomes the arguments of each of them
    uses          the parameters that are results of dependencies, with their positions
    resources     the parameters that are resources of the lifespan, with their types
    """

    sources: tuple[Source, ...]
    body: BodyParameter | None
    who: str | None
    who_optional: bool
    returns: Returns
    dependencies: tuple[Dependency, ...] = ()
    bindings: tuple[Binding, ...] = ()
    uses: Mapping[str, int] = field(default_factory=dict)
    resources: Mapping[str, type[Any]] = field(default_factory=dict)

    @property
    def codecs(self) -> list[Codec[Any]]:
        """The codecs of the result and the body."""
        models = [] if self.returns.is_empty else [self.returns.model]
        return [codec_of(model) for model in (models if self.body is None else [*models, self.body.type])]

    @property
    def all_sources(self) -> list[Source]:
        """Those of the function and of its dependencies."""
        return [*self.sources, *(source for binding in self.bindings for source in binding.sources)]

    @property
    def takes_principal(self) -> bool:
        """Whether the function or a dependency takes the principal."""
        return self.who is not None or any(binding.who is not None for binding in self.bindings)

    @property
    def needs_principal(self) -> str | None:
        """A parameter that needs a principal, of the function or a dependency; None: there is none."""
        return next((one.who for one in (self, *self.bindings) if one.who and not one.who_optional), None)

    @property
    def vary(self) -> list[str]:
        """The request's headers on which the function's result depends, in the order of their declarations."""
        sources = self.all_sources
        names = [name.title() for source in sources if source.where == "header" for name in source.names]
        cookies = ["Cookie"] if any(source.where == "cookie" for source in sources) else []
        return list(dict.fromkeys((*names, *cookies)))

    def check_resources(self, resources: Resources) -> None:
        """Raises DeclarationError for a resource that the lifespan does not yield."""
        for wanted in (self.resources, *(dependency.resources for dependency in self.dependencies)):
            for kind in wanted.values():
                resources.get(kind)

    async def call(
        self, function: Callable[..., Awaitable[Any]], arguments: dict[str, Any], resources: Resources
    ) -> Any:
        """Run the function with its arguments and everything that it depends on."""
        if not self.dependencies and not self.resources:
            return await function(**arguments)
        arguments.setdefault(ARGUMENTS, [])
        return await call(function, arguments, self.uses, self.resources, self.dependencies, resources)

    def arguments(self, scope: Scope, body: bytes | None, principal: Principal | None) -> dict[str, Any]:
        """Keyword arguments for the function; raises Problem 422 with pointers."""
        errors: list[dict[str, str]] = []
        values = self.own_arguments(scope, principal, errors)
        if self.bindings:
            values[ARGUMENTS] = [binding.own_arguments(scope, principal, errors) for binding in self.bindings]
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
        return values

    def own_arguments(
        self, scope: Scope, principal: Principal | None, errors: list[dict[str, str]]
    ) -> dict[str, Any]:
        """The arguments without the body; adds to `errors` what does not fit."""
        values: dict[str, Any] = {}
        for source in self.sources:
            values |= source.arguments(scope, errors)
        if self.who is not None:
            values[self.who] = principal
        return values


def binding(function: Callable[..., Any], path: str, what: str, *, body: bool) -> Binding:
    """Read the signature. `body`: whether this kind of route takes one. Raises DeclarationError by name."""
    if not inspect.iscoroutinefunction(function):
        raise DeclarationError(f"{what}: {function.__name__} must be `async def`")
    graph = _Graph(set(_PARAMETER.findall(path)), what)
    signature = _read(function, graph, body)
    missing = graph.in_path - graph.taken
    if missing:
        raise DeclarationError(
            f"{what}: {path} has {{{', '.join(sorted(missing))}}} but the function takes none"
        )
    found = signature.binding()
    return replace(found, dependencies=tuple(graph.dependencies), bindings=tuple(graph.bindings))


class _Graph:
    """The dependencies of one route, in the order in which they run. in_path: names in its path; taken: those of them
    that some function takes."""

    def __init__(self, in_path: set[str], what: str) -> None:
        self.in_path = in_path
        self.what = what
        self.taken: set[str] = set()
        self.dependencies: list[Dependency] = []
        self.bindings: list[Binding] = []
        self._positions: dict[Callable[..., Any], int] = {}
        self._reading: list[Callable[..., Any]] = []

    def position(self, function: Callable[..., Any]) -> int:
        """Where the dependency is; it is read at its first use."""
        if not is_dependency(function):
            raise DeclarationError(f"{self.what}: {function!r} is no function to depend on")
        if (known := self._positions.get(function)) is not None:
            return known
        if function in self._reading:
            raise DeclarationError(f"{self.what}: {function.__name__} depends on itself")
        self._reading.append(function)
        signature = _read(function, self, takes_body=False)
        self._reading.pop()
        self.dependencies.append(Dependency(function, signature.uses, signature.resources))
        self.bindings.append(signature.binding())
        self._positions[function] = position = len(self.dependencies) - 1
        return position


def _read(function: Callable[..., Any], graph: _Graph, takes_body: bool) -> _Signature:
    what = graph.what
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DeclarationError(f"{what}: an annotation cannot be resolved: {error}") from None
    if "return" not in hints:
        raise DeclarationError(f"{what}: annotate what {function.__name__} returns")
    signature = _Signature(function.__name__, graph, takes_body, hints["return"])
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise DeclarationError(f"{what}: parameter {name} must be an ordinary or keyword-only one")
        if name not in hints:
            raise DeclarationError(f"{what}: annotate parameter {name}")
        signature.add(name, hints[name], parameter.default)
    return signature


class _Signature:
    """The parameters of one function, sorted by where they come from."""

    def __init__(self, function: str, graph: _Graph, takes_body: bool, returns: Any) -> None:
        self._function = function
        self._graph = graph
        self._what = graph.what
        self._takes_body = takes_body
        self._returns = returns
        self.uses: dict[str, int] = {}
        self.resources: dict[str, type[Any]] = {}
        self._texts: dict[Where, dict[str, tuple[Any, Any]]] = {where: {} for where in _ORDER}
        self._models: dict[Where, list[tuple[str, type[BaseModel]]]] = {where: [] for where in _ORDER}
        self._body: BodyParameter | None = None
        self._who: tuple[str, bool] | None = None

    def add(self, name: str, hint: Any, default: Any) -> None:
        members = [member for member in _members(hint) if member is not type(None)]
        if members == [Principal]:
            self._who = (name, len(_members(hint)) > 1)
            return
        if (given := self._given(name, hint)) is not None:
            if isinstance(given, Depends):
                self.uses[name] = self._graph.position(given.function)
            else:
                self.resources[name] = self._resource(name, hint)
            return
        marker = self._marker(name, hint)
        if name in self._graph.in_path:
            self._graph.taken.add(name)
            if marker is not None:
                raise DeclarationError(f"{self._what}: {{{name}}} comes from the path, not from {marker!r}")
            self._texts["path"][name] = (hint, Field(...))
        elif isinstance(marker, Body) or (
            marker is None and self._takes_body and not self._is_text(name, hint)
        ):
            self._add_body(name, hint, default)
        else:
            self._add_parameter(name, hint, default, marker or Query())

    def _given(self, name: str, hint: Any) -> Depends | Resource | None:
        found = (
            [one for one in get_args(hint)[1:] if isinstance(one, Depends | Resource)]
            if _is_annotated(hint)
            else []
        )
        if len(found) > 1 or (found and self._marker(name, hint) is not None):
            raise DeclarationError(f"{self._what}: {name} can come from one place only")
        return found[0] if found else None

    def _resource(self, name: str, hint: Any) -> type[Any]:
        plain = get_args(hint)[0]
        kind = plain if len(_members(plain)) > 1 else get_origin(plain) or plain
        if not isinstance(kind, type):
            raise DeclarationError(
                f"{self._what}: {name} is a resource, so its type is one class, not {_shown(kind)}"
            )
        return kind

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
        for member, info in model.model_fields.items():
            if not self._is_text(f"{name}.{member}", _annotated(info.annotation, info.metadata)):
                raise DeclarationError(
                    f"{self._what}: {name}.{member} comes from the {where}, where no text expresses "
                    f"{_shown(info.annotation)}"
                )
        if where != "header":
            return model
        # Names of headers have dashes, and no upper case in ASGI.
        aliases: dict[str, Any] = {
            member: (info.annotation, _aliased(info, name_of(Header(_alias(info)), member, self._what)))
            for member, info in model.model_fields.items()
        }
        made: type[BaseModel] = create_model(model.__name__, __base__=model, **aliases)
        return made

    def binding(self) -> Binding:
        sources = tuple(source for where in _ORDER if (source := self._source(where)) is not None)
        for source in sources:
            if source.where == "path" and (other := set(source.names) - self._graph.in_path):
                raise DeclarationError(
                    f"{self._what}: {{{min(other)}}} is not in the path: a parameter of the path can have no alias"
                )
        who, optional = self._who or (None, False)
        returns = returns_of(self._returns, self._what)
        return Binding(sources, self._body, who, optional, returns, uses=self.uses, resources=self.resources)

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
