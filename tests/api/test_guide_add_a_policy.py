"""docs/how-to/add-a-policy.md, followed step by step in a copy of the project: the tests of the resulting change
pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import ROOT

GUIDE = (ROOT / "docs" / "how-to" / "add-a-policy.md").read_text(encoding="utf-8")
STEPS = re.findall(
    r"<!-- (file|after in|before in|replace in)[: ]*(\S+?)(?:: (.*?))? -->\n```python\n(.*?)```", GUIDE, re.S
)


def follow(folder: Path) -> None:
    for kind, file, line, text in STEPS:
        path = folder / file
        if kind == "file":
            assert not path.exists(), file
            path.write_text(text, encoding="utf-8")
            continue
        before = path.read_text(encoding="utf-8")
        assert before.count(line) == 1, f"{file} does not have this once: {line}"
        if kind == "replace in":
            path.write_text(before.replace(line, text.rstrip("\n")), encoding="utf-8")
            continue
        lines = before.splitlines(keepends=True)
        at = next(number for number, found in enumerate(lines) if line in found)
        lines.insert(at + (kind == "after in"), text)
        path.write_text("".join(lines), encoding="utf-8")


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy") / "bff"
    unneeded = shutil.ignore_patterns("__pycache__", "node_modules", ".*")
    for part in ("bff", "tests", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=unneeded)
    for part in ("upstreams", "web"):
        (folder / part).symlink_to(ROOT / part)
    shutil.copy(ROOT / "pyproject.toml", folder)
    follow(folder)
    return folder


def test_the_guide_has_every_step() -> None:
    assert len(STEPS) == GUIDE.count("```python")


def test_the_tests_of_the_change_pass(followed: Path) -> None:
    # The other policies stay as they are, and so does all that they import, policies and calls.
    pure = {file for _, file, *_ in STEPS if file.startswith(("bff/policies/", "bff/calls/"))}
    assert pure == {"bff/policies/pace.py"}
    paths = [
        "tests/unit/policies/test_pace.py",
        "tests/unit/transport",
        "tests/api/test_settings_reference.py",
    ]
    (followed / "docs" / "reference" / "settings.md").write_text(run(followed, "-m", "bff", "settings"))
    assert (
        "BFF_UPSTREAMS__<NAME>__PACE__RATE" in (followed / "docs" / "reference" / "settings.md").read_text()
    )
    said = run(followed, "-m", "pytest", "-q", "-p", "no:randomly", "--hypothesis-profile=ci", *paths)
    assert " passed" in said


@pytest.mark.slow
def test_the_change_passes_the_checks(followed: Path) -> None:
    run(followed, "-m", "ruff", "format", "bff", "tests/unit")
    run(followed, "-m", "ruff", "check", "bff", "tests/unit")
    run(followed, "-m", "mypy", "-p", "bff")
