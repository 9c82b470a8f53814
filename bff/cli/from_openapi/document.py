"""Reads an OpenAPI description (3.0 or 3.1, JSON or YAML) and follows its references.

Only references inside the document are followed. What is not a description, or is built in another way than OpenAPI
says, is a DeclarationError that names the location.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ...calls import DeclarationError

MAX_BYTES = 64_000_000
"""Bytes of a description at most; GitHub's has 12 million."""
MAX_NODES = 5_000_000
"""Values in a description at most, where those that YAML's anchors repeat count each time."""
_MAX_STEPS = 50

Node = Mapping[str, Any]


class Document:
    """A description. root: as it was read; file: the name of its file, for messages."""

    def __init__(self, root: Node, file: str) -> None:
        self.root = root
        self.file = file

    def error(self, where: str, what: str) -> DeclarationError:
        """A mistake at a location, such as `paths/~1pets/get`."""
        return DeclarationError(f"{self.file}: {where}: {what}")

    def mapping(self, found: Any, where: str) -> Node:
        """`found` as an object; nothing at all is an empty one."""
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise self.error(where, f"must be an object, not {_kind(found)}")
        return found

    def items(self, found: Any, where: str) -> list[Any]:
        """`found` as a list; nothing at all is an empty one."""
        if found is None:
            return []
        if not isinstance(found, list):
            raise self.error(where, f"must be a list, not {_kind(found)}")
        return found

    def resolved(self, found: Any, where: str) -> Node:
        """The object itself, or the one that its `$ref` names."""
        node = self.mapping(found, where)
        for _ in range(_MAX_STEPS):
            if "$ref" not in node:
                return node
            where = self.pointer(node, where)
            node = self.mapping(self.at(where), where)
        raise self.error(where, "this $ref leads back to itself")

    def pointer(self, node: Node, where: str) -> str:
        """The location that the `$ref` of `node` names, such as `components/schemas/Pet`."""
        ref = node["$ref"]
        if not isinstance(ref, str):
            raise self.error(where, "a $ref must be a text")
        if not ref.startswith("#/"):
            raise self.error(
                where,
                f"the reference {ref!r} leads to another document or to an anchor, which is not followed; "
                "bundle the description into one file first, for example with `npx @redocly/cli bundle`",
            )
        return unquote(ref.removeprefix("#/"))

    def at(self, pointer: str) -> Any:
        """What is at a JSON pointer without its first slash (RFC 6901)."""
        node: Any = self.root
        for step in pointer.split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
                node = node[int(name)]
            else:
                raise self.error(f"#/{pointer}", "a $ref names this place, and there is nothing")
        return node


def read(path: Path) -> Document:
    """The description in a file. Raises DeclarationError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DeclarationError(f"{path.name} has more than {MAX_BYTES:,} bytes; it is no description")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DeclarationError(f"{path.name} is not a text in UTF-8") from None
    except OSError as error:
        raise DeclarationError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        root = _with_text_names(_json(text, path) if text.lstrip()[:1] == "{" else _yaml(text, path), [0])
    except RecursionError:
        raise DeclarationError(f"{path.name} is nested too deeply") from None
    except _TooLarge:
        raise DeclarationError(f"{path.name} has more than {MAX_NODES:,} values") from None
    if not isinstance(root, dict):
        raise DeclarationError(f"{path.name} is no OpenAPI description: it must be an object")
    document = Document(root, path.name)
    if "swagger" in root:
        raise DeclarationError(
            f"{path.name} is a description of Swagger {root['swagger']}; OpenAPI 3.0 and 3.1 are read. Convert it, for "
            "example with `npx swagger2openapi`"
        )
    version = root.get("openapi")
    if not isinstance(version, str) or not version.startswith(("3.0.", "3.1.")):
        raise DeclarationError(
            f"{path.name} is no description of OpenAPI 3.0 or 3.1: its member openapi is "
            f"{json.dumps(version, default=str)}"
        )
    return document


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        # YAML's flow style begins with a brace, too.
        if path.suffix.lower() in (".yaml", ".yml"):
            return _yaml(text, path)
        raise DeclarationError(
            f"{path.name} is not JSON: {error.msg}, line {error.lineno} column {error.colno}"
        ) from None


def _yaml(text: str, path: Path) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]  # its types are a package of their own
    except ImportError:
        raise DeclarationError(
            f'{path.name} is YAML: run pip install "bff-gateway[dev]", or convert it to JSON'
        ) from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # without types, as above
        """Reads dates as the texts that they are in JSON."""

        yaml_implicit_resolvers = {  # noqa: RUF012  # yaml's own way to change it
            first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        return yaml.load(text, Loader)  # noqa: S506  # it is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        location = f", line {mark.line + 1} column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise DeclarationError(f"{path.name} is not YAML: {problem}{location}") from None
    except ValueError as error:
        raise DeclarationError(f"{path.name} is not YAML: {error}") from None


class _TooLarge(Exception):
    pass


def _with_text_names(value: Any, count: list[int]) -> Any:
    """The value with texts as the names of all members: in YAML a status is a number."""
    count[0] += 1
    if count[0] > MAX_NODES:
        raise _TooLarge
    if isinstance(value, dict):
        return {_name(name): _with_text_names(item, count) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_text_names(item, count) for item in value]
    return value


def _name(name: Any) -> str:
    return name if isinstance(name, str) else json.dumps(name, default=str)


def _kind(found: Any) -> str:
    names = {bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(found), "a number")
