"""What the contenders on Node.js share: the folder benchmarks/fanout/node with its lock file, installed when needed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parents[1] / "node"
NODE, NPM = shutil.which("node"), shutil.which("npm")


def missing() -> str | None:
    return None if NODE and NPM else "Node.js with npm is not here"


def command(script: str, *arguments: str) -> list[str]:
    """`node script …`, after `npm ci` where a library is not installed."""
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    if not all((HERE / "node_modules" / name).exists() for name in wanted):
        install = [str(NPM), "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(install, cwd=HERE, check=True, timeout=300)
    return [str(NODE), str(HERE / script), *arguments]


def versions(*packages: str) -> dict[str, str]:
    node = subprocess.run([str(NODE), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    found = {"node": node.removeprefix("v")}
    for name in packages:
        found[name] = json.loads((HERE / "node_modules" / name / "package.json").read_text())["version"]
    return found
