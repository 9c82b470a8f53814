"""Names and texts of a description as they can stand in Python source.

A name is kept where it is an identifier; characters that no identifier has become underscores. Texts lose everything
that could end a comment or a docstring, or change how the source looks.
"""

from __future__ import annotations

import keyword
import re
import textwrap
import unicodedata
from collections.abc import Iterable

from pydantic import BaseModel

from ...calls import Upstream

WIDTH = 100
"""Characters of a line of a docstring or comment at most."""

# What the written file imports, and the types that it uses.
IMPORTED = frozenset(
    {
        *("Annotated", "Any", "Literal", "Decimal", "UUID", "datetime", "annotations"),
        *("BYTES", "JSON_LINES", "TEXT", "Bytes", "Call", "Form", "Json", "Text", "Upstream"),
        *("BaseModel", "ConfigDict", "Field", "RootModel"),
    }
)
_TYPES = frozenset({"bool", "bytes", "dict", "float", "int", "list", "str", "tuple", "map", "object"})
CLASSES = IMPORTED | _TYPES
"""Names that no class of the file may have."""
METHODS = IMPORTED | _TYPES | frozenset(dir(Upstream)) | {"owner", "property", "staticmethod", "classmethod"}
"""Names that no method of an upstream may have."""
FIELDS = IMPORTED | _TYPES | frozenset(dir(BaseModel))
"""Names that no field of a model may have."""
ARGUMENTS = IMPORTED | _TYPES | {"self"}
"""Names that no argument of a method may have."""


def identifier(text: str, otherwise: str) -> str:
    """An identifier as similar to `text` as possible. otherwise: what stands before a digit, and is the name where
    nothing is left."""
    # Python reads identifiers in this form.
    plain = unicodedata.normalize("NFKC", text)
    name = "".join(letter if ("a" + letter).isidentifier() else "_" for letter in plain)
    name = unicodedata.normalize("NFKC", name).lstrip("_")
    if not text.endswith("_"):
        # `page[size]` is page_size.
        name = name.rstrip("_")
    if not name.isidentifier():
        name = f"{otherwise}_{name}" if name.strip("_") else otherwise
    if not name.isidentifier():
        name = otherwise
    return f"{name}_" if keyword.iskeyword(name) else name


def capitalised(text: str, otherwise: str) -> str:
    """A name for a class: `list-pets` becomes `ListPets`."""
    words = [word for word in re.split(r"[\W_]+", text) if word]
    return identifier("".join(word[:1].upper() + word[1:] for word in words), otherwise)


class Names:
    """The names that are taken in one scope. taken: those that nobody may have."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def new(self, wanted: str) -> str:
        """The wanted name, or a similar one that is not taken."""
        name, number = wanted, 2
        if name in self._taken:
            name = f"{wanted}_"
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name


def plain(text: object, most: int = 600) -> str:
    """A text of the description on one line, without control and direction characters; at most so many characters."""
    if not isinstance(text, str):
        return ""
    printable = "".join(
        letter if letter.isspace() or unicodedata.category(letter)[0] != "C" else " "
        for letter in text[: 4 * most]
    )
    line = " ".join(printable.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def paragraphs(text: object, most: int = 2_000) -> list[str]:
    """The paragraphs of a text, each on one line."""
    if not isinstance(text, str):
        return []
    found = (plain(part, most) for part in re.split(r"\n[ \t\r]*\n", text[: 2 * most]))
    return [part for part in found if part]


def comment(text: str, indent: str = "") -> list[str]:
    """The lines of a comment."""
    return [f"{indent}# {line}" for line in _wrapped(text, WIDTH - len(indent) - 2)]


def docstring(parts: list[str], indent: str) -> list[str]:
    """The lines of a docstring of these paragraphs; none without any."""
    lines: list[str] = []
    for part in parts:
        if lines:
            lines.append("")
        # So the text can neither end the docstring nor hold an escape.
        written = part.replace("\\", "\\\\").replace('"""', "'''")
        lines += _wrapped(written, WIDTH - len(indent) - 6)
    if not lines:
        return []
    if lines[-1].endswith('"'):
        lines[-1] = lines[-1].replace('"', "'")
    if len(lines) == 1:
        return [f'{indent}"""{lines[0]}"""']
    first, *rest = lines
    return [f'{indent}"""{first}', *(f"{indent}{line}" if line else "" for line in rest), f'{indent}"""']


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
