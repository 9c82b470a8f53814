"""Mutants of a package against its tests, and a comparison of the survivors with a list of explanations.

The mutated copy is in its own folder; two processes run in parallel. A mutant counts as killed when one test by itself
fails or hangs on it, see `mutate`. An explanation covers every mutant that makes the same change in the same function.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROCESSES = 2
_PROGRAM = Path(__file__).with_name("mutate.py")
_SETTINGS = """
[tool.mutmut]
source_paths = ["{source}"]
only_mutate = ["{mutate}"]
pytest_add_cli_args_test_selection = {tests}
# The program chooses hypothesis' profile before pytest comes.
pytest_add_cli_args = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
use_git_change_detection = false
"""


@dataclass(frozen=True)
class Mutant:
    """What was changed where. module: the file's name without its suffix; was, now: lines without indentation."""

    module: str
    function: str
    was: str
    now: str

    def __str__(self) -> str:
        lines = [f"- {line}" for line in self.was.splitlines()] + [
            f"+ {line}" for line in self.now.splitlines()
        ]
        return "\n    ".join([f"{self.module}.{self.function}", *lines])


@dataclass(frozen=True)
class Outcome:
    """word: killed, timeout, survived, no tests, or suspicious: the tests could not be run; test: what killed it."""

    mutant: Mutant
    word: str
    test: str = ""

    @property
    def lived(self) -> bool:
        return self.word not in ("killed", "timeout")


class TrialFailed(Exception):
    """The run itself failed: the tests fail without a mutant, or the program has a bug."""


def run(
    root: Path,
    folder: Path,
    *,
    copies: Iterable[str],
    source: str,
    mutate: str,
    tests: Sequence[str],
    seconds: float,
    patience: tuple[float, float] = (3.0, 20.0),
) -> list[Outcome]:
    """Mutate a copy of some of `root` in `folder`.

    copies   what is copied, as patterns; `pyproject.toml` always
    source   the package's folder; mutate: pattern of the files in it that are mutated
    tests    files or folders of the tests
    seconds  the time limit for everything
    patience the seconds that a mutant's tests may take beyond their usual time, at first and by themselves
    """
    for pattern in copies:
        for path in root.glob(pattern):
            if path.is_file() and "__pycache__" not in path.parts:
                place = folder / path.relative_to(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    settings = _SETTINGS.format(source=source, mutate=mutate, tests=json.dumps(list(tests)))
    (folder / "pyproject.toml").write_text(project + settings, encoding="utf-8")
    # The checkout's own code must not be importable: it would be tested in place of the mutants.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    log = folder / "log.txt"
    with log.open("wb") as out:
        program = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), str(PROCESSES), *map(str, patience)],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code = program.wait(seconds)
    finally:
        # No process may continue after this, whatever ended it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    found = folder / "report.json"
    if code or not found.exists():
        raise TrialFailed(log.read_text(encoding="utf-8", errors="replace")[-4000:])
    return [
        Outcome(Mutant(one["module"], one["function"], one["was"], one["now"]), one["outcome"], one["test"])
        for one in json.loads(found.read_text(encoding="utf-8"))
    ]


def explained(path: Path) -> dict[Mutant, str]:
    """The explanations in a file; raises ValueError for one given twice or one without a sentence."""
    reasons: dict[Mutant, str] = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", []):
        why = entry.pop("why").strip()
        where = entry.pop("where")
        mutant = Mutant(*where.split(".", 1), entry.pop("was"), entry.pop("now"))
        if entry or mutant in reasons or len(why.split()) < 4:
            raise ValueError(f"not an explanation, or given twice: {mutant}")
        reasons[mutant] = why
    return reasons


@dataclass(frozen=True)
class Verdict:
    """unexplained: survived without a reason; untrue: has a reason, but was killed; gone: has a reason, but is no
    longer made."""

    unexplained: list[Mutant]
    untrue: list[Mutant]
    gone: list[Mutant]


def judge(outcomes: Iterable[Outcome], reasons: Iterable[Mutant]) -> Verdict:
    """An explained mutant on which a test hung is not judged: only a failure proves something."""
    words: dict[Mutant, set[str]] = {}
    alive: dict[Mutant, bool] = {}
    for outcome in outcomes:
        words.setdefault(outcome.mutant, set()).add(outcome.word)
        alive[outcome.mutant] = alive.get(outcome.mutant, False) or outcome.lived
    known = list(reasons)
    return Verdict(
        unexplained=[mutant for mutant, lives in alive.items() if lives and mutant not in known],
        untrue=[mutant for mutant in known if words.get(mutant) == {"killed"}],
        gone=[mutant for mutant in known if mutant not in words],
    )


def table(outcomes: Iterable[Outcome], reasons: Iterable[Mutant]) -> str:
    """Score by module: the share killed, and the share of those that are not equivalent by their explanation."""
    known = set(reasons)
    rows: dict[str, list[int]] = {}
    for outcome in outcomes:
        for name in (outcome.mutant.module, "all"):
            row = rows.setdefault(name, [0, 0, 0, 0])
            row[0] += 1
            row[1] += not outcome.lived
            row[2] += outcome.word == "timeout"
            row[3] += outcome.lived and outcome.mutant in known
    rows["all"] = rows.pop("all", [0, 0, 0, 0])
    lines = [f"{'module':<12} {'mutants':>7} {'found':>6} {'by time':>7} {'explained':>9} {'score':>6}"]
    for name, (made, found, late, told) in rows.items():
        score = 100 * found / made if made else 100.0
        lines.append(f"{name:<12} {made:>7} {found:>6} {late:>7} {told:>9} {score:>5.1f}%")
    return "\n".join(lines)
