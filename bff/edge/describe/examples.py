"""An example of what a JSON schema describes, for the pages of a gateway.

What the schema itself gives comes first: `examples`, `const`, `default`, the first of an `enum`. Otherwise the smallest
value of the type is made, with every member of an object. It fits the schema, except where a `pattern` has no example:
then it is a plain text. Bounded: deeper than `DEPTH` an optional member and an item are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .components import Schema

DEPTH = 6
_TEXTS: Mapping[str, str] = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT5M",
    "uuid": "3f2b8c1e-6d4a-4c59-9b7e-1a2b3c4d5e6f",
    "uri": "https://example.org/",
    "uri-reference": "/docs/problems",
    "email": "ada@example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "password": "**********",
}
_ABSENT = object()


def example(schema: Schema, components: Mapping[str, Schema]) -> Any:
    """A value of the schema. components: what `#/components/schemas/<name>` refers to."""
    found = _make(schema, components, 0)
    return None if found is _ABSENT else found


def _make(schema: Any, components: Mapping[str, Schema], depth: int) -> Any:
    if not isinstance(schema, dict):
        return None
    if "$ref" in schema:
        if depth > DEPTH:
            return _ABSENT
        return _make(components.get(schema["$ref"].rpartition("/")[2], {}), components, depth + 1)
    if schema.get("examples"):
        return schema["examples"][0]
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if schema.get("enum"):
        return schema["enum"][0]
    if "allOf" in schema:
        return _merged(schema, components, depth)
    for name in ("oneOf", "anyOf"):
        if name in schema:
            return _first(schema[name], components, depth)
    kind = schema.get("type")
    return _of_type(kind[0] if isinstance(kind, list) else kind, schema, components, depth)


def _first(choices: list[Any], components: Mapping[str, Schema], depth: int) -> Any:
    """Of the first choice that says something and can be made within the depth."""
    told = [one for one in choices if one != {"type": "null"}]
    for one in [*told, *choices]:
        if (found := _make(one, components, depth)) is not _ABSENT:
            return found
    return _ABSENT


def _merged(schema: Schema, components: Mapping[str, Schema], depth: int) -> Any:
    parts = [_make(one, components, depth) for one in schema["allOf"]]
    rest = {name: value for name, value in schema.items() if name != "allOf"}
    if "properties" in rest:
        parts.append(_make(rest, components, depth))
    if any(one is _ABSENT for one in parts):
        return _ABSENT
    if all(isinstance(one, dict) for one in parts):
        return {name: value for one in parts for name, value in one.items()}
    return parts[0] if parts else None


def _of_type(kind: str | None, schema: Schema, components: Mapping[str, Schema], depth: int) -> Any:
    if kind == "object" or "properties" in schema:
        return _object(schema, components, depth)
    match kind:
        case "array":
            return _array(schema, components, depth)
        case "string":
            return _text(schema)
        case "integer" | "number":
            return _number(schema, kind)
        case "boolean":
            return True
        case "null":
            return None
    return {}


def _object(schema: Schema, components: Mapping[str, Schema], depth: int) -> Any:
    required = set(schema.get("required", ()))
    found: dict[str, Any] = {}
    for name, one in schema.get("properties", {}).items():
        if depth > DEPTH and name not in required:
            continue
        value = _make(one, components, depth + 1)
        if value is not _ABSENT:
            found[name] = value
        elif name in required:
            return _ABSENT
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and more and not found and depth <= DEPTH:
        value = _make(more, components, depth + 1)
        if value is not _ABSENT:
            found["name"] = value
    return found


def _array(schema: Schema, components: Mapping[str, Schema], depth: int) -> Any:
    if "prefixItems" in schema:
        items = [_make(one, components, depth + 1) for one in schema["prefixItems"]]
        return _ABSENT if any(one is _ABSENT for one in items) else items
    least = schema.get("minItems", 0)
    if schema.get("maxItems") == 0 or (depth > DEPTH and not least):
        return []
    item = _make(schema.get("items", {}), components, depth + 1)
    if item is _ABSENT:
        return _ABSENT if least else []
    return [item] * max(1, least)


def _text(schema: Schema) -> str:
    text = _TEXTS.get(schema.get("format", ""), "text")
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if len(text) < least:
        text += "x" * (least - len(text))
    return text if len(text) <= most else text[: int(most)]


def _number(schema: Schema, kind: str) -> float | int:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf", 1 if kind == "integer" else None)
    least = max((one for one in (low, above) if one is not None), default=None)
    most = min((one for one in (high, below) if one is not None), default=None)
    value = 1 if least is None else least
    if most is not None and value > most:
        value = most
    if step is not None:
        value = math.ceil(value / step) * step
        value += step if value == above else 0
        value -= step if value == below or (most is not None and value > most) else 0
        return math.ceil(value) if kind == "integer" else float(value)
    if value in (above, below):
        # The middle of an open range; one away from an end of a half-open one.
        if least is None or most is None:
            value += 1 if value == above else -1
        else:
            value = (least + most) / 2
    return float(value)
