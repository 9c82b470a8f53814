"""JSON schemas as HTML: a table of the members of each, with links between them.

Everything that a schema says in text is escaped. A keyword that is not known here is not shown; the OpenAPI document
beside the page has all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from .components import Schema

_BOUNDS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
    ("multipleOf", "a multiple of {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("pattern", "matches {}"),
    ("default", "default {}"),
)
_LONG = 12
"""Values of an enumeration that are listed; of a longer one only the first ones."""


def type_of(schema: Any) -> str:
    """The type in words, as HTML, with a link to each component."""
    if not isinstance(schema, dict) or not schema:
        return "any"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
    if "const" in schema:
        return f"<code>{_json(schema['const'])}</code>"
    if "enum" in schema:
        listed = [f"<code>{_json(one)}</code>" for one in schema["enum"][:_LONG]]
        return " | ".join(listed + (["…"] if len(schema["enum"]) > _LONG else []))
    for name, joint in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " and ")):
        if name in schema:
            return joint.join(dict.fromkeys(type_of(one) for one in schema[name]))
    kind = schema.get("type", "object" if "properties" in schema else "any")
    if isinstance(kind, list):
        return " | ".join(escape(str(one)) for one in kind)
    if kind == "array":
        return f"list of {type_of(schema.get('items'))}"
    if kind == "object" and isinstance(more := schema.get("additionalProperties"), dict) and more:
        return f"table of {type_of(more)}"
    text = escape(str(kind))
    return f"{text} ({escape(schema['format'])})" if "format" in schema else text


def bounds_of(schema: Any) -> str:
    """Bounds and the default, as HTML; empty without any."""
    if not isinstance(schema, dict):
        return ""
    found = [
        text.format(f"<code>{_json(schema[name])}</code>" if name in ("pattern", "default") else schema[name])
        for name, text in _BOUNDS
        if name in schema
    ]
    return ", ".join(found)


def members(schema: Schema) -> str:
    """A table of the members of an object; for another schema its type in a paragraph."""
    parts = [one for one in schema.get("allOf", ()) if isinstance(one, dict)]
    properties: dict[str, Any] = dict(schema.get("properties", {}))
    required = set(schema.get("required", ()))
    above = [type_of(one) for one in parts if "$ref" in one]
    for one in parts:
        properties |= one.get("properties", {})
        required |= set(one.get("required", ()))
    note = f"<p>Everything of {', '.join(above)}, and:</p>" if above else ""
    if not properties:
        return note or f"<p>{type_of(schema)} <span class=muted>{bounds_of(schema)}</span></p>"
    rows = "".join(_row(name, one, name in required) for name, one in properties.items())
    return f"{note}<table><thead><tr><th>Member<th>Type<th>Meaning</thead><tbody>{rows}</tbody></table>"


def _row(name: str, schema: Any, required: bool) -> str:
    described = escape(str(schema.get("description", ""))) if isinstance(schema, dict) else ""
    notes = "; ".join(filter(None, (described, bounds_of(schema))))
    need = "" if required else " <span class=muted>optional</span>"
    return f"<tr><td><code>{escape(name)}</code>{need}<td>{type_of(schema)}<td>{notes}"


def schemas(components: Mapping[str, Schema]) -> str:
    """A section for each component, with the anchor `schema-<name>`."""
    return "".join(
        f"<details class=schema><summary><code>{escape(name)}</code></summary>"
        # Inside, so that a browser which goes to the anchor opens the section.
        f'<div id="schema-{escape(name)}">{_description(schema)}{members(schema)}</div></details>'
        for name, schema in sorted(components.items(), key=lambda one: one[0].lower())
    )


def _description(schema: Schema) -> str:
    text = schema.get("description", "")
    return f"<p>{escape(text)}</p>" if text else ""


def _json(value: Any) -> str:
    return escape(json.dumps(value, ensure_ascii=False))
