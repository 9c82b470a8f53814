"""The program that makes the mutants and runs the tests against them: mutmut with three more operators, and with a
runner that confirms what catches a mutant. `trial` runs it in a folder with a copy of the mutated code, never in the
checkout; it leaves `report.json` there.

For each mutant a child is forked that has everything imported and collected already. It runs only the tests that reach
the mutated function, first those that caught other mutants of it, and stops at the first failure. The mutant counts as
caught when that test, by itself in a process of its own, fails again or takes more than a generous time. So a test that
fails only after another one, that fails once on a busy machine, or that was only slow, catches nothing: it is left out,
and the others are run again. A mutant whose tests could not be run is not caught either: it is `suspicious`.

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
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from unittest import mock

import hypothesis
import libcst as cst
import pytest
from mutmut.__main__ import cli
from mutmut.configuration import config
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


class Server:
    """A pytest plugin that runs tests on request, each time in a forked child: importing and collecting them takes far
    longer than running them, and is done once.

    requests    what to run, as (mutant, tests in their order, seconds); None ends it. The answers are exit codes, also
                negative ones of signals: a child ends itself when its time is over
    under_way   the child writes the name of the test under way to a file there, named like the mutant
    """

    def __init__(self, requests: Connection, under_way: Path) -> None:
        self._requests = requests
        self._under_way = under_way
        self._mutant = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        items = {_unescaped(item.nodeid): item for item in session.items}
        while (request := self._requests.recv()) is not None:
            pid = os.fork()
            if pid == 0:
                self._mutant, tests, seconds = request
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_REAL, seconds)
                set_mutant_under_test(self._mutant)
                session.items[:] = [items[_unescaped(test)] for test in tests]
                # pytest's own loop runs them, and the child ends as pytest ends.
                return None
            self._requests.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return True

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        # In one step: the child may be ended at any moment.
        written = self._under_way / f"{self._mutant}.new"
        written.write_text(nodeid, encoding="utf-8")
        written.replace(self._under_way / self._mutant)


def _unescaped(name: str) -> str:
    """Each time that a process collects a test, pytest escapes the backslashes of its parameters once more."""
    return re.sub(r"\\+", r"\\", name)


class ConfirmingRunner(ForkRunner):
    """Takes a mutant's first run and the runs that confirm it as one submitted mutant.

    folder      for what the servers write, made here
    patience    the seconds that tests may take beyond 10 times their usual time in the first run, and beyond 20 times
                in those that confirm it
    deciding    the test that caught each mutant, by the mutant's name
    """

    def __init__(
        self, max_workers: int, test_runner: PytestRunner, folder: Path, patience: tuple[float, float]
    ) -> None:
        super().__init__(max_workers, test_runner)
        folder.mkdir()
        self._first, self._alone = patience
        self._pytest = test_runner
        self._folder = folder
        self._idle: list[Connection] = []
        self._cases: dict[Connection, Case] = {}
        self._catches: Counter[tuple[str, str]] = Counter()
        self.deciding: dict[str, str] = {}

    def startup(self) -> None:
        super().startup()
        for number in range(self.max_workers):
            near, far = Pipe()
            if os.fork() == 0:
                os._exit(self._serve(far, self._folder / f"server-{number}.log"))
            far.close()
            self._idle.append(near)

    def submit(self, mutant_name: str, tests: list[str], cpu_time_limit: int, estimated_time: float) -> None:
        case = Case(mutant_name, tests, time.monotonic())
        self._start(self._idle.pop(), case, self._first + 10 * estimated_time)

    def has_capacity(self) -> bool:
        return bool(self._idle)

    def pending_count(self) -> int:
        return len(self._cases)

    def wait_for_result(self, timeout: float | None = None) -> MutantResult:
        while True:
            for server in wait(list(self._cases)):
                assert isinstance(server, Connection)
                case = self._cases.pop(server)
                code = self._decided(case, server.recv())
                if code is not None:
                    self._idle.append(server)
                    return MutantResult(case.mutant, code, time.monotonic() - case.began)
                usual = sum(state().duration_by_test[test] for test in case.chosen())
                self._start(server, case, self._alone + 20 * usual)

    def stop_all_workers(self) -> None:
        """Whoever started this program kills the servers and their children with it."""

    def shutdown(self) -> None:
        for server in self._idle:
            server.send(None)
        super().shutdown()

    def _decided(self, case: Case, code: int) -> int | None:
        """The final code, or None when another run has to decide."""
        if code in (KILLED, STOPPED) and case.alone:
            self.deciding[case.mutant] = case.alone
            self._catches[case.function, case.alone] += code == KILLED
            return KILLED if code == KILLED else TIMEOUT
        if code in (KILLED, STOPPED):
            under_way = self._folder / case.mutant
            if not under_way.exists():
                return SUSPICIOUS
            name = _unescaped(under_way.read_text(encoding="utf-8"))
            case.alone = next(test for test in case.tests if _unescaped(test) == name)
            return None
        if code == SURVIVED and case.alone:
            case.passed.add(case.alone)
            case.alone = ""
            if len(case.passed) == CONTRADICTIONS:
                return SUSPICIOUS
            return None if case.chosen() else SURVIVED
        return code

    def _start(self, server: Connection, case: Case, seconds: float) -> None:
        durations, catches, function = state().duration_by_test, self._catches, case.function
        tests = sorted(case.chosen(), key=lambda test: (-catches[function, test], durations[test], test))
        (self._folder / case.mutant).unlink(missing_ok=True)
        server.send((case.mutant, tests, seconds))
        self._cases[server] = case

    def _serve(self, requests: Connection, log: Path) -> int:
        """The exit code of a server, and of each of its children."""
        try:
            sys.stdout = sys.stderr = log.open("a", encoding="utf-8")
            with change_cwd("mutants"):
                files = config().pytest_add_cli_args_test_selection
                code = self._pytest.execute_pytest(
                    ["-x", "-q", *files], plugins=[Server(requests, self._folder)]
                )
        except BaseException:
            traceback.print_exc()
            code = SUSPICIOUS
        sys.stderr.flush()
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
