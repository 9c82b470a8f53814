"""Checks whether any dependency has a known vulnerability: queries the advisories for Python's and npm's packages.

`audit.py PIP_AUDIT [NPM]` exits with 0 when every locked package was looked up and has no known vulnerability, with 1
when a vulnerability is known, and with 75 when not every package could be looked up. A failed look-up is never reported
as a clean result: pip-audit exits with 0 where its source knows none of the packages, and both tools exit with 1 for an
unreachable source as for a finding.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOUND, UNASKED = 1, 75  # the second is sysexits.h's EX_TEMPFAIL
SECONDS = 300


@dataclass
class Report:
    """asked: packages looked up; found: lines about vulnerable ones; unasked: why some or all could not be looked
    up."""

    what: str
    asked: int = 0
    found: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)


def python(program: str) -> Report:
    """The packages of .requirements/dev.txt, which contains all the others."""
    report = Report("Python packages")
    lock = ROOT / ".requirements" / "dev.txt"
    command = [program, "-r", str(lock), "--require-hashes", "--disable-pip", "--format", "json"]
    answer = _json(report, [*command, "--progress-spinner", "off", "--timeout", "15"])
    for one in answer.get("dependencies", ()):
        if "skip_reason" in one:
            report.unasked.append(str(one["skip_reason"]))
            continue
        report.asked += 1
        for known in one.get("vulns", ()):
            fixed = ", ".join(known.get("fix_versions", ())) or "no version yet"
            report.found.append(f"{one['name']} {one['version']}: {known['id']}, fixed in {fixed}")
    return _unless_empty(report)


def node(program: str) -> Report:
    """The packages of every npm lock. They build, test and measure; none of them reaches a browser."""
    report = Report("npm packages")
    # Folders with a dot hold what is made here, and may change meanwhile.
    folders = [folder for folder in ROOT.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    for lock in sorted(found for folder in folders for found in folder.glob("**/package-lock.json")):
        if "node_modules" in lock.parts:
            continue
        answer = _json(report, [program, "audit", "--json", "--package-lock-only"], cwd=lock.parent)
        if "auditReportVersion" in answer:
            report.asked += int(answer.get("metadata", {}).get("dependencies", {}).get("total", 0))
            for name, one in answer.get("vulnerabilities", {}).items():
                said = one.get("severity", "known to be vulnerable")
                report.found.append(f"{name} {one.get('range', '')}: {said}")
        elif answer:
            report.unasked.append(str(answer.get("message") or "it answered something else than a report"))
    return _unless_empty(report)


def _unless_empty(report: Report) -> Report:
    if not report.asked and not report.unasked:
        report.unasked.append("it was asked about no package at all")
    return report


def _json(report: Report, command: list[str], cwd: Path = ROOT) -> dict[str, Any]:
    """The JSON object that the program prints; if there is none, nothing and a reason."""
    try:
        ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        report.unasked.append(str(error))
        return {}
    try:
        answer = json.loads(ended.stdout)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    last = ended.stderr.strip().rpartition("\n")[2]
    report.unasked.append(last or f"{command[0]} ended with {ended.returncode} without output")
    return {}


def main(arguments: list[str]) -> int:
    """Query both, print the results, and return the exit code; a finding takes precedence over a failed look-up."""
    reports = [python(arguments[0]), node(arguments[1] if len(arguments) > 1 else "npm")]
    for report in reports:
        print(f"{report.what}: {report.asked} looked up, {len(report.found)} known to be vulnerable")
        for line in report.found:
            print(f"  {line}")
        if report.unasked:
            more = f" (and {len(report.unasked) - 1} more like it)" if len(report.unasked) > 1 else ""
            print(f"  COULD NOT ASK: {report.unasked[0][:300]}{more}")
    if any(report.found for report in reports):
        return FOUND
    if any(report.unasked for report in reports):
        print(
            "This is not a clean result: some packages were not looked up. Try again where the sources can be reached."
        )
        return UNASKED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
