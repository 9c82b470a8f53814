"""The tool that starts programs and tests with room for their frames."""

from __future__ import annotations

import resource

from ..roomy import with_room


def _leaf() -> None:
    pass


def _new_pages(depth: int) -> int:
    """Pages of new memory that a thousand calls take at this depth."""
    if depth:
        return _new_pages(depth - 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(1_000):
        _leaf()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_calls_below_the_large_frame_take_no_new_memory_at_any_depth() -> None:
    taken = [with_room(_new_pages)(depth) for depth in range(300)]
    assert max(taken) < 500
