"""The documentation site: every page is in the navigation, in a folder for its kind of page."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
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


def test_the_site_is_searched_and_is_light_or_dark() -> None:
    theme = SITE["theme"]
    assert "search.highlight" in theme["features"]
    assert [one["scheme"] for one in theme["palette"]] == ["default", "slate"]
    assert all(one["toggle"]["name"] for one in theme["palette"])


def links(page: Path) -> set[Path]:
    """The pages that a page links to."""
    found = re.findall(r"\]\(([^)\s#]+\.md)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    return {(page.parent / one).resolve() for one in found if "://" not in one}


def test_every_page_is_two_clicks_from_the_readme() -> None:
    first = links(ROOT / "README.md")
    second = {one for page in first for one in links(page)}
    every = {(DOCS / name).resolve() for name in pages(SITE["nav"])}
    assert sorted(str(one.relative_to(DOCS)) for one in every - first - second) == []


def test_the_comparisons_are_dated_and_say_first_what_the_other_does_better() -> None:
    page = (DOCS / "explanation" / "comparisons.md").read_text(encoding="utf-8")
    assert re.search(r"^Written in \w+ 20\d\d", page, re.MULTILINE)
    sections = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    others = ["KrakenD", "Kong", "Duende BFF", "WunderGraph Cosmo", "Mercure", "Centrifugo", "Temporal"]
    assert list(sections)[:-1] == others
    for name in others:
        assert sections[name].lstrip().startswith("**Better there.**"), name
        assert len(sections[name].split()) > 80, name
