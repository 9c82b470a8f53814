"""The documentation site: every page is in the navigation, in a folder for its kind of page."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from ..conftest import ROOT

DOCS = ROOT / "docs"
SITE = tomllib.loads((DOCS / "zensical.toml").read_text(encoding="utf-8"))["project"]


def pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    else:
        for one in nav.values() if isinstance(nav, dict) else nav:
            yield from pages(one)


def test_every_page_is_in_the_navigation_once() -> None:
    written = {
        str(path.relative_to(DOCS))
        for path in DOCS.rglob("*.md")
        if "examples" not in path.parts and ".site" not in path.parts
    }
    listed = list(pages(SITE["nav"]))
    assert sorted(listed) == sorted(written)


def test_the_site_has_the_four_kinds_of_pages() -> None:
    assert [title for one in SITE["nav"] for title in one] == [
        "bff",
        "Tutorial",
        "How-to",
        "Explanation",
        "Reference",
    ]
