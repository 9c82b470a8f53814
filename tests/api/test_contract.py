"""The tables in docs/contract.md are those that the gateway uses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bff import Problem, Refused
from bff.calls import OUTCOMES, Outcome
from bff.testing import fails, request_context

DOCS = Path(__file__).parents[2] / "docs"
CONTRACT = (DOCS / "contract.md").read_text(encoding="utf-8")
HEAD = "| a service answers | a screen answers | a command answers | the key |\n|---|---|---|---|\n"


def _answers(status: str, outcome: Outcome, passed: str) -> str:
    other = "503" if outcome.kind == "overloaded" else "502"
    return {"yes": status, "identified": f"{status} if identified, else {other}", "no": other}[passed]


def _row(status: str, outcome: Outcome) -> str:
    screen, command = (_answers(status, outcome, one) for one in (outcome.screen, outcome.command))
    return f"| {status} | {screen} | {command} | {outcome.repeat} |\n"


def test_the_table_of_refusals_in_the_contract_is_the_one_in_the_code() -> None:
    rows = [_row(str(status), outcome) for status, outcome in OUTCOMES.rows]
    rows += [_row("another 4xx", OUTCOMES.of(499)), _row("3xx, another 5xx", OUTCOMES.of(500))]
    assert OUTCOMES.of(302) == OUTCOMES.of(101) == OUTCOMES.of(600) == OUTCOMES.of(500)
    _, _, table = CONTRACT.partition(HEAD)
    assert table.partition("\n\n")[0] + "\n" == "".join(rows)


async def test_the_example_view_of_the_errors_page_works_as_described() -> None:
    found = re.search(r"```python\n(.*?)```", (DOCS / "errors.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    page: dict[str, Any] = {"__name__": "page"}
    exec(compile(found.group(1), "docs/errors.md", "exec", dont_inherit=True), page)
    with request_context({"Tickets.seat": fails("refused", status=410)}):
        with pytest.raises(Problem) as raised:
            await page["seat"]("7")
        assert (raised.value.status, raised.value.code) == (409, "sold-out")
    with request_context({"Tickets.seat": fails("refused", status=404)}), pytest.raises(Refused):
        await page["seat"]("7")
