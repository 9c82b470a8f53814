"""The codec of a type: reads JSON bytes into a value of the type, and writes a value as JSON bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, overload

from pydantic import BaseModel, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator, core_schema, to_jsonable_python

from . import leaves, schema
from .json_text import BOM, may_have_constants, parsed, refuse_constants, without_lone_surrogates
from .lazy import SERIALIZER, LazyModel, filled, lazy_of, spliced
from .projection import projection_of
from .raw import Raw, Splices
from .spelling import in_order, spelling

T = TypeVar("T")
_PLAIN = frozenset((str, int, bool, type(None)))
_MAX_CODECS = 4096
_codecs: dict[Any, Codec[Any]] = {}
_lazy_models: dict[type[BaseModel], LazyModel | None] = {}


class Codec(Generic[T]):
    """model: any type that pydantic can validate, or `Raw`. Its validators are made at the first use, or by `prepare`.

    For a type that pydantic does not support every method may raise pydantic's error.
    """

    __slots__ = (
        "_adapter",
        "_exact",
        "_floats",
        "_lazy",
        "_marks",
        "_quick",
        "_raw",
        "_serializer",
        "_validator",
        "model",
    )

    def __init__(self, model: Any) -> None:
        self.model = model
        self._raw = Raw in _members(model)
        self._lazy: LazyModel | None = None
        self._quick: Callable[[bytes], T] | None = None
        self._validator: SchemaValidator | None = None
        self._exact: SchemaValidator | None = None
        self._serializer: SchemaSerializer | None = None

    def prepare(self) -> None:
        """Make the validators and the serializer now, not at the first use."""
        self._adapter: TypeAdapter[T] = TypeAdapter(self.model)
        declared = self._adapter.core_schema
        # pydantic's JSON parser rounds a Decimal before a validator gets its digits.
        decimals = schema.mentions(declared, "decimal")
        self._floats = schema.mentions(declared, "float")
        self._marks = decimals or schema.mentions(declared, "any")
        given = schema.fitted(declared, "exact" if decimals else "quick", any_writer=any_out)
        # The validator and serializer of a model itself are not used: they were made from the unchanged schema.
        self._validator = SchemaValidator(given, None, False)
        self._serializer = SchemaSerializer(spliced(given, _lazy_model), SERIALIZER, False)
        # `X | None`, too: a body of null is read by the validator.
        models = [kind for kind in _members(self.model) if kind is not type(None)]
        if len(models) == 1 and isinstance(models[0], type) and issubclass(models[0], BaseModel):
            self._lazy = _lazy_model(models[0])
        if decimals:
            self._exact = self._validator
        elif not self._raw:
            self._quick = self._validator.validate_json

    def decode(self, body: bytes, replaced: Callable[[int], None] | None = None) -> T:
        """The value of a JSON text; a byte order mark before it is skipped. replaced: called with the number of lone
        surrogates that were replaced by U+FFFD, when there were any.

        Raises ValueError (pydantic's ValidationError is one), RecursionError.
        """
        if self._quick is not None and not may_have_constants(body):
            try:
                return self._quick(body)
            except ValidationError:
                # It may be one of the few texts that the quick validator refuses although they are valid.
                pass
        return self._carefully(body, replaced)

    def decode_lazily(self, body: bytes, replaced: Callable[[int], None] | None = None) -> T:
        """As `decode`, but a model whose body msgspec can check is filled at its first use (lazy.py)."""
        if self._validator is None and not self._raw:
            self.prepare()
        found: T | None = None if self._lazy is None else self._lazy.of(body)
        return self.decode(body, replaced) if found is None else found

    def _carefully(self, body: bytes, replaced: Callable[[int], None] | None) -> T:
        body = body.removeprefix(BOM)
        if self._raw:
            return self._read_raw(body)
        if self._validator is None:
            self.prepare()
        # Members that are not declared are ignored, but they have to be JSON.
        refuse_constants(body)
        body, lone = without_lone_surrogates(body)
        if lone and replaced is not None:
            replaced(lone)
        if self._quick is None:
            return self.of(parsed(body))
        try:
            return self._quick(body)
        except ValidationError as error:
            if (
                not self._floats
                or error.errors(include_url=False, include_context=False)[0]["type"] == "json_invalid"
            ):
                raise
        return self.of(parsed(body))

    def _read_raw(self, body: bytes) -> T:
        found: Any = Raw(body)
        if self.model is not Raw and body.strip() == b"null":
            found = None
        return found  # type: ignore[no-any-return]  # Raw is T here

    def of(self, tree: Any) -> T:
        """The value of a JSON text that `parsed` has read. Raises ValueError."""
        if self._validator is None:
            self.prepare()
        if self._exact is None:
            fitted = schema.fitted(self._adapter.core_schema, "exact", any_writer=any_out)
            self._exact = SchemaValidator(fitted, None, False)
        found: T = self._exact.validate_python(tree)
        return found

    def encode(
        self,
        value: T,
        *,
        include: set[str] | None = None,
        secrets: bool = False,
        exclude_unset: bool = False,
    ) -> bytes:
        """The value as JSON, members under their aliases. include: only these fields of a model; secrets: True writes
        secrets in plain text, default False: asterisks; exclude_unset: True leaves out fields that were never set.

        Raises ValueError when the value does not have the declared type, because it could then show more than was
        declared. Also for NaN and Infinity.
        """
        if self._serializer is None:
            self.prepare()
        if self._lazy is not None and include is None and not exclude_unset:
            body = self._lazy.passed_on(value)
            if body is not None:
                return body
        splices = Splices()
        splices.secrets = secrets
        splices.exclude_unset = exclude_unset
        written: bytes = self._serializer.to_json(  # type: ignore[union-attr]  # made by `prepare`
            value,
            by_alias=True,
            warnings="error",
            include=include,
            exclude_unset=exclude_unset,
            context=splices,
        )
        if may_have_constants(written):
            refuse_constants(written)
        if self._marks:
            written = leaves.unmarked(written)
        return splices.fill(written) if splices else written

    def tree(self, value: T, splices: Splices | None = None) -> Any:
        """The value as `encode` would print it, as Python values, with marks in place of what only bytes can hold."""
        if self._serializer is None:
            self.prepare()
        found: Any = self._serializer.to_python(  # type: ignore[union-attr]  # made by `prepare`
            value,
            mode="json",
            by_alias=True,
            warnings="error",
            exclude_unset=splices is not None and splices.exclude_unset,
            context=splices,
        )
        return found


class Parameters:
    """Reads the texts of a path or a query into a model; each text is written as in JSON, without quotes."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model
        fitted = schema.fitted(TypeAdapter(model).core_schema, "text", any_writer=any_out)
        self._validator = SchemaValidator(fitted, None, False)

    def read(self, given: dict[str, Any]) -> BaseModel:
        """given: a text, or a list of texts, by name. Raises pydantic's ValidationError."""
        found: BaseModel = self._validator.validate_python(given)
        return found


@overload
def codec_of(model: type[T]) -> Codec[T]: ...
@overload
def codec_of(model: Any) -> Codec[Any]: ...
def codec_of(model: Any) -> Codec[Any]:
    """The codec of a type, made once. After 4,096 types all codecs are dropped and made again when they are used."""
    key = model if isinstance(model, type) else _key(model)
    found = _codecs.get(key)
    if found is None:
        if len(_codecs) >= _MAX_CODECS:
            _codecs.clear()
        found = _codecs[key] = Codec(model)
    return found


def _members(model: Any) -> tuple[Any, ...]:
    return get_args(model) if get_origin(model) in (Union, UnionType) else (model,)


def _lazy_model(model: type[BaseModel]) -> LazyModel | None:
    """None for a model that msgspec cannot express. After 4,096 models all are dropped and made again."""
    if model not in _lazy_models:
        if len(_lazy_models) >= _MAX_CODECS:
            _lazy_models.clear()
        declared = TypeAdapter(model).core_schema
        projection = projection_of(declared)

        def decode(body: bytes) -> Any:
            return codec_of(model).decode(body)

        def serializer() -> SchemaSerializer:
            return SchemaSerializer(schema.fitted(declared, "quick", any_writer=any_out), SERIALIZER, False)

        _lazy_models[model] = None if projection is None else LazyModel(model, projection, decode, serializer)
    return _lazy_models[model]


def _key(model: Any) -> Any:
    """A key that is equal only for types that are read alike: `int | str` equals `str | int`, but reads differently."""
    if isinstance(model, type) and not get_args(model):
        return model
    parts = get_args(model)
    if get_origin(model) is None or not parts:
        return _hashable(model)
    return (get_origin(model), *map(_key, parts))


def _hashable(model: Any) -> Any:
    try:
        hash(model)
    except TypeError:
        return repr(model)
    return type(model), model


def any_out(value: Any, info: core_schema.SerializationInfo) -> Any:
    """A value without a declared type, as Python values of JSON's types."""
    return _plain(value, info.context)


def _plain(value: Any, splices: Any) -> Any:
    """splices: collects the bodies that are passed on whole."""
    kind = type(value)
    if kind in _PLAIN or kind is float:
        return value
    if kind is dict:
        return {_name(name): _plain(item, splices) for name, item in value.items()}
    if kind is list or kind is tuple:
        return [_plain(item, splices) for item in value]
    if isinstance(value, Decimal):
        return leaves.write_decimal(value)
    if isinstance(value, set | frozenset):
        return [_plain(item, splices) for item in in_order(value)]
    if isinstance(value, Enum):
        return _plain(value.value, splices)
    if isinstance(value, dict):
        return {_name(name): _plain(item, splices) for name, item in value.items()}
    if isinstance(value, Raw):
        return splices.put(value.body) if isinstance(splices, Splices) else value.value()
    if isinstance(value, SecretStr | SecretBytes):
        raise ValueError("a secret outside a model: it is unknown whether to write it in plain text")
    if isinstance(value, BaseModel) or dataclasses.is_dataclass(kind):
        return codec_of(type(filled(value))).tree(value, splices)
    return spelling(value) or value


def _name(name: Any) -> Any:
    return name if type(name) is str else text_of(name)


ANY: Codec[Any] = Codec(Any)


def encode(value: Any, *, secrets: bool = False, exclude_unset: bool = False) -> bytes:
    """A value as JSON, by its type: a model as it is declared, anything else as pydantic prints it. secrets: True
    writes the secrets of a model in plain text; exclude_unset: True leaves out the fields of models that were never
    set. Raises ValueError."""
    lazy = lazy_of(value)
    kind = type(value) if lazy is None else lazy.model
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(kind) and not isinstance(value, type)):
        declared: Codec[Any] = codec_of(kind)
        return declared.encode(value, secrets=secrets, exclude_unset=exclude_unset)
    return ANY.encode(value, exclude_unset=exclude_unset)


def text_of(value: Any) -> str:
    """One value as the text of a path or a query: as JSON prints it, without quotes. Raises ValueError for None, a
    list, an object, NaN, a secret, and bytes that are not UTF-8."""
    kind = type(value)
    if kind is str:
        text: str = value
    elif isinstance(value, Enum):
        return text_of(value.value)
    elif kind is bool:
        return "true" if value else "false"
    elif kind is int:
        return str(value)
    elif isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is not a number in JSON")
        return spelling(value) or str(value)
    elif isinstance(value, SecretStr | SecretBytes):
        raise ValueError("a secret cannot be written in a URL, because URLs are logged")
    else:
        known = spelling(value)
        if known is not None:
            return known
        found = to_jsonable_python(value, by_alias=True, inf_nan_mode="constants")
        if isinstance(found, str):
            text = found
        elif isinstance(found, bool | int):
            return text_of(found)
        elif isinstance(found, float):
            return ANY.encode(found).decode()
        else:
            raise ValueError(f"{kind.__name__} cannot be written in a URL")
    return text
