"""An earlier commit of this project, so that a change is measured in the same run as what it replaced."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from .process import ROOT

BASE = "28372ad"
"""The commit before the work on the gateway's speed began."""


@cache
def earlier_missing() -> str | None:
    """Why it cannot be measured here; None when it can."""
    if not (shutil.which("git") and shutil.which("tar")):
        return "git or tar is not here"
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{BASE}^{{commit}}"], cwd=ROOT, capture_output=True, check=False
    )
    return f"this checkout has no commit {BASE}" if known.returncode else None


def earlier_paths(folder: Path) -> str:
    """The PYTHONPATH under which `bff` is that of the commit, and `benchmarks` is today's; made once below `folder`."""
    place = folder / f"bff-{BASE}"
    if not place.exists():
        place.mkdir()
        archive = subprocess.run(
            ["git", "archive", BASE, "bff"], cwd=ROOT, capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(place)], input=archive, check=True)
        (place / "benchmarks").symlink_to(ROOT / "benchmarks")
    return str(place)
