"""Each alert links to its page, which says what people feel, how to confirm it, what to do and when to stop."""

from __future__ import annotations

import re

import pytest

from bff.cli.slo.dashboards import DASHBOARDS
from bff.cli.slo.rules import Links

from ..conftest import ROOT
from .shop_export import alerts, written

FOLDER = ROOT / "docs" / "runbooks"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md") if path.stem != "index"}


def test_every_alert_links_to_a_page_and_every_page_has_an_alert() -> None:
    linked = {written(alert)["annotations"]["runbook_url"] for alert in alerts()}
    assert linked == {f"docs/runbooks/{name}.md" for name in PAGES}
    for alert in alerts():
        assert f"Alert `{alert.name}`" in PAGES[alert.runbook], alert.name


def test_links_are_addresses_where_the_runbooks_are_a_site() -> None:
    links = Links("https://docs.example.org/runbooks/")
    assert links.runbook("no-gateway") == "https://docs.example.org/runbooks/no-gateway/"
    assert links.runbook("https://wiki.example.org/checkout") == "https://wiki.example.org/checkout"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_has_all_that_is_needed_at_night(name: str) -> None:
    headings = re.findall(r"^## (.*)$", PAGES[name], re.MULTILINE)
    assert headings == ["What people feel", "Confirm", "What to do", "When to stop"]
    for section in PAGES[name].split("\n## ")[1:]:
        assert len(section.split()) > 8, section
    assert f"({name}.md)" in (FOLDER / "index.md").read_text(encoding="utf-8")


def test_pages_name_panels_that_exist() -> None:
    titles = {panel.title for dashboard in DASHBOARDS for panel in dashboard.panels}
    named = {
        (name, title)
        for name, text in PAGES.items()
        for title in re.findall(r"(?<!\*)\*(?!Reading time:)([A-Z][^*\n]+)\*(?!\*)", text)
    }
    assert len(named) > 15 and {pair for pair in named if pair[1] not in titles} == set()
