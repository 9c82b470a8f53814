"""The trial of bff/policies/ by its unit tests alone. `python -m tests.mutants.policies [module …]` runs it by hand and
prints each new survivor as an entry for survivors.toml that waits for its reason."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from ..conftest import ROOT
from . import trial

SURVIVORS = Path(__file__).with_name("survivors.toml")
SECONDS = 1_500.0
# Its tests are in tests/unit/edge and tests/redis until its rule is settled.
LEFT_OUT = ("rate",)


def run(folder: Path, *modules: str) -> list[trial.Outcome]:
    """modules: names in bff/policies/, all when none is given."""
    return trial.run(
        ROOT,
        folder,
        copies=["bff/**/*", "tests/__init__.py", "tests/unit/__init__.py", "tests/unit/policies/*.py"],
        source="bff",
        mutate="bff/policies/*.py",
        leave=[f"bff/policies/{module}.py" for module in LEFT_OUT],
        tests="tests/unit/policies",
        only=[f"bff.policies.{module}.*" for module in modules],
        seconds=SECONDS,
    )


def _entry(mutant: trial.Mutant) -> str:
    texts = {"where": f"{mutant.module}.{mutant.function}", "was": mutant.was, "now": mutant.now, "why": ""}
    lines = (f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in texts.items())
    return "\n".join(["[[survivor]]", *lines, ""])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), *sys.argv[1:])
    known = trial.explained(SURVIVORS)
    verdict = trial.judge(found, [one for one in known if not sys.argv[1:] or one.module in sys.argv[1:]])
    print("\n".join(_entry(mutant) for mutant in verdict.unexplained))
    for mutant in verdict.untrue:
        print("found after all:", mutant)
    for mutant in verdict.gone:
        print("not made any more:", mutant)
    print(trial.table(found, known))
