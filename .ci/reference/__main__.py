"""Writes the generated pages of the documentation: `make reference`. With --check it writes nothing and exits 1 when a
page is not what it would write.

problems/*      from bff.edge.problem_codes.CODES
cli.md          from the parsers of the command bff
python.md       from the docstrings of what bff, bff.events and bff.testing export
client.md       from the comments in the type declarations of bff-client (needs Node.js and its node_modules)
index.md        its list of all pages, from the navigation
reading times   of the pages under Tutorial, How-to and Explanation
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cli
import client_api
import contents
import problems
import python_api
import reading_time

DOCS = Path(__file__).parents[2] / "docs"


def pages() -> Iterator[tuple[Path, str]]:
    """Every page and what it should contain."""
    reference = DOCS / "reference"
    yield reference / "cli.md", cli.page()
    yield reference / "python.md", python_api.page()
    yield reference / "client.md", client_api.page()
    for name, text in problems.pages():
        yield reference / "problems" / name, text
    yield DOCS / "index.md", contents.page(DOCS)
    yield from reading_time.pages(DOCS)


def main() -> int:
    check = "--check" in sys.argv[1:]
    differing = [
        (path, text)
        for path, text in pages()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    known = {path for path, _ in pages() if path.parent.name == "problems"}
    stale = [path for path in (DOCS / "reference" / "problems").glob("*.md") if path not in known]
    for path, text in differing:
        print(f"{path.relative_to(DOCS.parent)} {'differs: run make reference' if check else 'is written'}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path.relative_to(DOCS.parent)} is about a code that does not exist: delete it")
    return 1 if stale or (check and differing) else 0


sys.exit(main())
