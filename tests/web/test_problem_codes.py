"""The union of problem codes in the client's types has each code of the gateway, and no other."""

from __future__ import annotations

import re

from bff.edge.problem import TITLES
from tests.conftest import ROOT


def test_the_union_of_the_client_has_the_codes_of_the_gateway() -> None:
    text = (ROOT / "web" / "client" / "problem.js").read_text(encoding="utf-8")
    union = re.search(r"@typedef \{(?P<codes>[^}]*)\} GatewayCode", text)
    assert union is not None
    assert sorted(re.findall(r"'([\w-]+)'", union["codes"])) == sorted(TITLES)
