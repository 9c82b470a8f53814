"""Calls with room for their frames: deep calls that are made again and again need no new memory.

CPython keeps the frames of a thread in chunks of 16 KB. Where a loop makes calls across the end of a chunk, each of
them maps a new chunk and unmaps it when it returns. Whether that happens depends on the depth of the loop; in gateways
and tests it took up to a third of the CPU time. A frame that is larger than a chunk gets a chunk of a power of two, and
what is left of it is for the calls below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Of 8 bytes each: the frame needs more than 256 KB, so its chunk has 512 KB, half of which are free.
SLOTS = 33_000


def with_room(function: Callable[P, R]) -> Callable[P, R]:
    """The function, called below a large frame."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    call.__code__ = call.__code__.replace(co_stacksize=SLOTS)
    return call
