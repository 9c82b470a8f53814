"""The garbage collector, paused while modules are imported: almost nothing that an import makes is garbage, and
traversing it again and again takes an eighth of a start."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Inside the block nothing is collected; afterwards it is as it was before, also after an error."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
