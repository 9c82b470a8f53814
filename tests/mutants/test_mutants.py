"""Tests of the tests: unit tests notice a change to the code, or a written reason says why it does no harm."""

from __future__ import annotations

import faulthandler
from pathlib import Path

import pytest

from ..conftest import ROOT
from . import access, policies, trial
from .trial import Mutant, Outcome

ONE = Mutant("clock", "Clock.tick", "self.now += 1", "self.now -= 1")
OTHER = Mutant("clock", "Clock.tick", "self.now += 1", "self.now = 1")
LOST = Mutant("clock", "Clock.gone", "return 1", "return None")


TARGETS = {"policies": policies.POLICIES, "access": access.ACCESS}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "module"), [(name, module) for name, target in TARGETS.items() for module in target.modules]
)
def test_every_mutant_is_killed_or_explained(
    name: str, module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A trial has its own limit, which is longer than that of other tests.
    faulthandler.cancel_dump_traceback_later()
    target = TARGETS[name]
    reasons = target.explained(module)
    outcomes = target.run(module, tmp_path)
    head, *rows = trial.table(outcomes, reasons).splitlines()
    with capsys.disabled():
        print("", *([head] if module == next(iter(target.modules)) else []), *rows[:-1], sep="\n")
    verdict = trial.judge(outcomes, reasons)
    told = [f"survives without a reason: {one}" for one in verdict.unexplained]
    tests = {one.mutant: one.test for one in outcomes}
    told += [
        f"is killed by {tests[one]}, so its explanation is no longer true: {one}" for one in verdict.untrue
    ]
    told += [f"is explained and no longer made: {one}" for one in verdict.gone]
    assert not told, "\n".join(
        [f"`python -m tests.mutants.{name} {module}` prints entries for the list", *told]
    )


@pytest.mark.slow
def test_a_test_that_checks_little_leaves_survivors(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "copy"
    for path, text in {
        "pyproject.toml": '[project]\nname = "small"\n',
        "small/__init__.py": "",
        "small/sum.py": """
def add(one, other, told):
    if other is None:
        raise ValueError("nothing to add")
    told.append(one)
    return one + other


def never(one):
    return one
""",
        "tests/test_sum.py": """
from small.sum import add


def test_it_adds():
    assert add(1, 0, []) == 1
""",
    }.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    found = trial.run(
        root,
        folder,
        copies=["small/*", "tests/*"],
        source="small",
        mutate="small/*.py",
        tests=["tests"],
        seconds=300,
    )
    words = {(one.mutant.function, one.mutant.was, one.mutant.now): one.word for one in found}
    assert words["add", "return one + other", "return None"] == "killed"
    assert words["add", "if other is None:", "if not (other is None):"] == "killed"
    assert words["add", "return one + other", "return one - other"] == "survived"
    assert words["add", "told.append(one)", "pass"] == "survived"
    assert words["add", 'raise ValueError("nothing to add")', "pass"] == "survived"
    assert words["never", "return one", "return None"] == "no tests"


@pytest.mark.slow
def test_only_what_one_test_by_itself_catches_again_counts_as_caught(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "copy"
    for path, text in {
        "pyproject.toml": '[project]\nname = "small"\n',
        "small/__init__.py": "",
        "small/parts.py": """
def flaky(one):
    return one


def late(one):
    return one


def ordered(one):
    return one


def hangs(one):
    return one


def escaped(one):
    return one.upper()
""",
        "tests/test_parts.py": r"""
import os
import threading
from pathlib import Path

import pytest

from small import parts


def first_run_of_a_mutant(test):
    mutant = os.environ["MUTANT_UNDER_TEST"]
    place = Path(f"{test}-{mutant}")
    first = "__mutmut_" in mutant and not place.exists()
    if first:
        place.touch()
    return first


def test_it_fails_once():
    parts.flaky(1)
    assert not first_run_of_a_mutant("flaky")


def test_it_is_slow_once():
    parts.late(1)
    if first_run_of_a_mutant("late"):
        threading.Event().wait(600)


RUNS = {}


@pytest.mark.parametrize("one", [1, 2])
def test_it_fails_after_another(one):
    parts.ordered(one)
    RUNS[os.getpid()] = RUNS.get(os.getpid(), 0) + 1
    assert "__mutmut_" not in os.environ["MUTANT_UNDER_TEST"] or RUNS[os.getpid()] == 1


def test_it_hangs():
    while parts.hangs(1) is None:
        threading.Event().wait(600)


@pytest.mark.parametrize("text", ["a\tb", "[::1", "a"], ids=repr)
def test_it_has_parameters(text):
    assert parts.escaped(text) is not None
""",
    }.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    found = trial.run(
        root,
        folder,
        copies=["small/*", "tests/*"],
        source="small",
        mutate="small/*.py",
        tests=["tests"],
        seconds=300,
        patience=(3.0, 6.0),
    )
    words = {(one.mutant.function, one.mutant.now): one.word for one in found}
    assert words["flaky", "return None"] == "survived"
    assert words["late", "return None"] == "survived"
    assert words["ordered", "return None"] == "survived"
    assert words["hangs", "return None"] == "timeout"
    assert words["escaped", "return None"] == "killed"
    assert words["escaped", "return one.lower()"] == "survived"


def test_tests_that_fail_without_a_mutant_make_the_trial_fail(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "copy"
    (root / "small").mkdir(parents=True)
    (root / "pyproject.toml").write_text("")
    (root / "small" / "sum.py").write_text("def add(one):\n    return one + 1\n")
    (root / "test_sum.py").write_text("from small.sum import add\n\ndef test_it():\n    assert add(1) == 3\n")
    with pytest.raises(trial.TrialFailed, match="assert 2 == 3"):
        trial.run(
            root,
            folder,
            copies=["small/*", "test_*.py"],
            source="small",
            mutate="small/*.py",
            tests=["test_sum.py"],
            seconds=300,
        )


def test_survivors_without_a_reason_and_killed_mutants_with_one_are_reported() -> None:
    verdict = trial.judge([Outcome(ONE, "survived"), Outcome(OTHER, "killed")], [OTHER, LOST])
    assert verdict == trial.Verdict(unexplained=[ONE], untrue=[OTHER], gone=[LOST])
    assert trial.judge([Outcome(ONE, "no tests")], []).unexplained == [ONE]
    assert trial.judge([Outcome(ONE, "suspicious")], []).unexplained == [ONE]
    assert trial.judge([Outcome(ONE, "survived")], [ONE]) == trial.Verdict([], [], [])


def test_a_timeout_counts_as_killed_and_does_not_contradict_a_reason() -> None:
    late = [Outcome(ONE, "timeout"), Outcome(OTHER, "timeout")]
    assert trial.judge(late, [OTHER]) == trial.Verdict([], [], [])


def test_a_reason_covers_each_equal_change_and_is_valid_while_one_of_them_survives() -> None:
    twice = [Outcome(ONE, "survived"), Outcome(ONE, "killed")]
    assert trial.judge(twice, [ONE]) == trial.Verdict([], [], [])
    assert trial.judge(reversed(twice), []).unexplained == [ONE]


def test_the_table_counts_by_module_and_in_all() -> None:
    outcomes = [Outcome(ONE, "survived"), Outcome(OTHER, "killed"), Outcome(LOST, "timeout")]
    lines = [line.split() for line in trial.table(outcomes, [ONE]).splitlines()[1:]]
    assert lines == [["clock", "3", "2", "1", "1", "66.7%"], ["all", "3", "2", "1", "1", "66.7%"]]


@pytest.mark.parametrize("why", ["", "equivalent", "does no harm"])
def test_a_reason_is_a_sentence(tmp_path: Path, why: str) -> None:
    place = tmp_path / "list.toml"
    entry = (
        '[[survivor]]\nwhere = "clock.Clock.tick"\nwas = "self.now += 1"\nnow = "self.now -= 1"\nwhy = "{}"\n'
    )
    place.write_text(entry.format("Nobody reads it before it is set."))
    assert trial.explained(place) == {ONE: "Nobody reads it before it is set."}
    place.write_text(entry.format(why))
    with pytest.raises(ValueError, match=r"clock\.Clock\.tick"):
        trial.explained(place)
    place.write_text(entry.format("Nobody reads it before it is set.") * 2)
    with pytest.raises(ValueError, match=r"clock\.Clock\.tick"):
        trial.explained(place)


@pytest.mark.parametrize("name", TARGETS)
def test_the_list_of_a_target_can_be_read_and_names_its_modules_and_tests(name: str) -> None:
    target = TARGETS[name]
    assert {mutant.module for mutant in trial.explained(target.survivors)} <= set(target.modules)
    for module, tests in target.modules.items():
        assert (ROOT / target.package / f"{module}.py").is_file()
        assert all((ROOT / test).is_file() for test in tests), module
