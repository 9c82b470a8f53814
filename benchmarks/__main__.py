"""`python -m benchmarks`: the fan-out comparison. `profile` shows where one contender spends its time, `pipeline` what
one upstream call costs, `decisions` what a rate limit decision costs, and `live` what an open stream and an event on it
cost (about ten minutes). `forward` compares a forwarded exchange with nginx and Caddy, `etags` an answer 304 with
the whole screen, and `compression` the bytes and CPU time of each content coding. `instructions` counts those of one
screen (valgrind).

It starts its own programs, on free loopback ports, and ends them. It writes nothing into the project without `--write`.
The exit code is 1 when a contender answered wrongly, so that no figure belongs to a broken screen.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace

from . import compression, decisions, etags, forward, instructions, live, pipeline
from .fanout import profile, report, run
from .fanout.contenders import ALL
from .fanout.run import Plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; returns the exit code."""
    given = _parser().parse_args(arguments)
    chosen = [one for one in ALL if not given.only or one.name in given.only]
    contenders = [one for one in chosen if one.missing() is None]
    absent = [one for one in chosen if one not in contenders]
    if given.benchmark == "pipeline":
        print(pipeline.table())
        return 0
    if given.benchmark == "decisions":
        print(decisions.table())
        return 0
    if given.benchmark == "etags":
        print(etags.table())
        return 0
    if given.benchmark == "compression":
        print(compression.table())
        return 0
    if given.benchmark == "forward":
        print(forward.table(given.seconds or 2.0))
        return 0
    if given.benchmark == "instructions":
        return _instructions(given)
    if given.benchmark == "live":
        return _live(given)
    if given.benchmark == "profile":
        one = next(one for one in ALL if one.name == (given.only or ["bff, login"])[0])
        print(profile.profile(one, seconds=given.seconds or 5.0, connections=(given.connections or [16])[0]))
        return 0
    plan = Plan(tuple(given.connections or (64,)), given.seconds or Plan.seconds)
    if given.quick:
        plan = Plan(plan.connections[-1:], given.seconds or 0.3, warm_up=0, rounds=1, starts=1, people=200)
    result = run.compare(contenders, plan)
    text = report.markdown(result, plan, absent)
    print(text)
    if given.write:
        report.RESULTS.write_text(text, encoding="utf-8")
    return 1 if any(one.wrong for one in result.rows) else 0


def _instructions(given: argparse.Namespace) -> int:
    try:
        count = instructions.counted()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"A screen takes {count:,} instructions with Python {instructions.key()}.")
    if given.write:
        instructions.store(count)
    return 0


def _live(given: argparse.Namespace) -> int:
    absent = [one for one in live.ALL if one.missing()]
    plan = live.Plan()
    if given.quick:
        plan = live.Plan((100,), passes=1, deliveries=2_000, events=500, idle=0.5, seconds=0.5, rates=())
    if given.connections:
        plan = replace(plan, streams=tuple(given.connections))
    try:
        result = asyncio.run(live.compare([one for one in live.ALL if one not in absent], plan))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    text = live.markdown(result, plan, absent)
    print(text)
    if given.write:
        live.RESULTS.write_text(text, encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "benchmark",
        nargs="?",
        default="fanout",
        choices=(
            "fanout",
            "profile",
            "pipeline",
            "decisions",
            "etags",
            "forward",
            "compression",
            "instructions",
            "live",
        ),
    )
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write RESULTS.md beside the benchmark, or the figure of `instructions`",
    )
    parser.add_argument(
        "--connections",
        type=int,
        action="append",
        help="open at once (repeatable; default 64; profile 16; live 2,000 and 10,000)",
    )
    parser.add_argument("--seconds", type=float, help="of one run (default 1.2; profile 5)")
    names = [one.name for one in ALL]
    parser.add_argument("--only", action="append", choices=names, help="this contender (repeatable)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
