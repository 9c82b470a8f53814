"""A page for each problem code, and a page that lists them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bff.edge.problem import Problem
from bff.edge.problem_codes import CODES, ProblemCode

# What only some codes have beside the members of every problem.
_MORE = {
    "invalid-request": {
        "errors": [{"pointer": "/lines/0/quantity", "in": "body", "detail": "must be at least 1"}]
    },
    "invalid-token": {"reason": "expired"},
    "invalid-proof": {"reason": "proof-time"},
    "step-up-required": {"login": "/bff/login?max_age=300"},
}


def pages() -> Iterator[tuple[str, str]]:
    """Name and text of each page."""
    yield "index.md", _index()
    for code, one in CODES.items():
        yield f"{code}.md", _page(code, one)


def _index() -> str:
    lines = [
        "# Problems",
        "",
        "Every answer that is not a success is `application/problem+json` (RFC 9457) with one of these codes, or with "
        "a code of your own ([how](../../errors.md)). The `type` of a problem is the address of its code on the page "
        "`/docs/problems` of the gateway; with `BFF_DOCS__SITE` that page links here. "
        "[The contract](../../contract.md#problems) lists the members.",
        "",
        "| code | status | title |",
        "|---|---|---|",
        *(
            f"| [`{code}`]({code}.md) | {', '.join(map(str, one.statuses))} | {one.title} |"
            for code, one in CODES.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _page(code: str, one: ProblemCode) -> str:
    document = Problem(one.statuses[-1], code, "…", extra=_MORE.get(code)).document(
        correlation_id="3f2b8c1e-6d4a-4c59-9b7e-1a2b3c4d5e6f",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        base="https://shop.example.org",
    )
    cause = one.cause.replace("(docs/reference/token-reasons.md)", "([the list](../token-reasons.md))")
    lines = [
        f"# `{code}`",
        "",
        f"**{one.title}.** Status {', '.join(map(str, one.statuses))}.",
        "",
        "## Cause",
        "",
        cause,
        "",
        "## Cure",
        "",
        one.cure,
        "",
        "## Example",
        "",
        "```json",
        json.dumps(document, indent=2, ensure_ascii=False),
        "```",
    ]
    return "\n".join(lines) + "\n"
