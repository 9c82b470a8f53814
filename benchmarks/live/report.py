"""The Markdown tables of streams: medians with their spread, what each contender does for a stream, the targets, and
the conditions of the measurement."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

from ..fanout.earlier import BASE
from ..fanout.process import AROUND, CONTENDER, PINNED
from ..fanout.run import Spread
from .contenders import BEAT, NCHAN_SERVER, Contender
from .figures import Plan, Row, Run
from .ours import EARLIER, OURS
from .run import Comparison

RESULTS = Path(__file__).with_name("RESULTS.md")

_INTRO = """# Open streams and the events on them

Events of about 330 bytes; median (least–most), ratios of the same pass. Trust CPU figures and the ratios
between rows of one run; latencies hold for a quiet machine only.

- Broadcast: one event to every stream, {deliveries:,} deliveries a pass.
- Single user: one event to one stream each, {events:,} a pass in batches of 100; taking the POST is part of it where
  events come by POST.
- Connect: requests as a browser's EventSource sends them, 100 at a time, until each stream has its first bytes; a
  person's first stream, and another one later.
- Idle: CPU seconds an hour for 1,000 streams on which nothing happens but a beat every {beat} s, from a window of
  {idle:g} s in the first pass.
- Latencies: from publishing to the client, by one clock, at {rate:,.0f} events a second, each to a single user. "Kept
  up with" is the highest rate at which the publisher was not held up and everything had come half a second after the
  last event went.
"""
_COLUMNS = (
    "broadcast CPU µs/event",
    "× nchan",
    "single user CPU µs/event",
    "× nchan",
    "kB/stream",
    "tasks/stream",
    "connect CPU µs",
    "again",
    "idle CPU s/h per 1,000",
    "events/s reached",
    "CPU µs/event there",
    "p50 ms",
    "p99 ms",
    "kept up with events/s",
)
TIMES_BROADCAST, TIMES_SINGLE, TIMES_CONNECT, TIMES_EARLIER = 0.9, 0.65, 6.0, 0.6
STRETCH_CONNECT = 4.0
KB, TASKS, P99 = 11.5, 1.0, 50.0


def markdown(result: Comparison, plan: Plan, absent: Sequence[Contender] = ()) -> str:
    """The whole report. absent: contenders that could not run here."""
    lines = [_INTRO.format(**vars(plan) | {"beat": BEAT})]
    for streams in plan.streams:
        some = [row for row in result.rows if row.streams == streams]
        base = next((row for row in some if row.contender is NCHAN_SERVER), None)
        earlier = next((row for row in some if row.contender is EARLIER), None)
        lines += [
            f"## {streams:,} streams, {_passes(plan.passes_with(streams))}",
            "",
            f"| contender | {' | '.join(_COLUMNS)} |",
        ]
        lines += ["|---" * (len(_COLUMNS) + 1) + "|", *(_row(row, base) for row in some), ""]
        lines += [line for row in some for line in _beside(row, base, earlier)]
    measured = list({row.contender.name: row.contender for row in result.rows}.values())
    lines += ["What each does:", "", *(f"- **{one.name}**: {one.does}." for one in measured)]
    lines += [f"- Not measured: **{one.name}** ({one.missing()})." for one in absent]
    return "\n".join([*lines, "", f"{'; '.join((_machine(), _run(result), *result.versions))}.", ""])


def _passes(number: int) -> str:
    return "one pass" if number == 1 else f"{number} interleaved passes"


def _row(row: Row, base: Row | None) -> str:
    cells = [
        row.contender.name,
        _cell(row.spread(lambda run: run.broadcast), 1),
        _cell(base and row.against(base, lambda run: run.broadcast), 2),
        _cell(row.spread(lambda run: run.unicast), 1),
        _cell(base and row.against(base, lambda run: run.unicast), 2),
        _cell(row.spread(lambda run: run.memory), 1),
        _cell(row.spread(lambda run: run.tasks), 1),
        _cell(row.spread(lambda run: run.connect), 0),
        _cell(row.spread(lambda run: run.again), 0),
        _cell(row.spread(lambda run: run.idle), 1),
        _cell(row.spread(lambda run: run.asked.reached), 0),
        _cell(row.spread(lambda run: run.asked.cpu), 1),
        _cell(row.spread(lambda run: run.asked.p50), 1),
        _cell(row.spread(lambda run: run.asked.p99), 1),
        _cell(row.spread(lambda run: run.paces[-1].rate if run.paces[-1].held else 0.0), 0),
    ]
    return f"| {' | '.join(cells)} |"


def _cell(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return "–"
    median, least, most = (f"{one:,.{digits}f}" for one in (spread.median, spread.least, spread.most))
    return median if least == most else f"{median} ({least}–{most})"


def _beside(row: Row, base: Row | None, earlier: Row | None) -> list[str]:
    """What has no column; most of it concerns only one contender."""
    name, said = f"**{row.contender.name}**", []
    if row.failure is not None:
        said.append(f"Given up in pass {len(row.runs) + 1}: {row.failure}.")
    for pace in (run.paces[-1] for run in row.runs if len(run.paces) > 1):
        held = "kept up with" if pace.held else "not even kept up with"
        said.append(f"{pace.rate:,.0f} events/s {held}: p50 {pace.p50:.1f} ms, p99 {pace.p99:.1f} ms.")
    stored, bus = row.spread(lambda run: run.stored), row.spread(lambda run: run.bus)
    if stored is not None:
        said.append(
            f"Its Valkey, on the other CPU, takes {_cell(stored, 1)} µs for an event to a single user that is written "
            "to the person's journal and published."
        )
    if bus is not None:
        said.append(
            "An event to a single user that it takes from the bus itself, as one gateway does for all, costs "
            f"{_cell(bus, 1)} µs in all: read, checked, written, received, sent."
        )
    if row.contender is OURS and row.runs:
        said.append(_goals(row, base, earlier))
    return [f"{name}: {' '.join(said)}", ""] if said else []


def _goals(row: Row, base: Row | None, earlier: Row | None) -> str:
    def times(other: Row | None, figure: Callable[[Run], float | None]) -> Spread | None:
        return None if other is None else row.against(other, lambda run: figure(run) or math.nan)

    limits: tuple[tuple[str, Spread | None, float, float | None], ...] = (
        (
            f"{TIMES_BROADCAST:g} × nchan's broadcast",
            times(base, lambda run: run.broadcast),
            TIMES_BROADCAST,
            None,
        ),
        (f"{TIMES_SINGLE:g} × nchan's single user", times(base, lambda run: run.unicast), TIMES_SINGLE, None),
        (
            f"{TIMES_CONNECT:g} × nchan's connect",
            times(base, lambda run: run.connect),
            TIMES_CONNECT,
            STRETCH_CONNECT,
        ),
        (f"{KB:g} kB", row.spread(lambda run: run.memory), KB, None),
        ("one task", row.spread(lambda run: run.tasks), TASKS, None),
        # A rate that was not held has no meaningful latency.
        (
            f"p99 of {P99:g} ms",
            row.spread(lambda run: run.asked.p99 if run.asked.held else math.inf),
            P99,
            None,
        ),
        (
            f"{TIMES_EARLIER:g} of an event from the bus at {BASE}",
            times(earlier, lambda run: run.bus),
            TIMES_EARLIER,
            None,
        ),
    )
    said = [
        f"{what} ({spread.median:.2f}: {_verdict(spread.median, most, stretch)})"
        for what, spread, most, stretch in limits
        if spread is not None and not math.isnan(spread.median)
    ]
    return f"Goals, at most: {', '.join(said)}."


def _verdict(found: float, most: float, stretch: float | None) -> str:
    if stretch is not None and found <= stretch:
        return "stretch"
    return "met" if found <= most else "missed"


def _machine() -> str:
    cpus = os.cpu_count() or 1
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    pinned = (
        f"contender on CPU {CONTENDER}, clients, publisher and Valkey on CPU {AROUND}"
        if PINNED
        else "nothing pinned: contenders share their CPU with the load, use only ratios"
    )
    return f"Python {platform.python_version()}, Linux {platform.release()}, {cpus} CPUs ({next(names, '?')}), {pinned}"


def _run(result: Comparison) -> str:
    before, after = result.loads
    busy = " (busy: other programs were running)" if before > 1.0 else ""
    minutes, seconds = divmod(int(result.took), 60)
    return f"{minutes} min {seconds} s; load average {before:.1f} before{busy}, {after:.1f} after"
