"""`bff`'s command line with a sampling profiler inside: `python -m benchmarks.fanout.sampled serve …`.

SIGUSR2 starts it: from then on the kernel's profiling timer (process CPU time, about 250 times a second) records the
current stack, and the garbage collector is timed. At its end the process writes everything to the file BENCH_SAMPLES:
one JSON line a stack, the innermost frame first, and a last line with the collector's seconds. Time in C counts for the
Python function that called it; time in the event loop itself (including reads in the kernel) counts for the callback
that ran next.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

EVERY = 0.001
"""Seconds of CPU time requested between samples; the kernel's tick makes it 1 to 10 ms."""
DEEP = 60

_stacks: Counter[tuple[CodeType, ...]] = Counter()
_collected = 0.0


def _sample(number: int, frame: FrameType | None) -> None:
    stack: list[CodeType] = []
    while frame is not None and len(stack) < DEEP:
        stack.append(frame.f_code)
        frame = frame.f_back
    _stacks[tuple(stack)] += 1


def _collecting(phase: str, info: dict[str, int]) -> None:
    global _collected
    _collected += time.perf_counter() * (1 if phase == "stop" else -1)


def _begin(number: int, frame: FrameType | None) -> None:
    gc.callbacks.append(_collecting)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)


def _write(path: Path) -> None:
    import json

    with path.open("w") as out:
        for stack, count in _stacks.items():
            frames = [f"{code.co_filename}:{code.co_qualname}" for code in stack]
            print(json.dumps([count, frames]), file=out)
        print(json.dumps(_collected), file=out)


if __name__ == "__main__":
    from bff.cli import main

    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR2, _begin)
    try:
        code = main(sys.argv[1:])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(Path(os.environ["BENCH_SAMPLES"]))
    sys.exit(code)
