"""The comparison: every contender is checked, then measured in pass after pass, each pass beginning with another
contender.

One contender runs at a time, on its own CPU and with its own store where it has one, so no run finds what an earlier
one has left.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..fanout.process import AROUND, CONTENDER, Program, free_port, pin
from .contenders import Contender, Place
from .crowd import Crowd, TooSlow
from .figures import Plan, Row, Run
from .trial import Trial

_FILES = 500
"""The number of connections open beside the streams."""
_CHECKED = 100
"""The number of streams of a check."""


@dataclass
class Comparison:
    """rows: by size, then contender; versions: of what each contender was run with; loads: the machine's load average
    before and after; took: seconds."""

    rows: list[Row] = field(default_factory=list)
    versions: tuple[str, ...] = ()
    loads: tuple[float, float] = (0.0, 0.0)
    took: float = 0.0


@asynccontextmanager
async def _served(contender: Contender, streams: int, folder: Path, clients: Crowd) -> AsyncIterator[Trial]:
    await asyncio.to_thread(folder.mkdir)
    place = Place(folder, free_port(), streams)
    async with contender.prepare(place) as prepared:
        program = Program(prepared.command, log=folder / "contender.log", cpu=CONTENDER, env=prepared.env)
        try:
            await asyncio.to_thread(program.ready, place.port)
            yield Trial(contender, prepared, program, place.port, clients)
        except RuntimeError as error:
            await clients.close()
            words = "" if isinstance(error, TooSlow) else f"; {program.last_words()}"
            raise type(error)(f"{error}{words}") from error
        finally:
            await prepared.publisher.close()
            if prepared.bus is not None:
                await prepared.bus.close()
            await asyncio.to_thread(program.stop)


def _allow(streams: int) -> None:
    """Raise the limit of open files for everything started from here. Raises RuntimeError."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = streams + _FILES
    if most != resource.RLIM_INFINITY and most < wanted:
        raise RuntimeError(f"{streams:,} streams need {wanted:,} open files, this system allows {most:,}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


async def compare(contenders: Sequence[Contender], plan: Plan) -> Comparison:
    """Measure all contenders and report progress on standard error. Raises RuntimeError when one behaves wrongly; one
    that is too slow has a row that says so."""
    pin(AROUND)
    _allow(max(plan.streams))
    rows = [Row(one, streams) for streams in plan.streams for one in contenders if streams <= one.most]
    result = Comparison(rows)
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bff-live-") as name:
        clients = Crowd(Path(name))
        await clients.start()
        try:
            await _measure(contenders, result.rows, plan, Path(name), clients, _Progress(began))
            result.versions = await asyncio.to_thread(lambda: tuple(one.versions() for one in contenders))
        finally:
            await clients.stop()
    result.loads = load, os.getloadavg()[0]
    result.took = time.monotonic() - began
    return result


async def _measure(
    contenders: Sequence[Contender],
    rows: Sequence[Row],
    plan: Plan,
    folder: Path,
    clients: Crowd,
    tell: Callable[[str], None],
) -> None:
    for contender in contenders:
        try:
            async with _served(contender, _CHECKED, folder / f"{contender.name}-check", clients) as trial:
                await trial.check()
                await trial.prove()
        except RuntimeError as error:
            raise RuntimeError(f"{contender.name}: {error}") from error
        tell(f"{contender.name}: checked")
    for number in range(plan.passes):
        for streams in (one for one in plan.streams if number < plan.passes_with(one)):
            some = [row for row in rows if row.streams == streams]
            turn = number % len(some)
            for row in some[turn:] + some[:turn]:
                if row.failure is None:
                    await _add(
                        row, plan, folder / f"{row.contender.name}-{streams}-{number}", number, clients
                    )
                said = row.failure or _brief(row.runs[-1])
                which = f"pass {number + 1} of {plan.passes_with(streams)}, {streams:,} streams"
                tell(f"{which}, {row.contender.name}: {said}")


async def _add(row: Row, plan: Plan, folder: Path, number: int, clients: Crowd) -> None:
    try:
        async with _served(row.contender, row.streams, folder, clients) as trial:
            await trial.check()
            row.runs.append(await trial.run(row.streams, plan, idle=number < plan.idles))
    except TooSlow as error:
        row.failure = str(error)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise RuntimeError(f"{row.contender.name}, {row.streams:,} streams: {what}") from error


def _brief(run: Run) -> str:
    pace = run.asked
    events = f"{run.broadcast:.1f} and {run.unicast:.1f} µs/event"
    streams = f"connect {run.connect:.0f} and {run.again:.0f} µs, {run.memory:.1f} kB"
    return f"{events}, {streams}, p99 {pace.p99:.1f} ms at {pace.reached:,.0f}/s"


class _Progress:
    """Prints a line whenever a step is done."""

    def __init__(self, began: float) -> None:
        self._began = began

    def __call__(self, said: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"{minutes}:{seconds:02d} {said}", file=sys.stderr, flush=True)
