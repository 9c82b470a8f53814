"""The reading time of the pages that are read from top to bottom, in a line below their title.

Measured: 200 words a minute, and four seconds for a line of code or of a table; rounded up to whole minutes.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SECTIONS = ("Tutorial", "How-to", "Explanation")
WORDS = 200
CODE = 4 / 60
_LINE = re.compile(r"\A(# .*\n)\n(?:\*Reading time: \d+ minutes?\.\*\n\n)?")


def pages(docs: Path) -> Iterator[tuple[Path, str]]:
    """Each page with its line."""
    nav = tomllib.loads((docs / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    for entry in nav:
        for title, inside in entry.items():
            if title in SECTIONS:
                for name in _listed(inside):
                    path = docs / name
                    yield path, with_time(path.read_text(encoding="utf-8"))


def with_time(text: str) -> str:
    """The page with the line; a page that does not begin with a title stays as it is."""
    found = _LINE.match(text)
    if found is None:
        return text
    rest = text[found.end() :]
    count = minutes(rest)
    return f"{found[1]}\n*Reading time: {count} minute{'' if count == 1 else 's'}.*\n\n{rest}"


def minutes(text: str) -> int:
    """Of a page without its title."""
    code = re.findall(r"^ *```.*?^ *```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    rows = [row for row in prose.splitlines() if row.startswith("|")]
    words = sum(len(row.split()) for row in prose.splitlines() if not row.startswith("|"))
    lines = sum(block.count("\n") - 1 for block in code) + len(rows)
    return max(1, math.ceil(words / WORDS + lines * CODE))


def _listed(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for one in nav.values() if isinstance(nav, dict) else nav:
            yield from _listed(one)
