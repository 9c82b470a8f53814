"""The page about what Python code imports, from the docstrings of the exported names."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import bff

MODULES = ("bff", "bff.testing", "bff.events")
_ROOT = Path(bff.__file__).parent
# A row of an aligned list in a docstring: `name  meaning`.
_ROW = re.compile(r"^(?P<names>[`*]{0,2}[A-Za-z_][\w.,*`=…() ]*?) {2,}(?P<meaning>\S.*)$")


def page() -> str:
    """Every exported name with its signature, docstring and public members."""
    lines = [
        "# Python API",
        "",
        "Made from the docstrings. Times are seconds unless something else is said. Names that are not here are not "
        "public: they may change with any release.",
    ]
    for name in MODULES:
        module = importlib.import_module(name)
        lines += ["", f"## {name}", "", *_text(inspect.getdoc(module) or "")]
        for exported in sorted(module.__all__, key=str.lower):
            if not (exported == "events" and name == "bff") and exported != "__version__":
                lines += _entry(f"{name}.{exported}", exported, getattr(module, exported))
            elif exported == "__version__":
                lines += [
                    "",
                    ["### `bff.__version__`", " #bff.__version__ }"][0],
                    "",
                    "The version of bff.",
                ]
            else:
                lines += ["", "### `bff.events`", "", "What observers are given: [below](#bffevents)."]
    return "\n".join(lines) + "\n"


def _entry(path: str, name: str, one: Any) -> list[str]:
    lines = ["", f"### `{path}`", ""]
    if inspect.isclass(one):
        lines += ["```python", f"class {name}{_signature(one)}", "```", "", *_text(_own_doc(one))]
        for member, value in _members(one):
            lines += ["", f"**`{member}`**", ""]
            if inspect.isfunction(value):
                lines += ["```python", f"{name}.{member}{_signature(value)}", "```", ""]
            lines += _text(_doc(value))
        return lines
    if inspect.isfunction(one):
        word = "async def" if inspect.iscoroutinefunction(one) else "def"
        return [
            *lines,
            "```python",
            f"{word} {name}{_signature(one)}",
            "```",
            "",
            *_text(inspect.getdoc(one) or ""),
        ]
    return [*lines, *_text(_assigned().get(name) or inspect.getdoc(one) or "")]


def _members(one: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties with a docstring that bff defines, those of base classes included."""
    found: dict[str, Any] = {}
    for base in reversed(one.__mro__):
        if not base.__module__.startswith("bff"):
            continue
        for name, value in vars(base).items():
            plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if name.startswith("_") or not (inspect.isfunction(plain) or isinstance(plain, property)):
                continue
            if plain.__doc__:
                found[name] = plain
    yield from sorted(found.items())


def _doc(value: Any) -> str:
    return inspect.getdoc(value) or ""


def _own_doc(one: type) -> str:
    text = inspect.cleandoc(one.__doc__ or "")
    # A dataclass and a model without a docstring have their signature in its place.
    return "" if text.startswith(f"{one.__name__}(") else text


class _Shown:
    """Printed as it is, without quotes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _signature(one: Any) -> str:
    """Without the names of modules; defaults that are long are left out. A protocol has none."""
    if getattr(one, "_is_protocol", False):
        return ""
    try:
        found = inspect.signature(one)
    except (TypeError, ValueError):
        return ""
    parameters = [
        parameter.replace(annotation=_annotation(parameter.annotation), default=_default(parameter.default))
        for parameter in found.parameters.values()
    ]
    result = found.empty if inspect.isclass(one) else _annotation(found.return_annotation)
    text = str(found.replace(parameters=parameters, return_annotation=result))
    if len(text) <= 90:
        return text
    inside, _, after = text[1:].rpartition(")")
    return "(\n" + "".join(f"    {part},\n" for part in _split(inside)) + ")" + after


def _annotation(one: Any) -> Any:
    if one is inspect.Signature.empty:
        return one
    text = one if isinstance(one, str) else inspect.formatannotation(one)
    return _Shown(re.sub(r"\b[a-z_]+(?:\.\w+)*\.(?=[A-Z])", "", text).replace("~", ""))


def _default(one: Any) -> Any:
    if one is inspect.Signature.empty:
        return one
    text = repr(one)
    return _Shown("…" if len(text) > 40 or " at 0x" in text or text.startswith("<") else text)


def _split(text: str) -> Iterator[str]:
    """The parameters: at commas outside of brackets."""
    depth, begin = 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            yield text[begin:at].strip()
            begin = at + 1
    yield text[begin:].strip()


@cache
def _assigned() -> dict[str, str]:
    """The texts below assignments at the top of the modules of bff, by the name that is assigned."""
    found: dict[str, str] = {}
    for path in sorted(_ROOT.rglob("*.py")):
        for node, after in pairwise(ast.parse(path.read_text(encoding="utf-8")).body):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if (
                isinstance(target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found.setdefault(target.id, inspect.cleandoc(str(after.value.value)))
    return found


def _text(doc: str) -> list[str]:
    """A docstring as Markdown: aligned lists become lists, indented blocks code; what would be markup is text."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", doc.strip("\n")):
        rows = block.splitlines()
        if all(row.startswith("    ") for row in rows):
            lines += ["```python", *(row[4:] for row in rows), "```", ""]
        elif listed := _rows(rows):
            lines += [*(f"- `{name.replace('`', '')}`: {_escaped(meaning)}" for name, meaning in listed), ""]
        else:
            lines += [_escaped(row.strip()) for row in rows] + [""]
    return lines[:-1]


def _rows(rows: list[str]) -> list[tuple[str, str]] | None:
    """Name and meaning of each row of an aligned list; None for any other text."""
    aligned = _ROW.match(rows[0]) or (_ROW.match(rows[1]) if len(rows) > 1 else None)
    if aligned is None:
        return None
    column = aligned.start("meaning")
    found: list[tuple[str, str]] = []
    for row in rows:
        if row.startswith("  ") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {row.strip()}")
        elif row[column - 1 : column] == " " and row[:column].strip() and row[column : column + 1].strip():
            found.append((row[:column].strip(), row[column:]))
        elif (longer := _ROW.match(row)) is not None:
            found.append((longer["names"].strip(), longer["meaning"]))
        else:
            return None
    return found


def _escaped(text: str) -> str:
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part
        if part.startswith("`")
        else re.sub(r"([<*_\[])", lambda one: {"<": "&lt;"}.get(one[0], "\\" + one[0]), part)
        for part in parts
    )
