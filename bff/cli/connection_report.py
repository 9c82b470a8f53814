"""The report of `bff check --connect`: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SECONDS = 5.0
"""Seconds for one address."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One address that was tried. what: whose it is; address: without user and password; latency: seconds;
    certificate_until: None without TLS; fault: what is wrong, "" when it can be used; cure: what to do; notes: what is
    no fault and worth knowing."""

    what: str
    address: str
    latency: float | None = None
    certificate_until: datetime | None = None
    fault: str = ""
    cure: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the gateway can use it."""
        return not self.fault

    @property
    def mistake(self) -> str:
        """The fault as one sentence for the list of mistakes."""
        return f"{self.what} at {self.address}: {self.fault}" + (f"; {self.cure}" if self.cure else "")

    @property
    def document(self) -> dict[str, Any]:
        """As JSON."""
        until = self.certificate_until
        return {
            "what": self.what,
            "address": self.address,
            "ok": self.ok,
            "latency_ms": None if self.latency is None else round(self.latency * 1000, 1),
            "certificate_until": None if until is None else until.isoformat(),
            "fault": self.fault or None,
            "cure": self.cure or None,
            "notes": list(self.notes),
        }


_HEADS = ("what", "address", "reachable", "certificate until", "latency")


def table(connections: Sequence[Connection]) -> str:
    """A line for each address, and below it what is wrong with the cure, and notes. Faults come first."""
    rows = [_cells(one) for one in connections]
    widths = [max(len(row[column]) for row in (_HEADS, *rows)) for column in range(len(_HEADS))]
    lines = [_line(_HEADS, widths)]
    for one, row in sorted(zip(connections, rows, strict=True), key=lambda pair: pair[0].ok):
        lines.append(_line(row, widths))
        if one.fault:
            lines.append(f"    {one.fault}")
        if one.cure:
            lines.append(f"    → {one.cure}")
        lines += [f"    note: {note}" for note in one.notes]
    return "\n".join(lines)


def _cells(one: Connection) -> tuple[str, ...]:
    until = one.certificate_until
    return (
        one.what,
        one.address,
        "yes" if one.ok else "NO",
        "-" if until is None else f"{until:%Y-%m-%d}",
        "-" if one.latency is None else f"{one.latency * 1000:.1f} ms",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def document(mistakes: Sequence[str], connections: Sequence[Connection], warnings: Sequence[str]) -> str:
    """One JSON object: `ok`, `mistakes`, `warnings`, and `connections`, each with `what`, `address`, `ok`,
    `latency_ms`, `certificate_until` (ISO 8601), `fault`, `cure` and `notes`."""
    found = {
        "ok": not mistakes and all(one.ok for one in connections),
        "mistakes": list(mistakes),
        "warnings": list(warnings),
        "connections": [one.document for one in connections],
    }
    return json.dumps(found, ensure_ascii=False, indent=2)
