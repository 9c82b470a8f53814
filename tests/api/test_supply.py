"""The dependencies: audited with honest results, locked completely, updated regularly. And SECURITY.md: every threat
names the tests that show its protection."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from ..conftest import ROOT

# The output of the two programs: one package without findings, one with a known vulnerability, one that the source does
# not have.
FINE = {"name": "a", "version": "1", "vulns": []}
BAD = {
    "name": "b",
    "version": "2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"], "aliases": [], "description": ""}],
}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found and could not be audited: c (1)"}
NPM_FINE = {"auditReportVersion": 2, "vulnerabilities": {}, "metadata": {"dependencies": {"total": 2}}}
NPM_BAD = {
    "auditReportVersion": 2,
    "vulnerabilities": {"x": {"name": "x", "severity": "high", "range": "<2"}},
    "metadata": {"dependencies": {"total": 2}},
}
NPM_AWAY = {"message": "405 Method Not Allowed", "statusCode": 405, "error": {"summary": "", "detail": ""}}
CRASH = "Traceback (most recent call last):\nrequests.exceptions.ConnectionError: Failed to resolve"


def program(folder: Path, name: str, said: Any, code: int) -> str:
    """A program that exits like the real one did; `said` is JSON for standard output, or text for standard error."""
    made = folder / name
    text, stream = (said, "stderr") if isinstance(said, str) else (json.dumps(said), "stdout")
    made.write_text(f"#!{sys.executable}\nimport sys\nsys.{stream}.write({text!r})\nsys.exit({code})\n")
    made.chmod(0o755)
    return str(made)


@pytest.mark.parametrize(
    ("python", "node", "code", "said"),
    [
        (({"dependencies": [FINE, FINE]}, 0), (NPM_FINE, 0), 0, "Python packages: 2 looked up, 0 known"),
        (({"dependencies": [FINE, BAD]}, 1), (NPM_FINE, 0), 1, "b 2: PYSEC-1, fixed in 3"),
        (({"dependencies": [FINE]}, 0), (NPM_BAD, 1), 1, "x <2: high"),
        (({"dependencies": [BAD]}, 1), (NPM_AWAY, 1), 1, "COULD NOT ASK: 405 Method Not Allowed"),
        (({"dependencies": [SKIPPED, SKIPPED]}, 0), (NPM_FINE, 0), 75, "COULD NOT ASK: Dependency not found"),
        (({"dependencies": [FINE, SKIPPED]}, 0), (NPM_FINE, 0), 75, "This is not a clean result"),
        (({"dependencies": []}, 0), (NPM_FINE, 0), 75, "it was asked about no package at all"),
        (
            (CRASH, 1),
            (NPM_FINE, 0),
            75,
            "COULD NOT ASK: requests.exceptions.ConnectionError: Failed to resolve",
        ),
        (({"dependencies": [FINE]}, 0), (NPM_AWAY, 1), 75, "COULD NOT ASK: 405 Method Not Allowed"),
        (
            ({"dependencies": [FINE]}, 0),
            ("npm error code ENOTFOUND", 1),
            75,
            "COULD NOT ASK: npm error code ENOTFOUND",
        ),
        (({"dependencies": [FINE]}, 0), None, 75, "COULD NOT ASK"),
    ],
)
def test_an_audit_that_could_not_ask_differs_from_a_finding_and_from_a_clean_result(
    tmp_path: Path, python: tuple[Any, int], node: tuple[Any, int] | None, code: int, said: str
) -> None:
    npm = program(tmp_path, "npm", *node) if node else str(tmp_path / "nowhere")
    ended = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit.py"), program(tmp_path, "pip-audit", *python), npm],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert said in ended.stdout


def test_the_bill_of_materials_holds_every_locked_package_and_is_the_same_each_time(tmp_path: Path) -> None:
    written = []
    for name in ("one.json", "two.json"):
        # It works from any folder.
        command = [sys.executable, str(ROOT / ".ci" / "sbom.py"), str(tmp_path / "new" / name)]
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=tmp_path)
        written.append((tmp_path / "new" / name).read_bytes())
    assert written[0] == written[1]
    bill = json.loads(written[0])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    components = {one["bom-ref"]: one for one in bill["components"]}
    assert len(components) == len(bill["components"]), "no reference twice"
    lock = (ROOT / ".requirements" / "dev.txt").read_text()
    pinned = re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^ ]+)", lock, re.M)
    client = json.loads((ROOT / "web" / "client" / "package-lock.json").read_text())["packages"]
    assert len(components) == len(pinned) + len(client) - 1
    for name, version in pinned:
        found = components[f"pkg:pypi/{name}@{version}"]
        assert found["externalReferences"][0]["hashes"]
    runs = re.findall(
        r"^([\w.-]+)(?:\[.*?\])?==([^ ]+)", (ROOT / ".requirements" / "demo.txt").read_text(), re.M
    )
    required = {ref for ref, one in components.items() if one["scope"] == "required"}
    assert required == {f"pkg:pypi/{name}@{version}" for name, version in runs}
    # Every package is there because another one requires it, in the end the project itself.
    asks = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    reached: set[str] = set()
    waiting = [bill["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += asks[ref]
    assert set(components) <= reached


def test_every_lock_pins_with_hashes() -> None:
    for lock in sorted((ROOT / ".requirements").glob("*.txt")):
        text = lock.read_text()
        blocks = re.split(r"^(?=[\w.-]+(?:\[.*?\])?==)", text, flags=re.M)[1:]
        assert blocks and all("--hash=sha256:" in block for block in blocks), lock.name
        assert not re.search(r"^(-i|--index|--find|-e|git\+)", text, re.M)
    makefile = (ROOT / "Makefile").read_text()
    for line in re.findall(r"pip install .*", makefile):
        assert "--require-hashes" in line or "--no-index" in line or line.endswith(" uv"), line


def test_updates_are_configured_for_every_lock_file() -> None:
    document = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())
    asked = {
        (one["package-ecosystem"], place)
        for one in document["updates"]
        for place in one.get("directories", [one.get("directory")])
    }
    assert ("pip", "/.requirements") in asked
    locked = []
    for folder, folders, files in os.walk(ROOT):
        # Not walked, because other tests make and remove files there at the same time.
        folders[:] = [name for name in folders if name not in ("node_modules", ".venv", ".bff")]
        if "package-lock.json" in files:
            locked.append(f"/{Path(folder).relative_to(ROOT).as_posix()}")
    assert locked
    for place in locked:
        assert any(kind == "npm" and fnmatch(place, pattern) for kind, pattern in asked), place
    assert ("docker", "/") in asked and ("docker-compose", "/") in asked


# ---- SECURITY.md -------------------------------------------------------------------------------------------------

NAMED = re.compile(r"`(tests/[\w/]+\.(?:py|js))(?:::(\w+))?`")


def test_every_threat_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Asset")]
    assert len(rows) >= 15
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 5 and all(cells), row
        named = NAMED.findall(cells[4])
        assert named, f"no test shows it: {row}"
        for file, test in named:
            path = ROOT / file
            assert path.is_file(), f"{file} of {row}"
            if test:
                functions = {
                    node.name
                    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                }
                assert test in functions, f"{file} has no {test}"
    kinds = Counter(letter for row in rows for letter in row.strip("|").split("|")[1].strip())
    assert set("STRIDE") <= set(kinds), "each of the six kinds of threat"


def test_the_threat_model_is_a_page() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
