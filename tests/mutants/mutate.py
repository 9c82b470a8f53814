"""The program that makes the mutants and runs the tests against them: mutmut with three more operators, and with a
runner that confirms what catches a mutant. `trial` runs it in a folder with a copy of the mutated code, never in the
checkout; it leaves `report.json` there.

For each mutant a child is forked that has everything imported already. It runs only the tests that reach the mutated
function, first those that caught other mutants of it, and stops at the first failure. The mutant counts as caught when
that test, by itself in a process of its own, fails again or takes more than a generous time. So a test that fails only
after another one, that fails once on a busy machine, or that was only slow, catches nothing: it is left out, and the
others are run again. A mutant whose tests could not be run is not caught either: it is `suspicious`.

Hypothesis draws the same examples each time and does not shrink: whether a mutant survives must not depend on chance,
and the smallest example is not used.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import hypothesis
import libcst as cst
import pytest
from mutmut.__main__ import cli
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import change_cwd, walk_mutatable_files
from mutmut.utils.format_utils import mangled_name_from_mutant_name, orig_function_and_class_names_from_key
from mutmut.workers.isolation import ForkRunner, MutantResult

SURVIVED, KILLED, SUSPICIOUS, TIMEOUT = 0, 1, 35, 36
"""The codes that mutmut has words for."""
CONTRADICTIONS = 3
"""A mutant that so many tests caught, each of them not again by itself, is suspicious."""
STOPPED = -signal.SIGALRM


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


@dataclass
class Case:
    """One mutant under way. alone: the test that has to catch it again; passed: those that did not."""

    mutant: str
    tests: Sequence[str]
    began: float
    alone: str = ""
    passed: set[str] = field(default_factory=set)

    @property
    def function(self) -> str:
        return mangled_name_from_mutant_name(self.mutant)

    def chosen(self) -> list[str]:
        """What the next run runs."""
        return [self.alone] if self.alone else [test for test in self.tests if test not in self.passed]


class Selection:
    """A pytest plugin: only these tests run, in this order. The test under way is written to a file, so that it is
    known after the process was stopped.

    Names are not arguments of the command line and are compared without regard to the number of backslashes: pytest
    escapes those of a parameter once more each time it collects a test in the same process, and would not find it.
    """

    def __init__(self, tests: Sequence[str], under_way: Path) -> None:
        self._tests = tests
        self._places = {_unescaped(test): place for place, test in enumerate(tests)}
        self._under_way = under_way

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if _unescaped(item.nodeid) in self._places]
        missing = self._places.keys() - {_unescaped(item.nodeid) for item in items}
        if missing:
            raise pytest.UsageError(f"tests that were found before are missing: {sorted(missing)}")
        items.sort(key=lambda item: self._places[_unescaped(item.nodeid)])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._under_way.write_text(self._tests[self._places[_unescaped(nodeid)]], encoding="utf-8")


def _unescaped(name: str) -> str:
    return re.sub(r"\\+", r"\\", name)


class ConfirmingRunner(ForkRunner):
    """Takes a mutant's first run and the runs that confirm it as one submitted mutant.

    under_way   a folder for what the children write, made here
    patience    the seconds that tests may take beyond 10 times their usual time in the first run, and beyond 20 times
                in those that confirm it
    deciding    the test that caught each mutant, by the mutant's name
    """

    def __init__(
        self, max_workers: int, test_runner: PytestRunner, under_way: Path, patience: tuple[float, float]
    ) -> None:
        super().__init__(max_workers, test_runner)
        under_way.mkdir()
        self._first, self._alone = patience
        self._pytest = test_runner
        self._under_way = under_way
        self._cases: dict[int, Case] = {}
        self._catches: Counter[tuple[str, str]] = Counter()
        self.deciding: dict[str, str] = {}

    def submit(self, mutant_name: str, tests: list[str], cpu_time_limit: int, estimated_time: float) -> None:
        self._start(Case(mutant_name, tests, time.monotonic()), self._first + 10 * estimated_time)

    def has_capacity(self) -> bool:
        return len(self._cases) < self.max_workers

    def pending_count(self) -> int:
        return len(self._cases)

    def stop_all_workers(self) -> None:
        for pid in self._cases:
            os.kill(pid, signal.SIGTERM)

    def wait_for_result(self, timeout: float | None = None) -> MutantResult:
        while True:
            pid, status = os.wait()
            case = self._cases.pop(pid)
            code = self._decided(case, os.waitstatus_to_exitcode(status))
            if code is not None:
                return MutantResult(case.mutant, code, time.monotonic() - case.began)

    def shutdown(self) -> None:
        while self._cases:
            self.wait_for_result()
        super().shutdown()

    def _decided(self, case: Case, code: int) -> int | None:
        """The final code, or None when another run has begun."""
        if code in (KILLED, STOPPED) and case.alone:
            self.deciding[case.mutant] = case.alone
            self._catches[case.function, case.alone] += code == KILLED
            return KILLED if code == KILLED else TIMEOUT
        if code in (KILLED, STOPPED):
            under_way = self._under_way / case.mutant
            if not under_way.exists():
                return SUSPICIOUS
            case.alone = under_way.read_text(encoding="utf-8")
        elif code == SURVIVED and case.alone:
            case.passed.add(case.alone)
            case.alone = ""
            if len(case.passed) == CONTRADICTIONS:
                return SUSPICIOUS
            if not case.chosen():
                return SURVIVED
        else:
            return code
        usual = sum(state().duration_by_test[test] for test in case.chosen())
        self._start(case, self._alone + 20 * usual)
        return None

    def _start(self, case: Case, seconds: float) -> None:
        durations, catches, function = state().duration_by_test, self._catches, case.function
        tests = sorted(case.chosen(), key=lambda test: (-catches[function, test], durations[test], test))
        (self._under_way / case.mutant).unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            os._exit(self._run(case.mutant, tests, seconds))
        self._cases[pid] = case

    def _run(self, mutant: str, tests: Sequence[str], seconds: float) -> int:
        """In the child, which ends itself when its time is over."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        set_mutant_under_test(mutant)
        files = sorted({test.partition("::")[0] for test in tests})
        try:
            sys.stdout = sys.stderr = (self._under_way / f"{mutant}.log").open("w", encoding="utf-8")
            with change_cwd("mutants"):
                selection = Selection(tests, self._under_way / mutant)
                code = self._pytest.execute_pytest(["-x", "-q", *files], plugins=[selection])
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            return SUSPICIOUS
        return code if code in (SURVIVED, KILLED) else SUSPICIOUS


def changed(name: str, path: Path) -> tuple[str, str]:
    """The lines of the function that the mutant removed, and the lines that replace them."""
    lines = get_diff_for_mutant(name, path=path).splitlines()[3:]
    was, now = (
        "\n".join(line[1:].strip() for line in lines if line.startswith(sign)).strip() for sign in ("-", "+")
    )
    return was, now


def report(deciding: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """deciding: the test that caught each mutant, by the mutant's name."""
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
                "test": deciding.get(name, ""),
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
    processes, first, alone = sys.argv[1:]
    runner = ConfirmingRunner(
        int(processes), PytestRunner(), Path("under_way").absolute(), (float(first), float(alone))
    )
    with mock.patch("mutmut.__main__.get_mutant_runner", return_value=runner):
        cli(["run", "--max-children", processes], standalone_mode=False)
    Path("report.json").write_text(json.dumps(list(report(runner.deciding))), encoding="utf-8")
