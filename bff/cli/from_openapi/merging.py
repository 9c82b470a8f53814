"""Merges what a schema says with what its reference and its `allOf` say, into one schema without either.

A member that two parts declare is the later part's. Of several choices beside each other (`oneOf`, `anyOf`) the first
one stays, and next to members only as an object that has further ones. An `allOf` that leads back to itself is refused.
"""

from __future__ import annotations

from typing import Any

from .document import Document, Node

STRUCTURE = frozenset(
    {"type", "properties", "required", "allOf", "anyOf", "oneOf", "items", "enum", "const", "nullable"}
    | {"additionalProperties"}
)
"""Members of a schema that say more than a name or an explanation beside a `$ref` (OpenAPI 3.1)."""


def merged(document: Document, schema: Any, where: str) -> Node:
    """The schema without references and `allOf`: with the members of all of them."""
    return _merged(document, document.mapping(schema, where), where, ())


def explains_only(node: Node) -> bool:
    """Whether an `allOf` only gives an explanation to one reference, as in OpenAPI 3.0."""
    rest = {name: value for name, value in node.items() if name != "allOf"}
    return isinstance(node["allOf"], list) and len(node["allOf"]) == 1 and STRUCTURE.isdisjoint(rest)


def _merged(document: Document, node: Node, where: str, inside: tuple[str, ...]) -> Node:
    if "$ref" in node:
        pointer = document.pointer(node, where)
        if pointer in inside:
            raise document.error(f"#/{pointer}", "an allOf leads back to itself")
        target = document.mapping(document.at(pointer), f"#/{pointer}")
        found = _merged(document, target, f"#/{pointer}", (*inside, pointer))
        rest = {name: value for name, value in node.items() if name != "$ref"}
        if STRUCTURE.isdisjoint(rest):
            return found
        parts: list[Node] = [found, _merged(document, rest, where, inside)]
    elif "allOf" in node:
        listed = document.items(node["allOf"], f"{where}/allOf")
        parts = [
            _merged(document, document.mapping(one, f"{where}/allOf/{number}"), where, inside)
            for number, one in enumerate(listed)
        ]
        parts.append({name: value for name, value in node.items() if name != "allOf"})
    else:
        return node
    return _joined(document, parts, where)


def _joined(document: Document, parts: list[Node], where: str) -> Node:
    """One schema with what all parts say."""
    made: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    required: list[Any] = []
    choices = []
    for part in parts:
        properties |= document.mapping(part.get("properties"), f"{where}/properties")
        required += document.items(part.get("required"), f"{where}/required")
        for name, value in part.items():
            if name in ("oneOf", "anyOf"):
                choices.append((name, value))
            elif name == "nullable":
                # The value is null only where every part allows that; the last one is the most exact.
                made[name] = value
            elif name not in ("properties", "required"):
                made.setdefault(name, value)
    if properties:
        made |= {"type": "object", "properties": properties, "required": required}
        if choices:
            # Which alternative it is shows in members that are not listed here.
            made.setdefault("additionalProperties", True)
    elif choices:
        made |= dict(choices[:1])
    return made
