"""Where a bff contender spends its CPU time under the benchmark's load, so that optimisations are chosen by
measurement."""

from __future__ import annotations

import json
import signal
import sysconfig
from collections import Counter
from pathlib import Path

from . import place
from .contenders import Contender
from .process import ROOT, free_port
from .run import Entry

TOP = 25
_LIBRARIES = (sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), str(ROOT))


def profile(contender: Contender, *, seconds: float, connections: int) -> str:
    """The report as text. Raises ValueError for a contender that is not bff's."""
    if not contender.name.startswith("bff"):
        raise ValueError(f"{contender.name}: only bff's contenders can be sampled")
    with place.opened() as where:
        port = free_port()
        samples = where.folder / "samples"
        command, env = contender.start(where, port)
        command[command.index("bff")] = "benchmarks.fanout.sampled"
        program = where.start(contender.name, command, env | {"BENCH_SAMPLES": str(samples)})
        entry = Entry(where, contender, program, port)
        entry.check()
        entry.run(connections, 1.0)
        entry.program.signal(signal.SIGUSR2)
        run = entry.run(connections, seconds)
        entry.program.stop()
        *stacks, collected = [json.loads(line) for line in samples.read_text().splitlines()]
    title = f"{contender.name}: {run.cpu:.0f} µs of CPU a request with the sampler, {run.rate:.0f} requests/s"
    share = f"Collecting garbage took {collected:.2f} s of some {run.cpu * run.rate * seconds / 1e6:.2f} s of CPU."
    return "\n\n".join([title, share, *_tables(stacks, run.cpu)])


def _tables(stacks: list[tuple[int, list[str]]], cpu: float) -> list[str]:
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    packages: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    for count, frames in stacks:
        own[frames[0]] += count
        packages[_package(frames[0])] += count
        paid[_boundary(frames)] += count
        for name in set(frames):
            below[name] += count
    total = sum(own.values())
    return [
        f"{total} samples. Own time by package:\n" + _table(packages, total, cpu),
        f"The {TOP} functions with the most time of their own (C they call included):\n"
        + _table(_short(own), total, cpu),
        "Time below functions of bff (each sample once: the last function of bff → what it called; `loop`: a callback "
        "without bff):\n" + _table(paid, total, cpu),
        f"The {TOP} functions of bff with the most time in and below them:\n"
        + _table(_short(_of_bff(below)), total, cpu),
    ]


def _table(counts: Counter[str], total: int, cpu: float) -> str:
    rows = [
        f"{100 * count / total:5.1f} %  {cpu * count / total:6.0f} µs  {name}"
        for name, count in counts.most_common(TOP)
    ]
    return "\n".join(rows)


def _of_bff(counts: Counter[str]) -> Counter[str]:
    return Counter({name: count for name, count in counts.items() if _at_work(name)})


def _at_work(name: str) -> bool:
    """A function of bff, except those in which the whole process runs."""
    mine = f"{ROOT / 'bff'}/"
    return name.startswith(mine) and not name.startswith((f"{mine}cli/", f"{mine}edge/server.py"))


def _short(counts: Counter[str]) -> Counter[str]:
    made: Counter[str] = Counter()
    for name, count in counts.items():
        made[_relative(name)] += count
    return made


def _relative(name: str) -> str:
    for root in _LIBRARIES:
        if name.startswith(f"{root}/"):
            return name.removeprefix(f"{root}/")
    return name


def _boundary(frames: list[str]) -> str:
    """The innermost function of bff and what it called; for a callback of the loop without bff its name."""
    place = next((at for at, name in enumerate(frames) if _at_work(name)), None)
    if place is None:
        runner = next((at for at, name in enumerate(frames) if name.endswith(":Runner.run")), len(frames))
        return f"loop → {_relative(frames[max(0, runner - 1)])}"
    inner = f" → {_relative(frames[place - 1])}" if place else ""
    return _relative(frames[place]) + inner


def _package(name: str) -> str:
    """A library's name; `python` for the standard library; a room for bff's own code."""
    path = name.rpartition(":")[0]
    own = f"{ROOT / 'bff'}/"
    if path.startswith(own):
        return f"bff/{Path(path.removeprefix(own)).parts[0]}"
    short = _relative(path)
    if path.startswith(f"{_LIBRARIES[0]}/"):
        return short.partition("/")[0]
    if path.startswith("<"):
        return path
    if path.startswith(f"{ROOT}/"):
        return short.partition("/")[0]
    return f"python {Path(short).parts[0].removesuffix('.py')}"
