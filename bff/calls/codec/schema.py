"""Changes a pydantic schema so that values pass through it unchanged.

`fitted` takes the core schema of any type that pydantic supports and returns a copy with these differences:

- Every scalar must have its JSON type, also where the model is not declared strict. An explicit `strict=False` on a
  field, or `coerce_numbers_to_str`, still applies.
- Values that JSON holds as text (times, UUIDs, addresses, paths) remember how they were written; a set remembers its
  order.
- Floats are finite, and no integer is rounded to a float. Decimals keep all their digits in both directions.
- `Any`, and members that are not declared (`extra="allow"`), contain finite numbers only.

Serializers declared by the user are not changed. The schema is for one of three readers:

quick  pydantic's JSON parser, which is fast and rounds: it refuses every float that may have been an integer too large
       for a float
exact  the values that `json_text.parsed` returns, without any loss
text   the texts of a path or a query, each written as in JSON, without quotes
"""

from __future__ import annotations

import ipaddress
import pathlib
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

from pydantic_core import CoreConfig, CoreSchema, core_schema

from . import leaves
from .spelling import in_order, ordered, ordered_frozen

Tree = dict[str, Any]
AnyWriter: TypeAlias = Callable[[Any, core_schema.SerializationInfo], Any]
For: TypeAlias = Literal["quick", "exact", "text"]

_TEXT = {
    "datetime": "a date and time in text (RFC 3339)",
    "date": "a date in text (RFC 3339)",
    "time": "a time in text (RFC 3339)",
    "timedelta": "a duration in text (ISO 8601)",
    "uuid": "a UUID in text",
    "complex": "a complex number in text",
}
_STRICT = ("str", "int", "float", "bool", "bytes")
# Keys under which a schema contains other schemas.
_CHILDREN = (
    "schema",
    "items_schema",
    "keys_schema",
    "values_schema",
    "extras_schema",
    "extras_keys_schema",
    "choices",
    "fields",
    "computed_fields",
    "steps",
    "definitions",
    "arguments_schema",
    "var_args_schema",
    "var_kwargs_schema",
    "return_schema",
    "serialization",
)
_SECRET = core_schema.plain_serializer_function_ser_schema(
    leaves.write_secret, info_arg=True, when_used="json-unless-none"
)
_LIMITS = frozenset(("gt", "ge", "lt", "le"))


def fitted(schema: CoreSchema, reader: For, *, any_writer: AnyWriter) -> CoreSchema:
    """The changed schema for this reader. any_writer: prints a value without a declared type, for example of `Any`."""
    found: Any = _Fitting(reader, any_writer).fit(dict(schema), {})
    return cast(CoreSchema, found)


def mentions(schema: object, kind: str) -> bool:
    """Whether a schema contains a schema of this type at any depth."""
    if isinstance(schema, dict):
        return schema.get("type") == kind or any(mentions(schema[key], kind) for key in _inside(schema))
    if isinstance(schema, list | tuple):
        return any(mentions(part, kind) for part in schema)
    return False


def _inside(schema: Tree) -> list[str]:
    if isinstance(schema.get("type"), str):
        return [key for key in (*_CHILDREN, *_BRANCHES) if key in schema]
    return list(schema)


_BRANCHES = ("json_schema", "python_schema", "lax_schema", "strict_schema")


class _Fitting:
    def __init__(self, reader: For, any_writer: AnyWriter) -> None:
        self._for = reader
        self._any = core_schema.plain_serializer_function_ser_schema(
            any_writer, info_arg=True, when_used="json"
        )

    def fit(self, schema: Tree, config: Tree) -> Tree:
        """config: the pydantic config of the model around it."""
        kind = schema["type"]
        if _is_secret(schema):
            schema = {**schema, "serialization": _SECRET}
        if kind in ("json-or-python", "lax-or-strict"):
            return self._branch(schema, config)
        if kind in ("model", "dataclass", "typed-dict"):
            return self._model(schema, config)
        if kind in _TEXT:
            return self._text(schema, schema, config, _TEXT[kind])
        if kind == "function-wrap" and schema["schema"]["type"] in ("url", "multi-host-url"):
            return self._text(schema, schema, config, "a URL in text", printed=str)
        if kind in ("set", "frozenset"):
            return self._set(schema, config)
        if kind in ("enum", "literal"):
            return self._members(schema)
        if kind == "any":
            return self._anything(schema)
        if kind == "decimal":
            return self._decimal(schema, config)
        if kind == "float":
            return self._float(schema)
        made = self._children(schema, config)
        if kind in _STRICT:
            if kind != "str" or not config.get("coerce_numbers_to_str"):
                made.setdefault("strict", True)
            if self._for == "text" and kind in ("int", "bool") and made["strict"]:
                return _before(leaves.read_scalar_text, made)
        elif kind == "dict":
            made["strict"] = False
            keys = schema.get("keys_schema", {"type": "any"})
            if keys["type"] not in ("str", "any") and not (
                keys["type"] in ("enum", "literal") and _is_text(keys)
            ):
                names: Any = {"type": "dict", "keys_schema": keys, "strict": False}
                made["keys_schema"] = _wrap(leaves.key_reader(names, _core(config)), keys)
        elif "strict" in made:
            made["strict"] = False
        return made

    def _children(self, schema: Tree, config: Tree) -> Tree:
        made = {name: value for name, value in schema.items() if name != "metadata"}
        for key in _CHILDREN:
            if key in made:
                made[key] = self._each(made[key], config)
        return made

    def _each(self, found: Any, config: Tree) -> Any:
        if isinstance(found, list):
            return [self._each(part, config) for part in found]
        if isinstance(found, tuple):
            return tuple(self._each(part, config) for part in found)
        if not isinstance(found, dict):
            return found
        kind = found.get("type")
        if not isinstance(kind, str):
            return {name: self._each(part, config) for name, part in found.items()}
        if kind == "any" and set(found) <= {"type", "when_used"} and "when_used" in found:
            return self._any
        return self.fit(found, config)

    def _branch(self, schema: Tree, config: Tree) -> Tree:
        """For a type that reads JSON and Python values in different ways: the way for JSON, with strict types."""
        kind = "json_schema" if schema["type"] == "json-or-python" else "strict_schema"
        inner = schema[kind]
        made: Tree
        python = inner.get("python_schema", schema.get("python_schema", {}))
        if python.get("type") == "is-instance" and _is_text_class(python["cls"]):
            leaf = inner.get("json_schema", inner)
            made = self._text(leaf, {**leaf, **_only(schema, "serialization")}, config, "text", printed=str)
        else:
            made = self.fit({**inner, **_only(schema, "serialization")}, config)
        return made | _only(schema, "ref")

    def _model(self, schema: Tree, config: Tree) -> Tree:
        config = dict(schema.get("config") or config)
        made = self._children(schema, config)
        config.pop("strict", None)
        config["ser_json_inf_nan"] = "constants"
        made["config"] = config
        if "strict" in made:
            made["strict"] = False
        fields = made
        while isinstance(fields.get("schema"), dict) and fields["type"] != "model-fields":
            fields = fields["schema"]
        extra = fields.get("extra_behavior", config.get("extra_fields_behavior"))
        if (
            extra == "allow"
            and fields["type"] in ("model-fields", "typed-dict")
            and "extras_schema" not in fields
        ):
            fields["extras_schema"] = self._anything({"type": "any"})
        return made

    def _text(
        self,
        leaf: Tree,
        schema: Tree,
        config: Tree,
        what: str,
        printed: Callable[[Any], object] | None = None,
    ) -> Tree:
        bare = {name: value for name, value in leaf.items() if name not in ("metadata", "ref", "strict")}
        if leaf.get("strict") is False:
            # Set explicitly: types other than text are read as well, and printed in the form of the type.
            return dict(schema)
        plain: Any = _without_user_serializer(bare)
        reader = leaves.text_reader(plain, _core(config), what, printed, exact=self._for != "quick")
        made = _wrap(reader, dict(leaves.AS_TEXT))
        if _is_own(schema.get("serialization")):
            inner = {**bare, **_only(schema, "serialization")}
            made["serialization"] = core_schema.wrap_serializer_function_ser_schema(
                leaves.text_writer, schema=inner, when_used="json"
            )
        else:
            made["serialization"] = schema["serialization"]
        return made | _only(schema, "ref")

    def _set(self, schema: Tree, config: Tree) -> Tree:
        items: Any = self._each(schema.get("items_schema", {"type": "any"}), config)
        listed: Tree = {"type": "list", "items_schema": items, "strict": False}
        listed |= _only(schema, "min_length", "max_length", "fail_fast")
        made: Tree = {
            "type": "function-after",
            "function": {
                "type": "no-info",
                "function": ordered if schema["type"] == "set" else ordered_frozen,
            },
            "schema": listed,
            "serialization": schema.get("serialization")
            or core_schema.plain_serializer_function_ser_schema(
                in_order,
                return_schema={"type": "list", "items_schema": items},
                when_used="json",
            ),
        }
        return made | _only(schema, "ref")

    def _members(self, schema: Tree) -> Tree:
        made = {name: value for name, value in schema.items() if name != "metadata"}
        members = list(schema.get("members") or schema.get("expected", ()))
        reader = leaves.member_reader(members, in_text=self._for == "text")
        if reader is None:
            return made
        made.pop("ref", None)
        made.pop("strict", None)
        return _wrap(reader, made) | _only(schema, "ref")

    def _anything(self, schema: Tree) -> Tree:
        bare: Tree = {"type": "any", "serialization": schema.get("serialization") or self._any}
        function = leaves.read_any if self._for == "quick" else leaves.read_exact_any
        return _after(function, bare) | {"serialization": bare["serialization"]} | _only(schema, "ref")

    def _decimal(self, schema: Tree, config: Tree) -> Tree:
        bare = {name: value for name, value in schema.items() if name not in ("metadata", "ref", "strict")}
        plain = {name: value for name, value in bare.items() if name != "serialization"}
        made = _wrap(leaves.decimal_reader(cast(CoreSchema, plain), _core(config)), bare)
        made["serialization"] = schema.get(
            "serialization"
        ) or core_schema.plain_serializer_function_ser_schema(leaves.write_decimal, when_used="json")
        return made | _only(schema, "ref")

    def _float(self, schema: Tree) -> Tree:
        bare = {name: value for name, value in schema.items() if name not in ("metadata", "ref")}
        bare["allow_inf_nan"] = False
        bare.setdefault("strict", True)
        if self._for == "exact":
            made = _before(leaves.read_float, bare)
        elif self._for == "text":
            made = _before(leaves.read_float_text, bare) if bare["strict"] else bare
        elif _LIMITS.isdisjoint(bare):
            made = bare | {"gt": -float(leaves.EXACT), "lt": float(leaves.EXACT)}
        else:
            limit = {"type": "float", "gt": -float(leaves.EXACT), "lt": float(leaves.EXACT)}
            made = {"type": "chain", "steps": [bare, limit]} | _only(bare, "serialization")
        return made | _only(schema, "ref")


def _core(config: Tree) -> CoreConfig | None:
    return cast(CoreConfig, config) if config else None


def _is_secret(schema: Tree) -> bool:
    function = schema.get("serialization", {}).get("function")
    return getattr(function, "__name__", "") == "_serialize_secret_field"


def _only(schema: Tree, *names: str) -> Tree:
    return {name: schema[name] for name in names if name in schema}


def _wrap(function: Callable[[Any, Any], Any], schema: Tree) -> Tree:
    return {
        "type": "function-wrap",
        "function": {"type": "no-info", "function": function},
        "schema": schema,
    }


def _before(function: Callable[[Any], Any], schema: Tree) -> Tree:
    return {
        "type": "function-before",
        "function": {"type": "no-info", "function": function},
        "schema": schema,
    } | _only(schema, "serialization")


def _after(function: Callable[[Any], Any], schema: Tree) -> Tree:
    return {
        "type": "function-after",
        "function": {"type": "no-info", "function": function},
        "schema": schema,
    }


def _is_text(schema: Tree) -> bool:
    return leaves.member_reader(list(schema.get("members") or schema.get("expected", ()))) is None


def _is_text_class(cls: Any) -> bool:
    return isinstance(cls, type) and (
        cls.__module__ == ipaddress.__name__ or issubclass(cls, pathlib.PurePath)
    )


def _is_own(serialization: Tree | None) -> bool:
    """Whether a type is printed by pydantic's own serializer, not by one that the model declares."""
    if serialization is None:
        return True
    function = serialization.get("function")
    return str(getattr(function, "__module__", "")).startswith("pydantic.") and not serialization.get(
        "is_field_serializer"
    )


def _without_user_serializer(schema: Tree) -> Tree:
    if _is_own(schema.get("serialization")):
        return schema
    return {name: value for name, value in schema.items() if name != "serialization"}
