"""The tutorial is played with its literal commands, from an empty folder, with the wheel of this checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flit_core import buildapi

from ..conftest import ROOT
from .walk import commands

PAGE = ROOT / "docs" / "tutorial" / "first-gateway.md"
WALK = ROOT / "tests" / "tutorial" / "walk.py"
JOURNEY = ROOT / "tests" / "tutorial" / "journey.py"
STORED = ROOT / "tests" / "tutorial" / "times.json"
# From nothing to a page with a sign-in, a command and a live value.
MOST_COMMANDS = 10
MOST_SECONDS = 300
# What a slow run may take of the stored time: machines and networks differ.
FACTOR = 5


def run(*command: str | Path, env: dict[str, str]) -> dict[str, Any]:
    """The last line of what the program prints, as JSON."""
    words = [sys.executable, *command]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=3600, env=env, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def built_wheel(folder: Path) -> Path:
    """A folder with the wheel of this checkout."""
    folder.mkdir()
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        buildapi.build_wheel(str(folder))
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The number of commands and the seconds of both halves: with the network, and after that without."""
    folder = tmp_path_factory.mktemp("tutorial")
    wheels = built_wheel(folder / "wheels")
    empty = folder / "empty"
    empty.mkdir()
    # The user's shell: no environment is active.
    path = [part for part in os.environ["PATH"].split(":") if not part.startswith(str(ROOT))]
    env = {**os.environ, "PATH": ":".join(path), "PIP_FIND_LINKS": str(wheels)}
    env.pop("VIRTUAL_ENV", None)
    installed = run(WALK, PAGE, empty, "install", env=env)
    (mine,) = empty.glob(".venv/lib/*/site-packages/bff/cli/new.py")
    assert mine.read_bytes() == (ROOT / "bff" / "cli" / "new.py").read_bytes(), "another bff-gateway"
    later = [word for line in commands(PAGE.read_text()) for word in re.findall(r'"(pytest[^"]*)"', line)]
    download = [sys.executable, "-m", "pip", "download", "-q", "-d", str(wheels), *later]
    subprocess.run(download, check=True, timeout=3600)
    journey = folder / "journey"
    journey.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{JOURNEY}" "{folder}"\n')
    journey.chmod(0o755)
    env |= {"PIP_NO_INDEX": "1", "WALK_BROWSER": str(journey)}
    walked = run(WALK, PAGE, empty, "walk-alone", env=env)
    walked["seconds"] = round(walked["seconds"] + installed["seconds"], 1)
    return walked


def test_six_commands_lead_to_a_page_with_a_sign_in_a_command_and_a_live_value(
    walked: dict[str, Any],
) -> None:
    assert walked["commands"] <= MOST_COMMANDS
    stored = json.loads(STORED.read_text())
    assert walked["commands"] == stored["commands"]
    assert stored["seconds"] <= MOST_SECONDS
    if os.environ.get("TUTORIAL") == "write":
        STORED.write_text(json.dumps(walked) + "\n")


@pytest.mark.slow
@pytest.mark.alone
def test_the_way_to_the_page_has_not_become_slower(walked: dict[str, Any]) -> None:
    stored = json.loads(STORED.read_text())
    assert walked["seconds"] <= min(MOST_SECONDS, FACTOR * stored["seconds"]), walked


def test_the_page_says_how_many_minutes_each_part_takes_and_how_many_commands() -> None:
    page = PAGE.read_text()
    minutes = [int(found) for found in re.findall(r"^## .*\((\d+) minutes\)$", page, re.MULTILINE)]
    assert "In 15 minutes" in page and sum(minutes) == 15
    assert "with six commands" in page and json.loads(STORED.read_text())["commands"] == 6
    assert "first five minutes" in page and sum(minutes[:2]) == 5


@pytest.mark.slow
def test_the_tutorial_on_a_bare_debian() -> None:
    # Needs root, as the container tests do: a root folder is made, and the commands run in it.
    ran = subprocess.run(
        [ROOT / ".ci" / "new-machine", "tutorial"], capture_output=True, text=True, timeout=3600, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "== tutorial: passed" in ran.stdout
