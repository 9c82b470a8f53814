"""The trial of each module of bff/policies/ by its own unit tests alone. `python -m tests.mutants.policies [module …]`
runs it by hand and prints each new survivor as an entry for survivors.toml that waits for its reason."""

from __future__ import annotations

import sys
from pathlib import Path

from ..conftest import ROOT
from .target import Target, main

# Events decide nothing.
_LEFT_OUT = {"__init__", "events"}
MODULES = sorted({path.stem for path in (ROOT / "bff" / "policies").glob("*.py")} - _LEFT_OUT)
POLICIES = Target(
    "bff/policies",
    {module: [f"tests/unit/policies/test_{module}.py"] for module in MODULES},
    Path(__file__).with_name("survivors.toml"),
)

if __name__ == "__main__":
    main(POLICIES, sys.argv[1:])
