"""docker-compose.yml, Dockerfile and the proxy's file as values, for tests that compare them with the code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from tests.conftest import ROOT

FILE = ROOT / "docker-compose.yml"
DEMO_ENV = ROOT / ".docker" / "demo.env"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def demo_env() -> dict[str, str]:
    lines = DEMO_ENV.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables(text: str) -> dict[str, bool]:
    """The names that a compose file uses, and whether it has a default for each."""
    found: dict[str, bool] = {}
    for name, kind, _ in _VARIABLE.findall(text):
        found[name] = found.get(name, False) or kind == "-"
    return found


def loaded(values: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The whole file with variables and anchors resolved; KeyError names a missing value."""
    given = demo_env() if values is None else values

    def fill(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        return given.get(name, default) if kind == "-" else given[name]

    document: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(fill, FILE.read_text(encoding="utf-8")))
    return document


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a container."""
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def build_steps(root: Path, given: Mapping[str, str]) -> str:
    """The Dockerfile's first stage as a shell script below `root` instead of `/`; `given` are its build arguments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    stage = text.split("\nFROM ")[1].splitlines()[1:]
    lines = ["set -eu", f"cd {ROOT}", f"mkdir -p {root}"]
    for line in stage:
        word, _, rest = line.strip().partition(" ")
        match word:
            case "ARG":
                name, _, default = rest.partition("=")
                value = given.get(name, default)
                lines.append(f"export {name}='{value}'" if value else "true")
            case "COPY":
                source, target = rest.split()
                lines.append(f"mkdir -p $(dirname {root}{target}); cp -r {source} {root}{target}")
                # As in .dockerignore.
                ignored = "'(' -name __pycache__ -o -name node_modules ')'"
                lines.append(f"find {root}{target} {ignored} -prune -exec rm -rf '{{}}' +")
            case "RUN":
                lines.append(re.sub(r"(?<![\w.])/(build|opt|app)\b", rf"{root}/\1", rest))
            case "" | "#":
                pass
            case _ if not word.startswith("#"):
                raise ValueError(f"the Dockerfile's {word} is not known here")
    return "\n".join(lines)


def pip_settings() -> dict[str, str]:
    """The pip settings of this machine, for builds in another place."""
    names = ("PIP_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX")
    return {name: os.environ[name] for name in names if os.environ.get(name)}
