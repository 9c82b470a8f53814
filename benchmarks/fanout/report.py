"""The report in Markdown: the goals, then medians with their spread, what each contender does for a request, and the
conditions of the measurement."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from .contenders import Contender
from .goals import goals, table
from .process import AROUND, CONTENDER, PINNED
from .run import Comparison, Plan, Result, Spread

RESULTS = Path(__file__).with_name("RESULTS.md")

_INTRO = """# One screen over three services

Bodies of 0.9, 1.8 and 2.6 KB, {rounds} interleaved passes of {seconds:g} s after a warm-up of {warm_up:,} requests (at
most {warm_for:g} s); median (least–most), ratios of the same pass. Each request asks for another product where a row
does not say otherwise, and the services count their calls, so nothing is shared or left out unseen.
Trust the CPU time for a request and the ratios between rows of one run; requests a second and latencies hold for a
quiet machine only. The first latencies are those of a saturated contender; "at {rate:g}/s" requests come at a constant
rate, and their time counts from the moment at which they were due.
"""
_COLUMNS = (
    "CPU µs/request",
    "× the first",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "p50 ms at {rate:g}/s",
    "p99 ms at {rate:g}/s",
    "p99.9 ms at {rate:g}/s",
    "Redis commands/request",
    "calls/request",
    "RSS MB",
    "wrong",
)


def markdown(comparison: Comparison, plan: Plan, absent: Sequence[Contender] = ()) -> str:
    """The whole report. absent: contenders that could not run here."""
    lines = [_INTRO.format(**vars(plan))]
    if plan.warm_up == 0:
        lines += ["One cold round: it shows that everything works, but its figures mean little.", ""]
    for connections in plan.connections:
        some = [one for one in comparison.rows if one.connections == connections]
        lines += [f"## Goals at {connections} connections", "", *table(goals(comparison, connections)), ""]
        lines += [f"## {connections} connections", "", *_rows(some, plan), ""]
        lines += [f"- Wrong: **{one.contender.name}**: {why}." for one in some for why in one.why]
    first = [one for one in comparison.rows if one.connections == plan.connections[0]]
    lines += [*_starts(comparison), "What each does for a request:", ""]
    lines += [f"- **{one.contender.name}**: {one.contender.does}." for one in first]
    lines += [f"- Not measured: **{one.name}** ({one.missing()})." for one in absent]
    lines += ["", *_conditions(comparison, first), ""]
    return "\n".join(lines)


def _rows(results: Sequence[Result], plan: Plan) -> list[str]:
    head = " | ".join(_COLUMNS).format(**vars(plan))
    lines = [f"| contender | {head} |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for one in results:
        cells = [
            one.contender.name,
            _cell(one.spread("cpu")),
            _cell(one.against(results[0]), 2),
            _cell(one.spread("rate")),
            *(_cell(one.spread(figure), 1) for figure in ("p50", "p99", "p999")),
            *(_cell(one.paced(figure), 1) for figure in ("p50", "p99", "p999")),
            _cell(one.spread("stored"), 1),
            _cell(one.spread("calls"), 1),
            f"{one.memory:.0f}",
            str(one.wrong),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(spread: Spread | None, digits: int = 0) -> str:
    if spread is None:
        return "–"
    median = f"{spread.median:,.{digits}f}"
    least, most = f"{spread.least:,.{digits}f}", f"{spread.most:,.{digits}f}"
    return median if least == most else f"{median} ({least}–{most})"


def _starts(comparison: Comparison) -> list[str]:
    starts = comparison.starts
    if starts is None:
        return []
    lines = [
        "## Start",
        "",
        "| | `import bff`, CPU ms | until the first answer, CPU ms | ms |",
        "|---|---|---|---|",
    ]
    for name, one in (("now", starts.now), ("the earlier commit", starts.earlier)):
        if one is not None:
            cells = [_cell(Spread.of(figures)) for figures in (one.imported, one.served, one.waited)]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _conditions(comparison: Comparison, results: Sequence[Result]) -> list[str]:
    packages = sorted({name for one in results for name in one.contender.packages} | {"uvicorn", "uvloop"})
    known = {name: version(name) for name in packages}
    for one in results:
        known |= one.contender.versions()
    versions = ", ".join(f"{name} {known[name]}" for name in sorted(known))
    pinned = (
        f"contender on CPU {CONTENDER}, load, services and Valkey on CPU {AROUND}"
        if PINNED
        else "nothing pinned: contenders share their CPU with the load, use only ratios"
    )
    cpus = os.cpu_count() or 1
    busy = " (busy: other programs were running)" if comparison.busy > 0.5 else ""
    minutes, seconds = divmod(int(comparison.took), 60)
    return [
        f"Python {platform.python_version()}, Linux {platform.release()}, {cpus} CPUs, {pinned}; "
        f"{minutes} min {seconds} s; load average before {comparison.busy:.1f}{busy}.",
        "",
        f"{versions}.",
    ]
