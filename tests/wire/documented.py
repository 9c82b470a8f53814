"""The settings on the pages about identity providers, so that tests use these settings alone."""

from __future__ import annotations

import re
import shlex

from ..conftest import ROOT

PROVIDERS = ROOT / "docs" / "how-to" / "providers"


def documented(page: str, section: str, block: int = 0, **addresses: str) -> dict[str, str]:
    """The variables of a block of settings on a page. section: its heading; block: which one of the section; addresses:
    what replaces the examples, by their first name (`desk` replaces `https://desk.example.org`)."""
    text = (PROVIDERS / f"{page}.md").read_text(encoding="utf-8")
    part = text.partition(f"## {section}\n")[2].partition("\n## ")[0]
    settings = re.findall(r"^```sh\n(.*?)^```$", part, re.M | re.S)[block]
    for name, address in addresses.items():
        assert f"https://{name}.example.org" in settings
        settings = settings.replace(f"https://{name}.example.org", address)
    return dict(one.split("=", 1) for one in shlex.split(settings))
