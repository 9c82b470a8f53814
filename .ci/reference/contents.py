"""The list of all pages at the end of docs/index.md, from the navigation of the site."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADING = "## All pages\n"


def page(docs: Path) -> str:
    """docs/index.md with the list; what stands before its heading stays."""
    nav = tomllib.loads((docs / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    before = (docs / "index.md").read_text(encoding="utf-8").partition(HEADING)[0].rstrip("\n")
    listed = [line for entry in nav for title, inside in entry.items() for line in _lines(title, inside, 0)]
    return f"{before}\n\n{HEADING}\n" + "\n".join(listed) + "\n"


def _lines(title: str, inside: Any, depth: int) -> Iterator[str]:
    indent = "    " * depth
    if isinstance(inside, str):
        if inside != "index.md":
            yield f"{indent}- [{title}]({inside})"
        return
    yield f"{indent}- {title}"
    for entry in inside:
        for name, below in entry.items():
            yield from _lines(name, below, depth + 1)
