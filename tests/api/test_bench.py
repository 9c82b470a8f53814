"""`make bench` works: a short round of every contender, and the profile."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.fanout.contenders import ALL
from benchmarks.live import ALL as LIVE

from ..conftest import ROOT


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_contender_answers_the_same_screen_and_has_a_row() -> None:
    rows = [line.split(" | ") for line in run("--quick").splitlines() if line.startswith("| ")]
    assert [row[0].removeprefix("| ") for row in rows] == [
        "contender",
        *(one.name for one in ALL if one.missing() is None),
    ]
    assert all(row[-1] == "0 |" for row in rows[1:])


@pytest.mark.slow
def test_the_profile_names_where_time_goes() -> None:
    assert "bff/edge/screens.py:Screen.__call__" in run("profile", "--seconds", "1")


@pytest.mark.slow
def test_a_decision_over_the_link_costs_a_fraction_of_one_over_a_pool() -> None:
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in run("decisions").splitlines()}
    ours, theirs = (rows[f"| a decision, {way}"] for way in ("the link", "redis-py and hiredis"))
    assert float(ours[1]) * 3 < float(theirs[1]), "with 32 under way"


@pytest.mark.slow
def test_streams_are_compared_and_every_contender_has_a_row() -> None:
    rows = [line.split(" | ") for line in run("live", "--quick").splitlines() if line.startswith("| ")]
    assert [row[0].removeprefix("| ") for row in rows] == [
        "contender",
        *(one.name for one in LIVE if one.missing() is None),
    ]
