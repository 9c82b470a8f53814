"""The Markdown table: medians with their spread, what each contender does for a request, and the conditions of the
measurement."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from . import load
from .contenders import Contender
from .process import AROUND, CONTENDER, PINNED
from .run import Plan, Result, Spread

RESULTS = Path(__file__).with_name("RESULTS.md")

_INTRO = """# One screen over three services

Bodies of 0.9, 1.8 and 2.6 KB, {rounds} interleaved runs of {seconds:g} s after a warm-up
of {warm_up:g} s; median (least–most).
Trust the CPU time for a request and the ratios between rows of one run; requests a second and latencies hold for a
quiet machine only.
"""
_COLUMNS = (
    "CPU µs/request",
    "× the first",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "Redis commands/request",
    "RSS MB",
    "wrong",
)


def markdown(results: Sequence[Result], plan: Plan, absent: Sequence[Contender] = ()) -> str:
    """The whole report. absent: contenders that could not run here."""
    lines = [
        _INTRO.format(**vars(plan)),
        *(
            ["One cold round: it shows that everything works, but its figures mean little.\n"]
            if plan.warm_up == 0
            else []
        ),
    ]
    for connections in plan.connections:
        some = [one for one in results if one.connections == connections]
        lines += [f"## {connections} connections", "", *_rows(some), ""]
    first = [one for one in results if one.connections == plan.connections[0]]
    lines += ["What each does for a request:", ""]
    lines += [f"- **{one.contender.name}**: {one.contender.does}." for one in first]
    lines += [f"- Not measured: **{one.name}** ({one.missing()})." for one in absent]
    lines += ["", *_conditions(first, plan), ""]
    return "\n".join(lines)


def _rows(results: Sequence[Result]) -> list[str]:
    base = results[0].spread("cpu").median
    lines = [f"| contender | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for one in results:
        cells = [
            one.contender.name,
            _cell(one.spread("cpu")),
            f"{one.spread('cpu').median / base:.2f}",
            _cell(one.spread("rate")),
            _cell(one.spread("p50"), 1),
            _cell(one.spread("p99"), 1),
            _cell(one.spread("stored"), 1),
            f"{one.memory:.0f}",
            str(one.wrong),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(spread: Spread, digits: int = 0) -> str:
    return f"{spread.median:,.{digits}f} ({spread.least:,.{digits}f}–{spread.most:,.{digits}f})"


def _conditions(results: Sequence[Result], plan: Plan) -> list[str]:
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
    one_minute = os.getloadavg()[0]
    cpus = os.cpu_count() or 1
    busy = " (busy: other programs were running)" if one_minute > cpus else ""
    return [
        f"Python {platform.python_version()}, Linux {platform.release()}, {cpus} CPUs, {pinned}; "
        f"load average {one_minute:.1f}{busy}; {load.name(plan.seconds)}.",
        "",
        f"{versions}.",
    ]
