"""One screen takes as many CPU instructions as it took when the figure was stored (benchmarks/instructions.json)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import instructions
from benchmarks.instructions import TOLERANCE, counted, key, stored, verdict

DEARER = 2_500
"""Loops of Python that are a fifth of a screen."""


def test_a_figure_near_the_stored_one_is_right() -> None:
    figures = {key(): 1_000_000, "2.7 vax": 5}
    near = int(1_000_000 * TOLERANCE)
    assert [verdict(1_000_000 + change, figures) for change in (-near, 0, near)] == [None] * 3


@pytest.mark.parametrize(("count", "change"), [(1_101_000, "+10.1%"), (890_000, "-11.0%")])
def test_a_figure_far_from_the_stored_one_says_by_how_much_and_what_to_do(count: int, change: str) -> None:
    said = verdict(count, {key(): 1_000_000}) or ""
    assert f"{count:,} instructions, {change} of the 1,000,000" in said
    assert "if that is meant, run `python -m benchmarks instructions --write`" in said


def test_a_python_without_a_figure_says_what_was_measured_and_how_to_store_it() -> None:
    said = verdict(7_000, {"2.7 vax": 5}) or ""
    assert "7,000 instructions, and none are stored for Python " + key() in said
    assert "run `python -m benchmarks instructions --write` and commit" in said


def test_storing_a_figure_keeps_those_of_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "figures.json"
    file.write_text('{"2.7 vax": 5}')
    monkeypatch.setattr(instructions, "FIGURES", file)
    instructions.store(9)
    assert stored() == {"2.7 vax": 5, key(): 9}


@pytest.mark.slow
def test_a_screen_takes_as_many_instructions_as_are_stored() -> None:
    assert verdict(counted(), stored()) is None


@pytest.mark.slow
def test_more_work_in_a_screen_is_counted() -> None:
    assert verdict(counted(extra=DEARER), stored()) is not None
