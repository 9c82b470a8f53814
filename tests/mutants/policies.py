"""The trial of each module of bff/policies/ by its own unit tests alone. `python -m tests.mutants.policies [module …]`
runs it by hand and prints each new survivor as an entry for survivors.toml that waits for its reason."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from ..conftest import ROOT
from . import trial

SURVIVORS = Path(__file__).with_name("survivors.toml")
# Less than a single test may take.
SECONDS = 580.0
# Events decide nothing.
_LEFT_OUT = {"__init__", "events"}
MODULES = sorted({path.stem for path in (ROOT / "bff" / "policies").glob("*.py")} - _LEFT_OUT)


def run(module: str, folder: Path) -> list[trial.Outcome]:
    """module: its name in bff/policies/; folder: an empty one for the copy."""
    tests = f"tests/unit/policies/test_{module}.py"
    return trial.run(
        ROOT,
        folder,
        copies=[
            "bff/**/*",
            "tests/__init__.py",
            "tests/unit/__init__.py",
            "tests/unit/policies/__init__.py",
            tests,
        ],
        source="bff",
        mutate=f"bff/policies/{module}.py",
        tests=tests,
        seconds=SECONDS,
    )


def _entry(mutant: trial.Mutant) -> str:
    texts = {"where": f"{mutant.module}.{mutant.function}", "was": mutant.was, "now": mutant.now, "why": ""}
    lines = (f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in texts.items())
    return "\n".join(["[[survivor]]", *lines, ""])


if __name__ == "__main__":
    chosen = sys.argv[1:] or MODULES
    known = [one for one in trial.explained(SURVIVORS) if one.module in chosen]
    found: list[trial.Outcome] = []
    for name in chosen:
        with tempfile.TemporaryDirectory() as place:
            found += run(name, Path(place))
    verdict = trial.judge(found, known)
    print("\n".join(_entry(mutant) for mutant in verdict.unexplained))
    for mutant in verdict.untrue:
        print("found after all:", mutant)
    for mutant in verdict.gone:
        print("no longer made:", mutant)
    print(trial.table(found, known))
