"""The program that makes the mutants and runs the tests against them: mutmut with three more operators. `trial` runs it
in a folder with a copy of the mutated code, never in the checkout; it leaves `report.json` there.

For each mutant mutmut forks a child that has everything imported already, runs in it only the tests that reach the
mutated function, and stops at the first failure. Hypothesis draws the same examples each time and does not shrink:
whether a mutant survives must not depend on chance, and the smallest example is not used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import libcst as cst
from mutmut.__main__ import cli
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.mutators import mutation_operators
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key


def deleted(node: cst.Expr | cst.Raise | cst.Del | cst.AugAssign) -> Iterator[cst.CSTNode]:
    """Deletes a call whose result is not used, a refusal, a removal or a count."""
    if not isinstance(node, cst.Expr) or isinstance(node.value, cst.Call | cst.Await):
        yield cst.Pass()


def empty_handed(node: cst.Return) -> Iterator[cst.CSTNode]:
    if node.value is not None and not (isinstance(node.value, cst.Name) and node.value.value == "None"):
        yield node.with_changes(value=cst.Name("None"))


def turned_round(node: cst.If) -> Iterator[cst.CSTNode]:
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), test))


def changed(name: str, path: Path) -> tuple[str, str]:
    """The lines of the function that the mutant removed, and the lines that replace them."""
    lines = get_diff_for_mutant(name, path=path).splitlines()[3:]
    was, now = (
        "\n".join(line[1:].strip() for line in lines if line.startswith(sign)).strip() for sign in ("-", "+")
    )
    return was, now


def report() -> Iterator[dict[str, str]]:
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            outcome = status_by_exit_code[code]
            if outcome == "not checked":
                continue
            function, owner = orig_function_and_class_names_from_key(name)
            was, now = changed(name, path)
            yield {
                "module": Path(path).stem,
                "function": f"{owner}.{function}" if owner else function,
                "was": was,
                "now": now,
                "outcome": outcome,
            }


if __name__ == "__main__":
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")
    for kind in (cst.Expr, cst.Raise, cst.Del, cst.AugAssign):
        mutation_operators.append((kind, deleted))
    mutation_operators.append((cst.Return, empty_handed))
    mutation_operators.append((cst.If, turned_round))
    cli(["run", "--max-children", sys.argv[1]], standalone_mode=False)
    Path("report.json").write_text(json.dumps(list(report())), encoding="utf-8")
