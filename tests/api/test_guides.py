"""The guides of docs/how-to that are not followed step by step by a test of their own: their Python runs, and their
settings exist."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from bff import Gateway
from bff.edge.settings import load

from ..conftest import ROOT

GUIDES = ROOT / "docs" / "how-to"
WITH_SETTINGS = ["show-content-from-a-cms", "render-on-the-server"]
WITH_A_GATEWAY = ["show-content-from-a-cms"]


def blocks(name: str, language: str) -> list[str]:
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", WITH_A_GATEWAY)
def test_the_gateway_of_a_guide_is_declared_without_a_mistake(name: str) -> None:
    page: dict[str, Any] = {"__name__": name}
    for block in blocks(name, "python"):
        exec(compile(block, f"docs/how-to/{name}.md", "exec", dont_inherit=True), page)
    gateways = [one for one in page.values() if isinstance(one, Gateway)]
    assert gateways
    for gateway in gateways:
        gateway.check()


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_the_settings_of_a_guide_exist(name: str) -> None:
    lines = [line for block in blocks(name, "sh") for line in block.splitlines() if line.startswith("BFF_")]
    assert lines
    given = {}
    for line in lines:
        variable, _, value = re.sub(r"<[^>]*>", "x" * 32, line).partition("=")
        (given[variable],) = shlex.split(value)
    load(given)
