"""The quick way of a model from JSON to JSON: msgspec checks a body and prints the declared members, without pydantic.

`projection_of` compiles the schema of a model to a `msgspec.Struct`, where msgspec can express exactly what the codec
does: text, integers, floats, booleans, lists, objects with any names, nested models, `X | None`, literals and enums of
text, aliases, plain defaults and `extra="ignore"` or `"forbid"`. Every other model has no projection.

Guarantee: what `check` accepts, the codec accepts too, and `printed` gives the bytes that the codec prints for the
value that it reads. `check` refuses whatever may differ; the codec then decides. tests/unit/calls/test_projection.py
compares both over generated models and texts.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from .leaves import EXACT

Tree = dict[str, Any]

_DEPTH = 200
"""Levels of nesting that pydantic's parser reads; msgspec reads more in members that are not declared."""
_DIGITS = 4_000
"""From about this many digits on pydantic's parser refuses a number; msgspec skips any."""
_STEP = _DIGITS // 16
_LONG_NUMBER = re.compile(rb"[0-9]{15}")
# An integer from 2^53 on may have been rounded. The codec then looks at its digits.
_FLOAT = Annotated[float, msgspec.Meta(gt=-float(EXACT), lt=float(EXACT))]
_SYNTAX = SchemaValidator(core_schema.typed_dict_schema({}, extra_behavior="ignore"))
_SCALARS: dict[str, tuple[Any, type[Any]]] = {
    "str": (str, str),
    "int": (int, int),
    "bool": (bool, bool),
    "float": (_FLOAT, float),
}
_ENCODER = msgspec.json.Encoder()


class Projection:
    """model: the struct of the model."""

    __slots__ = ("_decode", "_decode_declared", "_skips")

    def __init__(self, model: Any, declared: Any) -> None:
        """declared: the same struct, which refuses members that are not declared."""
        self._decode = msgspec.json.Decoder(model).decode
        self._decode_declared = msgspec.json.Decoder(declared).decode
        self._skips = False

    def check(self, body: bytes) -> msgspec.Struct | None:
        """The body's declared members, for `printed`. None: this body needs the codec."""
        found: msgspec.Struct
        try:
            if not self._skips:
                try:
                    # Without members to skip msgspec checks every byte.
                    found = self._decode_declared(body)
                    return found
                except msgspec.ValidationError:
                    pass
            found = self._decode(body)
        except (ValueError, RecursionError):
            return None
        if not _is_plain(body):
            return None
        self._skips = True
        return found

    @staticmethod
    def printed(found: msgspec.Struct) -> bytes:
        """The declared members in the declared order."""
        return _ENCODER.encode(found)


def _is_plain(body: bytes) -> bool:
    """Whether the members that msgspec skips are JSON for pydantic's parser, too."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return False
    long = len(body) >= _DIGITS and _LONG_NUMBER.search(body[::_STEP]) is not None
    if not long and (len(body) < 2 * _DEPTH or body.count(b"{") + body.count(b"[") < _DEPTH):
        return True
    try:
        _SYNTAX.validate_json(body)
    except ValueError:
        return False
    return True


def projection_of(schema: CoreSchema) -> Projection | None:
    """schema: of pydantic, as the model declares it. None: msgspec cannot express it exactly."""
    root: Any = schema
    try:
        made, declared = (_Compiler(root, closed=closed).root() for closed in (False, True))
        found = Projection(made, declared)
    except (_Inexpressible, TypeError, ValueError, RecursionError):
        # msgspec raises the second and third, for example for an alias with a quote in it.
        return None
    return found


class _Inexpressible(Exception):
    """msgspec cannot express this schema, or it could differ."""


class _Compiler:
    """closed: undeclared members are refused, also where the model ignores them."""

    def __init__(self, schema: Tree, *, closed: bool) -> None:
        self._schema = schema
        self._closed = closed
        self._definitions: dict[str, Tree] = {}
        if schema["type"] == "definitions":
            self._definitions = {one["ref"]: one for one in schema["definitions"]}
            self._schema = schema["schema"]
        self._made: dict[str, Any] = {}

    def root(self) -> Any:
        schema = self._schema
        if schema["type"] == "definition-ref":
            schema = self._definitions[schema["schema_ref"]]
        if schema["type"] != "model":
            raise _Inexpressible
        return self._type(schema)

    def _type(self, schema: Tree) -> Any:
        kind = schema["type"]
        if kind == "definition-ref":
            return self._reference(schema)
        if kind == "model":
            return self._struct(schema)
        if kind in _SCALARS:
            _only(schema, "strict")
            if schema.get("strict") is False:
                raise _Inexpressible
            return _SCALARS[kind][0]
        if kind == "nullable":
            _only(schema, "schema")
            return self._type(schema["schema"]) | None
        if kind == "literal":
            _only(schema, "expected")
            if any(type(word) is not str for word in schema["expected"]):
                raise _Inexpressible
            return Literal[tuple(schema["expected"])]
        if kind == "enum":
            _only(schema, "cls", "members", "sub_type")
            return Literal[tuple(map(_word, schema["members"]))]
        if kind == "list":
            _only(schema, "items_schema")
            return list[self._type(schema["items_schema"])]  # type: ignore[misc]  # a type made here
        if kind == "dict":
            _only(schema, "keys_schema", "values_schema")
            _only(schema["keys_schema"])
            if schema["keys_schema"]["type"] != "str":
                raise _Inexpressible
            return dict[str, self._type(schema["values_schema"])]  # type: ignore[misc]  # a type made here
        raise _Inexpressible

    def _reference(self, schema: Tree) -> Any:
        _only(schema, "schema_ref")
        name = schema["schema_ref"]
        if name not in self._made:
            self._made[name] = None
            self._made[name] = self._type(self._definitions[name])
        if self._made[name] is None:
            # It contains itself.
            raise _Inexpressible
        return self._made[name]

    def _struct(self, schema: Tree) -> Any:
        _only(schema, "cls", "config", "custom_init", "root_model", "schema", "generic_origin", "frozen")
        config = schema.get("config", {})
        fields = schema["schema"]
        if (
            schema.get("custom_init")
            or schema.get("root_model")
            or schema.get("frozen")
            or schema.get("generic_origin") is not None
            or not is_plain_model(schema["cls"])
            or not config.keys() <= {"title", "extra_fields_behavior"}
            or fields["type"] != "model-fields"
            or fields.get("computed_fields")
        ):
            raise _Inexpressible
        _only(fields, "fields", "model_name", "computed_fields", "extra_behavior")
        extra = fields.get("extra_behavior", config.get("extra_fields_behavior", "ignore"))
        if extra not in ("ignore", "forbid") or not fields["fields"]:
            raise _Inexpressible
        members, names = [], {}
        for number, (field, declared) in enumerate(fields["fields"].items()):
            _only(declared, "schema", "validation_alias", "serialization_alias")
            name = declared.get("validation_alias", field)
            if type(name) is not str or declared.get("serialization_alias", field) != name:
                raise _Inexpressible
            names[f"field_{number}"] = name
            members.append(self._member(f"field_{number}", declared["schema"]))
        return msgspec.defstruct(
            schema["cls"].__name__,
            members,
            rename=names,
            kw_only=True,
            forbid_unknown_fields=self._closed or extra == "forbid",
        )

    def _member(self, name: str, schema: Tree) -> Any:
        if schema["type"] != "default":
            return name, self._type(schema)
        _only(schema, "schema", "default", "default_factory", "default_factory_takes_data")
        inner = schema["schema"]
        if "default_factory" in schema:
            if schema["default_factory"] not in (list, dict) or schema.get("default_factory_takes_data"):
                raise _Inexpressible
            default: Any = schema["default_factory"]()
        else:
            default = schema["default"]
        if not self._fits(default, inner):
            raise _Inexpressible
        return name, self._type(inner), _word(default) if isinstance(default, Enum) else default

    def _fits(self, default: Any, schema: Tree) -> bool:
        """Whether a default, which pydantic does not check, has the declared type."""
        kind = schema["type"]
        if kind == "definition-ref":
            return self._fits(default, self._definitions[schema["schema_ref"]])
        if kind == "nullable":
            return default is None or self._fits(default, schema["schema"])
        if kind in ("list", "dict"):
            return not default and type(default) is (list if kind == "list" else dict)
        if kind == "literal":
            return type(default) is str and default in schema["expected"]
        if kind == "enum":
            return type(default) is schema["cls"]
        if kind not in _SCALARS or type(default) is not _SCALARS[kind][1]:
            return False
        if kind == "float":
            return bool(-EXACT < default < EXACT)
        # A surrogate is not printable either.
        return not isinstance(default, str) or default.isprintable()


def _word(member: Enum) -> str:
    """The text that stands for a member of an enum."""
    value = member.value
    if type(value) is not str or (isinstance(member, str) and str.__str__(member) != value):
        raise _Inexpressible
    return value


def _only(schema: Tree, *names: str) -> None:
    """Raises _Inexpressible for a schema that says more than these: a limit, a serializer."""
    if not schema.keys() <= {"type", "metadata", "ref", *names}:
        raise _Inexpressible


def is_plain_model(model: Any) -> bool:
    """Whether nothing but its fields says what the model does: it has no methods with special names, no private
    attributes, no slots, no base class with fields, and it is not generic."""
    if type(model) is not type(BaseModel) or model.__private_attributes__ or model.__pydantic_root_model__:
        return False
    for kind in model.__mro__:
        if kind is BaseModel:
            return True
        fields = getattr(kind, "__pydantic_fields__", None)
        if fields is None or not issubclass(kind, BaseModel) or (kind is not model and fields):
            return False
        if any(_is_special(name, value) for name, value in vars(kind).items()):
            return False
    return False


def _is_special(name: str, value: Any) -> bool:
    if name in ("model_post_init", "__slots__"):
        return True
    if name in ("__annotate__", "__annotate_func__"):
        return False
    made = callable(value) or isinstance(value, classmethod | staticmethod | property)
    return name.startswith("__") and not name.startswith("__pydantic") and made
