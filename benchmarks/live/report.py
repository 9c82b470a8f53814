"""The Markdown table of streams: what each costs, against nchan, and what it was measured with."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from ..fanout.process import AROUND, CONTENDER, PINNED
from .contenders import Contender
from .run import Figures, Plan

RESULTS = Path(__file__).with_name("RESULTS.md")

_INTRO = """# Open streams and the events on them

Events of about 330 bytes. Broadcast: one event to every stream, {deliveries:,} deliveries. Single user: one event to
one stream each, {events:,} of them in batches of 100. Latencies: from publishing to the client, at {rate:,.0f} events
to single users a second, where the machine reaches that. Trust CPU figures and the ratios between rows of one run.
"""
_COLUMNS = (
    "broadcast CPU µs/event",
    "× nchan",
    "single user CPU µs/event",
    "× nchan",
    "kB/stream",
    "tasks/stream",
    "connect CPU µs",
    "idle CPU µs/stream/s",
    "events/s reached",
    "p50 ms",
    "p99 ms",
)


def markdown(results: Sequence[Figures], plan: Plan, absent: Sequence[Contender] = ()) -> str:
    """The whole report. absent: contenders that could not run here."""
    lines = [_INTRO.format(**vars(plan))]
    for streams in plan.streams:
        some = [one for one in results if one.streams == streams]
        lines += [f"## {streams:,} streams", "", f"| contender | {' | '.join(_COLUMNS)} |"]
        lines += ["|---" * (len(_COLUMNS) + 1) + "|", *(_row(one, some) for one in some), ""]
    measured = list({one.contender.name: one.contender for one in results}.values())
    lines += ["What each does:", "", *(f"- **{one.name}**: {one.does}." for one in measured)]
    lines += [f"- Not measured: **{one.name}** ({one.missing()})." for one in absent]
    cpus = os.cpu_count() or 1
    pinned = (
        f"contender on CPU {CONTENDER}, clients, publisher and Valkey on CPU {AROUND}"
        if PINNED
        else "nothing pinned: contenders share their CPU with the load, take only ratios"
    )
    load = os.getloadavg()[0]
    busy = " (busy: others were at work)" if load > cpus else ""
    versions = "; ".join(one.versions() for one in measured)
    return "\n".join(
        [
            *lines,
            "",
            f"Python {platform.python_version()}, Linux {platform.release()}, {cpus} CPUs, {pinned}; load average "
            f"{load:.1f}{busy}; {versions}.",
            "",
        ]
    )


def _row(one: Figures, all: Sequence[Figures]) -> str:
    base = next((other for other in all if other.contender.name == "nchan"), None)
    cells = [
        one.contender.name,
        f"{one.broadcast:.1f}",
        f"{one.broadcast / base.broadcast:.2f}" if base else "–",
        f"{one.unicast:.1f}",
        f"{one.unicast / base.unicast:.2f}" if base else "–",
        f"{one.memory:.1f}",
        "–" if one.tasks is None else f"{one.tasks:.1f}",
        f"{one.connect:.0f}",
        f"{one.idle:.1f}",
        f"{one.reached:,.0f}",
        f"{one.p50:.1f}",
        f"{one.p99:.1f}",
    ]
    return f"| {' | '.join(cells)} |"
