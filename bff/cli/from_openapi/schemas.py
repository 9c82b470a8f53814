"""Makes Python types of a description's schemas: models of objects, `Literal` of enumerations, unions of alternatives.

A named schema is a definition with its name: a model, or an alias. An object inside another schema is a model that is
named after its location. Only what is used is defined.

The types say what the gateway has to know, not all that the service promises: lengths, patterns and ranges are left
out, because a value that breaks one of them can still be shown. A member that is not required, or that only one of
requests and answers has (`readOnly`, `writeOnly`), may be missing. An object has its declared members only; where the
description says `additionalProperties`, it has further ones, too.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from typing import Any

from .definitions import ANY, NONE, Definition, Member, Type
from .document import Document, Node
from .merging import STRUCTURE, explains_only, merged
from .naming import CLASSES, FIELDS, Names, capitalised, identifier, paragraphs, plain

MAX_DEPTH = 60
"""Schemas inside each other, without a name, at most."""

_TEXTS = {
    "date-time": "datetime.datetime",
    "date": "datetime.date",
    "time": "datetime.time",
    "duration": "datetime.timedelta",
    "uuid": "UUID",
    "decimal": "Decimal",
}
_SIMPLE = frozenset({"str", "int", "bool", "float"})


class Schemas:
    """The definitions of one file, made as they are used."""

    def __init__(self, document: Document, taken: Iterable[str]) -> None:
        self._document = document
        self._names = Names({*CLASSES, *taken})
        self._by_location: dict[str, Definition] = {}
        self.definitions: dict[str, Definition] = {}
        self.discriminators: set[str] = set()
        """Members that a union is read by; their fields keep their names."""
        self._open: list[Definition] = []
        self._depth = 0

    def type_of(self, schema: Any, hint: str, where: str) -> Type:
        """The type of a schema. hint: a name for an object in it that has none."""
        if isinstance(schema, bool) or schema is None:
            return ANY
        node = self._document.mapping(schema, where)
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                raise self._document.error(
                    where, f"more than {MAX_DEPTH} schemas inside each other; give some of them a name"
                )
            return self._type_of(node, hint, where)
        finally:
            self._depth -= 1

    def _type_of(self, node: Node, hint: str, where: str) -> Type:
        if "$ref" in node:
            if STRUCTURE.isdisjoint(node):
                return self._named(self._document.pointer(node, where), where)
            rest = {name: value for name, value in node.items() if name != "$ref"}
            if rest.keys() & STRUCTURE == {"nullable"}:
                found = self._named(self._document.pointer(node, where), where)
                return found.or_none() if rest["nullable"] is True else found
            node = {"allOf": [{"$ref": node["$ref"]}, rest]}
        if node.get("nullable") is True:
            rest = {name: value for name, value in node.items() if name != "nullable"}
            return self._type_of(rest, hint, where).or_none()
        if "allOf" in node:
            return self._all_of(node, hint, where)
        if "const" in node:
            return self._members([node["const"]], node)
        if isinstance(node.get("enum"), list):
            return self._members(node["enum"], node)
        for kind in ("oneOf", "anyOf"):
            if kind in node:
                return self._union(node, kind, hint, where)
        return self._by_type(node, hint, where)

    def _by_type(self, node: Node, hint: str, where: str) -> Type:
        kind = node.get("type")
        if isinstance(kind, list):
            if not kind:
                return ANY
            return Type.union(self._by_type({**node, "type": one}, hint, where) for one in kind)
        if kind is None:
            if "properties" in node or "additionalProperties" in node:
                kind = "object"
            elif "items" in node or "prefixItems" in node:
                kind = "array"
        match kind:
            case "string":
                return Type((_TEXTS.get(str(node.get("format")), "str"),))
            case "integer":
                return Type(("int",))
            case "number":
                return Type(("Decimal" if node.get("format") == "decimal" else "float",))
            case "boolean":
                return Type(("bool",))
            case "null":
                return NONE
            case "array":
                return self._array(node, hint, where)
            case "object":
                return self._object(node, hint, where)
            case None:
                return ANY
            case _:
                raise self._document.error(where, f"there is no type {plain(str(kind), 40)!r}")

    def _array(self, node: Node, hint: str, where: str) -> Type:
        first = self._document.items(node.get("prefixItems"), f"{where}/prefixItems")
        if first:
            if node.get("items") is not False and node.get("maxItems") != len(first):
                return Type(("list[Any]",))
            parts = [
                str(self.type_of(one, f"{hint}Item{number}", f"{where}/prefixItems/{number}"))
                for number, one in enumerate(first)
            ]
            return Type((f"tuple[{', '.join(parts)}]",))
        return Type((f"list[{self.type_of(node.get('items'), f'{hint}Item', f'{where}/items')}]",))

    def _object(self, node: Node, hint: str, where: str) -> Type:
        if not node.get("properties"):
            extra = self.type_of(
                node.get("additionalProperties", True), f"{hint}Value", f"{where}/additionalProperties"
            )
            return Type((f"dict[str, {extra}]",))
        made = self._define(hint)
        self._fill(made, node, where)
        return self._used(made)

    def _all_of(self, node: Node, hint: str, where: str) -> Type:
        parts = self._document.items(node["allOf"], f"{where}/allOf")
        if explains_only(node):
            return self.type_of(parts[0], hint, f"{where}/allOf/0")
        return self._type_of(merged(self._document, node, where), hint, where)

    def _union(self, node: Node, kind: str, hint: str, where: str) -> Type:
        listed = self._document.items(node[kind], f"{where}/{kind}")
        if node.get("properties"):
            # Members that all alternatives have, and which alternative it is shows in further ones.
            return self._object({"additionalProperties": True, **node}, hint, where)
        types = [
            self.type_of(one, f"{hint}{_title(one) or number}", f"{where}/{kind}/{number}")
            for number, one in enumerate(listed, 1)
        ]
        found = Type.union(types) if types else ANY
        name = self._document.mapping(node.get("discriminator"), f"{where}/discriminator").get("propertyName")
        models = tuple(one for one in found.alternatives if one != "None")
        if isinstance(name, str) and len(models) > 1 and self._tells(name, listed, models, where):
            self.discriminators.add(name)
            tagged = f"Annotated[{' | '.join(models)}, Field(discriminator={name!r})]"
            return Type((tagged, "None")) if "None" in found.alternatives else Type((tagged,))
        return found

    def _tells(self, name: str, listed: list[Any], models: tuple[str, ...], where: str) -> bool:
        """Whether the member `name` has other values in each of the models, so that pydantic can choose by it."""
        if len(listed) != len(models) or name in FIELDS or identifier(name, "") != name:
            return False
        seen: set[str] = set()
        for one, model in zip(listed, models, strict=True):
            schema = merged(self._document, one, where)
            definition = self.definitions.get(model)
            if (
                definition is None
                or definition.alias is not None
                or name not in (schema.get("required") or ())
            ):
                return False
            values = self._texts_of(self._document.mapping(schema["properties"], where).get(name), where)
            if not values or values & seen:
                return False
            seen |= values
        return True

    def _texts_of(self, schema: Any, where: str) -> set[str]:
        """The texts that an enumeration allows; none for anything else."""
        node = merged(self._document, schema, where) if isinstance(schema, dict) else {}
        values = [node["const"]] if "const" in node else node.get("enum")
        if not isinstance(values, list) or node.get("nullable") is True:
            return set()
        return set(values) if all(isinstance(value, str) for value in values) else set()

    def _members(self, values: list[Any], node: Node) -> Type:
        """A `Literal`; the type of the values where a Literal cannot hold them."""
        texts = [value for value in values if value is not None]
        none = ("None",) if len(texts) < len(values) else ()
        if not texts:
            return NONE if none else ANY
        if all(isinstance(value, str | int) for value in texts):
            written = dict.fromkeys(repr(value) for value in texts)
            return Type((f"Literal[{', '.join(written)}]", *none))
        if all(isinstance(value, int | float) for value in texts):
            return Type(("float", *none))
        return ANY

    # ---- definitions ------------------------------------------------------------------------------------------------

    def _named(self, pointer: str, where: str) -> Type:
        found = self._by_location.get(pointer)
        if found is not None:
            return self._used(found)
        schema = self._document.at(pointer)
        wanted = pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        made = Definition(self._names.new(identifier(wanted, "Model")))
        self._by_location[pointer] = made
        self.definitions[made.name] = made
        location, depth = f"#/{pointer}", self._depth
        # A name begins a new nesting; how deep names are nested is bounded by their number.
        self._open.append(made)
        self._depth = 0
        try:
            self._describe(made, schema, location)
        finally:
            self._open.pop()
            self._depth = depth
        return self._used(made)

    def _describe(self, made: Definition, schema: Any, location: str) -> None:
        node = self._document.mapping(schema, location) if not isinstance(schema, bool) else {}
        whole = node
        if "allOf" in node and not explains_only(node):
            whole = merged(self._document, node, location)
        is_model = (
            whole.get("type", "object") == "object"
            and bool(whole.get("properties"))
            and "nullable" not in whole
            and not {"$ref", "enum", "const"} & whole.keys()
        )
        made.notes = _notes(node)
        if is_model:
            choices = {"oneOf", "anyOf"} & whole.keys()
            self._fill(made, {"additionalProperties": True, **whole} if choices else whole, location)
            return
        found = self.type_of(schema, made.name, location)
        made.alias = ANY if found.alternatives == (made.name,) else found

    def _define(self, hint: str) -> Definition:
        wanted = capitalised(hint, "Model")
        # What has a name of its own may also be null: then the model in it needs another one.
        made = Definition(self._names.new(f"{wanted}Value" if wanted in self.definitions else wanted))
        self.definitions[made.name] = made
        return made

    def _used(self, definition: Definition) -> Type:
        if self._open:
            self._open[-1].uses.add(definition.name)
        return Type((definition.name,))

    def _fill(self, made: Definition, node: Node, where: str) -> None:
        """The members of a model."""
        made.notes = made.notes or _notes(node)
        required = self._document.items(node.get("required"), f"{where}/required")
        self._open.append(made)
        try:
            for name, schema in self._document.mapping(node["properties"], f"{where}/properties").items():
                location = f"{where}/properties/{name}"
                made.members.append(self._member(made.name, name, schema, name in required, location))
            extra = node.get("additionalProperties", False)
            if extra is not False:
                made.extra = self.type_of(extra, f"{made.name}Value", f"{where}/additionalProperties")
        finally:
            self._open.pop()

    def _member(self, model: str, name: str, schema: Any, required: bool, where: str) -> Member:
        hint = f"{model}{capitalised(name, 'Member')}"
        found = self.type_of(schema, hint, where)
        node = self._document.mapping(schema, where) if isinstance(schema, dict) else {}
        target = self._document.resolved(node, where)
        one_way = any(each.get(flag) is True for each in (node, target) for flag in ("readOnly", "writeOnly"))
        notes = plain(node.get("description"), 200)
        if required and not one_way:
            return Member(name, found, None, notes)
        default = self._default(node.get("default"), found)
        if default is None:
            return Member(name, found.or_none(), "None", notes)
        return Member(name, found, default, notes)

    def _default(self, value: Any, found: Type) -> str | None:
        """The source of a default, None where the type cannot have it."""
        written = repr(value)
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return None
        names = set(found.alternatives) - {"None"}
        if type(value).__name__ in names & _SIMPLE:
            return written
        if type(value) is int and "float" in names:
            return repr(float(value)) if abs(value) < 2**53 else None
        literal = next((one for one in names if one.startswith("Literal[")), None)
        if literal is None and len(names) == 1:
            alias = self.definitions.get(next(iter(names)))
            literal = str(alias.alias) if alias is not None and alias.alias is not None else None
        if literal and literal.startswith("Literal[") and isinstance(value, str | int):
            values = literal.removeprefix("Literal[").removesuffix("]")
            return written if written in _literals(values) else None
        return None


def _literals(values: str) -> set[str]:
    found = ast.parse(f"({values},)", mode="eval").body
    return {repr(one) for one in ast.literal_eval(found)}


def _title(schema: Any) -> str:
    title = schema.get("title") if isinstance(schema, dict) else None
    return capitalised(title, "") if isinstance(title, str) else ""


def _notes(node: Node) -> list[str]:
    return paragraphs(node.get("description"))
