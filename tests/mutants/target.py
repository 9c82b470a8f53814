"""What is mutated: a package, and for each of its modules the tests that have to notice. `main` is the command line of
every target: it tries some modules and prints each new survivor as an entry that waits for its reason."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..conftest import ROOT
from . import trial

SECONDS = 2400.0
"""Seconds for one module, on a slow and busy machine."""


@dataclass(frozen=True)
class Target:
    """package: a folder below the root; modules: the tests of each, as files or folders below the root; survivors: the
    list of explanations; copies: patterns of what the tests need beside their own files."""

    package: str
    modules: Mapping[str, Sequence[str]]
    survivors: Path
    copies: Sequence[str] = ()

    def run(self, module: str, folder: Path) -> list[trial.Outcome]:
        """folder: an empty one for the copy."""
        tests = self.modules[module]
        inits = {
            f"{parent}/__init__.py"
            for test in tests
            for parent in (path.as_posix() for path in Path(test).parents)
        }
        return trial.run(
            ROOT,
            folder,
            copies=["bff/**/*", *sorted(inits), *self.copies, *tests],
            source="bff",
            mutate=f"{self.package}/{module}.py",
            tests=tests,
            seconds=SECONDS,
        )

    def explained(self, module: str) -> list[trial.Mutant]:
        """The mutants of a module whose survival has a reason."""
        return [one for one in trial.explained(self.survivors) if one.module == module]


def _entry(mutant: trial.Mutant) -> str:
    texts = {"where": f"{mutant.module}.{mutant.function}", "was": mutant.was, "now": mutant.now, "why": ""}
    lines = (f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in texts.items())
    return "\n".join(["[[survivor]]", *lines, ""])


def main(target: Target, chosen: Sequence[str]) -> None:
    """chosen: modules; none: all."""
    chosen = chosen or list(target.modules)
    known = [one for module in chosen for one in target.explained(module)]
    found: list[trial.Outcome] = []
    for name in chosen:
        with tempfile.TemporaryDirectory() as place:
            found += target.run(name, Path(place))
    verdict = trial.judge(found, known)
    print("\n".join(_entry(mutant) for mutant in verdict.unexplained))
    tests = {one.mutant: one.test for one in found}
    for mutant in verdict.untrue:
        print(f"found after all by {tests[mutant]}: {mutant}")
    for mutant in verdict.gone:
        print("no longer made:", mutant)
    print(trial.table(found, known))
