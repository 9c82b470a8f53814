"""Models that are filled when they are used: a view that only passes a part on never pays for its values.

`LazyModel.of` returns an instance of a subclass of the model. It holds the body and what msgspec has checked of it
(projection.py). The first use of any attribute, also by pydantic, `==`, `repr`, `copy` and `pickle`, reads the body
with the codec and turns the instance into one of the model itself. Only `type(value)` can tell the difference before.

An instance that was never used is printed from what msgspec has checked. `spliced` changes the schema of a screen so
that its serializer does this for the outermost models below the screen: in its fields, in the `data` of its parts, and
in lists of these.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import CoreConfig, CoreSchema, SchemaSerializer, core_schema

from .json_text import refuse_constants
from .projection import Projection
from .raw import Splices

Tree = dict[str, Any]

SERIALIZER: CoreConfig = {"ser_json_inf_nan": "constants"}
"""NaN and Infinity are printed as such, and then refused."""

_FILLING = threading.RLock()
_new = object.__new__
_set = object.__setattr__
# The place of private attributes holds the body: a lazy model has none, and every access from outside fills it first.
_held: Any = vars(BaseModel)["__pydantic_private__"]
_hold, _holds = _held.__set__, _held.__get__
_LazyType: Any = type("LazyType", (type(BaseModel),), {})


class LazyModel:
    """The lazy instances of one model. decode: reads a body as the codec does; serializer: prints the model."""

    __slots__ = ("_check", "_decode", "_kind", "_print", "_serializer", "model")

    def __init__(
        self,
        model: type[BaseModel],
        projection: Projection,
        decode: Callable[[bytes], Any],
        serializer: Callable[[], SchemaSerializer],
    ) -> None:
        self.model = model
        self._check = projection.check
        self._print = projection.printed
        self._decode = decode
        self._serializer: Callable[[], SchemaSerializer] | SchemaSerializer = serializer
        self._kind = _subclass(self)

    @property
    def serializer(self) -> SchemaSerializer:
        """Prints filled instances; it is made at the first use."""
        if not isinstance(self._serializer, SchemaSerializer):
            self._serializer = self._serializer()
        return self._serializer

    def of(self, body: bytes) -> Any:
        """An instance for the body; None when the codec has to read it."""
        found = self._check(body)
        if found is None:
            return None
        made = _new(self._kind)
        _hold(made, (body, found))
        return made

    def passed_on(self, value: Any) -> bytes | None:
        """The JSON of an instance that was never used; None for any other value."""
        if type(value) is not self._kind:
            return None
        held = _holds(value)
        return None if held is None else self._print(held[1])

    def fill(self, value: Any) -> None:
        """Turn a lazy instance into one of the model. Nothing happens to one that is filled."""
        with _FILLING:
            if type(value) is not self._kind:
                return
            whole = self._decode(_holds(value)[0])
            _set(value, "__dict__", whole.__dict__)
            _set(value, "__pydantic_fields_set__", whole.__pydantic_fields_set__)
            _set(value, "__pydantic_extra__", None)
            _hold(value, None)
            _set(value, "__class__", self.model)


def lazy_of(value: Any) -> LazyModel | None:
    """The maker of a lazy instance that was not used yet; None for any other value."""
    kind = type(value)
    found: LazyModel | None = kind.bff_lazy if type(kind) is _LazyType else None
    return found


def filled(value: Any) -> Any:
    """The same value, filled if it is lazy."""
    found = lazy_of(value)
    if found is not None:
        found.fill(value)
    return value


def _subclass(maker: LazyModel) -> type[Any]:
    model, fill = maker.model, maker.fill

    def attribute(self: Any, name: str) -> Any:
        if name == "__class__":
            # `isinstance` asks every value for it.
            return model
        fill(self)
        return getattr(self, name)

    # `copy.copy` looks for this in the class. All other methods of a model begin with an attribute of the instance.
    def copied(self: Any) -> Any:
        fill(self)
        return copy.copy(self)

    names = {
        "__slots__": (),
        "__module__": model.__module__,
        "__qualname__": model.__qualname__,
        "__doc__": model.__doc__,
        "__getattribute__": attribute,
        "__copy__": copied,
        "bff_lazy": maker,
    }
    # Pydantic's metaclass would build another model, with validators of its own.
    made: type[Any] = type.__new__(_LazyType, model.__name__, (model,), names)
    return made


# ---- in a screen ---------------------------------------------------------------------------------------------------


def spliced(schema: CoreSchema, maker: Callable[[type[BaseModel]], LazyModel | None]) -> CoreSchema:
    """The schema of a screen, changed where lazy models may be. maker: of a model that can be lazy, else None."""
    found: Any = _Splicing(cast(Tree, schema), maker).root()
    return cast(CoreSchema, found)


class _Splicing:
    def __init__(self, schema: Tree, maker: Callable[[type[BaseModel]], LazyModel | None]) -> None:
        self._schema = schema
        self._maker = maker
        self._definitions: dict[str, Tree] = {}
        self._changed: dict[str, Tree] = {}
        if schema["type"] == "definitions":
            self._definitions = {one["ref"]: one for one in schema["definitions"]}

    def root(self) -> Tree:
        schema = self._schema
        if schema["type"] != "definitions":
            return self._screen(schema)
        made = self._screen(schema["schema"])
        definitions = [self._changed.get(one["ref"], one) for one in schema["definitions"]]
        return {**schema, "schema": made, "definitions": definitions}

    def _screen(self, schema: Tree) -> Tree:
        kind = schema["type"]
        if kind == "definition-ref":
            return self._reference(schema, self._screen)
        if kind in ("function-after", "function-before", "function-wrap") and "serialization" not in schema:
            return {**schema, "schema": self._screen(schema["schema"])}
        return self._fields(schema) if kind == "model" else self._position(schema)

    def _fields(self, schema: Tree) -> Tree:
        """A model whose fields are positions."""
        fields = schema["schema"]
        if fields["type"] != "model-fields" or "serialization" in schema:
            return schema
        made = {
            name: {**one, "schema": self._position(one["schema"])} if "serialization" not in one else one
            for name, one in fields["fields"].items()
        }
        return {**schema, "schema": {**fields, "fields": made}}

    def _position(self, schema: Tree) -> Tree:
        """A position in the screen where a lazy model may be."""
        kind = schema["type"]
        if "serialization" in schema:
            return schema
        if kind in ("nullable", "default"):
            return {**schema, "schema": self._position(schema["schema"])}
        if kind == "tagged-union":
            choices = {tag: self._choice(one) for tag, one in schema["choices"].items()}
            return {**schema, "choices": choices}
        model = self._model(schema)
        if model is not None:
            return {**schema, "serialization": _in_json(_one_writer(model))}
        if kind == "definition-ref":
            return self._reference(schema, self._position)
        if kind == "list" and "items_schema" in schema:
            model = self._model(schema["items_schema"])
            if model is None:
                return {**schema, "items_schema": self._position(schema["items_schema"])}
            plain: Tree = {"type": "list", "items_schema": schema["items_schema"]}
            if self._definitions:
                plain = {"type": "definitions", "schema": plain, "definitions": [*self._definitions.values()]}
            return {**schema, "serialization": _in_json(_list_writer(model, plain))}
        return schema

    def _choice(self, schema: Tree) -> Tree:
        """A choice that may be a part, `Ready[T]` or `Stale[T]`: these are generic."""
        if schema["type"] == "definition-ref":
            return self._reference(schema, self._choice)
        if schema["type"] == "model" and schema.get("generic_origin") is not None:
            return self._fields(schema)
        return schema

    def _reference(self, schema: Tree, change: Callable[[Tree], Tree]) -> Tree:
        name = schema["schema_ref"]
        if name not in self._changed and name in self._definitions:
            self._changed[name] = self._definitions[name]
            self._changed[name] = change(self._definitions[name])
        return schema

    def _model(self, schema: Tree) -> LazyModel | None:
        if schema["type"] == "definition-ref":
            schema = self._definitions.get(schema["schema_ref"], schema)
        return self._maker(schema["cls"]) if schema["type"] == "model" else None


def _in_json(writer: Callable[[Any, core_schema.SerializationInfo], Any]) -> Tree:
    made: Any = core_schema.plain_serializer_function_ser_schema(writer, info_arg=True, when_used="json")
    return cast(Tree, made)


def _one_writer(model: LazyModel) -> Callable[[Any, core_schema.SerializationInfo], Any]:
    def write(value: Any, info: core_schema.SerializationInfo) -> Any:
        splices = info.context
        if not isinstance(splices, Splices):
            return _tree(model.serializer, value)
        return splices.put(_one(model, value, splices))

    return write


def _list_writer(model: LazyModel, schema: Tree) -> Callable[[Any, core_schema.SerializationInfo], Any]:
    serializer = SchemaSerializer(cast(CoreSchema, schema), SERIALIZER, False)

    def write(value: Any, info: core_schema.SerializationInfo) -> Any:
        splices = info.context
        if not isinstance(splices, Splices):
            return _tree(serializer, value)
        if type(value) is not list or all(lazy_of(item) is None for item in value):
            return splices.put(_text(serializer, value, splices))
        return splices.put(b"[" + b",".join([_one(model, item, splices) for item in value]) + b"]")

    return write


def _one(model: LazyModel, value: Any, splices: Splices) -> bytes:
    body = None if splices.exclude_unset else model.passed_on(value)
    if body is not None:
        return body
    if value is not None and not isinstance(value, model.model):
        raise TypeError(f"declared as {model.model.__name__}, but it is {type(value).__name__}")
    return _text(model.serializer, filled(value), splices)


def _text(serializer: SchemaSerializer, value: Any, splices: Splices) -> bytes:
    """Raises ValueError, as `Codec.encode` does."""
    written = serializer.to_json(
        value, by_alias=True, warnings="error", exclude_unset=splices.exclude_unset, context=splices
    )
    refuse_constants(written)
    return written


def _tree(serializer: SchemaSerializer, value: Any) -> Any:
    return serializer.to_python(filled(value), mode="json", by_alias=True, warnings="error")
