"""Conventions that every file follows."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import bff
from bff.edge.observe.log_text import LOGGERS

from ..conftest import ROOT

PRODUCT = ("bff", "upstreams", "web")
TEXT = {".py", ".js", ".ts", ".css", ".html", ".md", ".toml", ".txt", ".json", ".lua", ".yml", ".yaml", ""}
SKIPPED = {
    "node_modules",
    "__pycache__",
    ".venv",
    ".git",
    ".bff",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
}


def files(*folders: str, suffixes: set[str]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in suffixes and not SKIPPED & set(path.parts):
                yield path


def modules(*folders: str) -> list[tuple[str, ast.Module, str]]:
    """Every non-empty module: its name in the checkout, its tree, its text."""
    found = []
    for path in files(*folders, suffixes={".py"}):
        text = path.read_text(encoding="utf-8")
        if text.strip():
            found.append((str(path.relative_to(ROOT)), ast.parse(text), text))
    return found


MODULES = modules(*PRODUCT)


def test_product_code_raises_and_never_asserts() -> None:
    # `python -O` removes assertions, so nothing may depend on one.
    found = [
        f"{name}:{node.lineno}"
        for name, tree, _ in MODULES
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
    ]
    assert not found


def test_every_module_has_a_docstring() -> None:
    assert [name for name, tree, _ in MODULES if not ast.get_docstring(tree)] == []


LONG = 300
"""Files with more lines than this are checked. Cohesion decides, not length: see `jobs`."""


def jobs(tree: ast.Module) -> list[set[str]]:
    """Groups of a module's definitions that do not use each other; each of at least 60 lines."""
    lines = {
        node.name: (node.end_lineno or node.lineno) - node.lineno + 1
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id != "log"
    }
    groups: list[set[str]] = []
    for node in tree.body:
        named = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)} & (lines.keys() | constants)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            named.add(node.name)
        joined = set.union(named, *(group for group in groups if group & named))
        groups = [group for group in groups if not group & named]
        if joined:
            groups.append(joined)
    return [group & lines.keys() for group in groups if sum(lines.get(name, 0) for name in group) >= 60]


def test_a_long_file_has_one_job() -> None:
    found = {
        name: found
        for name, tree, text in MODULES
        if text.count("\n") > LONG and len(found := jobs(tree)) > 1
    }
    assert found == {}


def test_jobs_finds_two_jobs_in_one_file() -> None:
    body = "\n".join(f"    x{line} = {line}" for line in range(70))
    apart = ast.parse(f"def one():\n{body}\ndef two():\n{body}\n")
    together = ast.parse(f"def one():\n{body}\ndef two():\n    one()\n{body}\n")
    shared = ast.parse(f"TABLE = {{}}\ndef one():\n    TABLE\n{body}\ndef two():\n    TABLE\n{body}\n")
    assert (len(jobs(apart)), len(jobs(together)), len(jobs(shared))) == (2, 1, 1)


def test_no_class_or_module_has_a_vague_name() -> None:
    vague = re.compile(r"(Helper|Utils?|Misc)$")
    found = [
        f"{name}: {node.name}"
        for name, tree, _ in MODULES
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and vague.search(node.name)
    ]
    found += [name for name, *_ in MODULES if re.search(r"(utils?|helpers?|common|misc)\.py$", name)]
    assert found == []


def test_every_started_task_has_an_owner() -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree, _ in MODULES
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr in ("create_task", "ensure_future")
        and ast.unparse(node.value.func.value).endswith(("asyncio", "loop", "loop()"))
    ]
    assert found == []


def test_middleware_is_pure_asgi() -> None:
    assert [
        name for name, _, text in MODULES if re.search(r"^(from|import) .*BaseHTTPMiddleware", text, re.M)
    ] == []


def test_every_ignore_comment_names_its_rule() -> None:
    found = [
        name
        for name, _, text in MODULES
        if re.search(r"# type: ignore(?!\[)", text) or re.search(r"# noqa(?!: [A-Z])", text)
    ]
    assert found == []


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    client = json.loads((ROOT / "web" / "client" / "package.json").read_text())["version"]
    assert bff.__version__ == project == client


def test_no_file_names_a_machine_or_a_package_index() -> None:
    # Addresses of machines and of package indexes change, so no file may depend on them.
    foreign = re.compile(
        "|".join(
            [
                r"(?<![\w.])/(wo" r"rk|ro" r"ot|ho" r"me|Us" r"ers)/[a-z]",
                r"https?://[^\s\"']*(py" r"pi|/sim" r"ple\b)",
            ]
        )
    )
    places = [*files(*PRODUCT, "tests", "benchmarks", "docs", ".requirements", ".ci", suffixes=TEXT)]
    # In a worktree `.git` is a file.
    places += [
        path for path in ROOT.iterdir() if path.is_file() and path.suffix in TEXT and path.name not in SKIPPED
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in places
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if foreign.search(line) and path.name != "package-lock.json"
    ]
    assert found == []


@pytest.mark.parametrize("room", ["unit", "redis", "wire", "api"])
def test_the_gateways_tests_need_neither_shop_nor_services(room: str) -> None:
    found = [
        f"{name}:{node.lineno}"
        for name, tree, _ in modules(f"tests/{room}")
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Import)
            and any(one.name.split(".")[0] in ("web", "upstreams") for one in node.names)
        )
        or (
            isinstance(node, ast.ImportFrom)
            and (
                (node.level == 0 and (node.module or "").split(".")[0] in ("web", "upstreams"))
                or (node.level > 0 and (node.module or "").split(".")[0] in ("shop", "upstreams", "web"))
            )
        )
    ]
    assert found == []


SIDE_EFFECTS = """
import logging, os, signal, sys, threading
seen = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen"):
        seen.append(event)
sys.addaudithook(hook)
class Watched(dict):
    def __getitem__(self, name):
        note(name)
        return super().__getitem__(name)
    def get(self, name, default=None):
        note(name)
        return super().get(name, default)
    def __contains__(self, name):
        note(name)
        return super().__contains__(name)
def note(name):
    if str(name).startswith(("BFF", "REDIS")):
        seen.append(name)
os.environ = Watched(os.environ)
before = (list(logging.getLogger().handlers), signal.getsignal(signal.SIGTERM))
import bff, bff.testing, bff.cli
bff.Gateway("quiet")
after = (list(logging.getLogger().handlers), signal.getsignal(signal.SIGTERM))
if before != after:
    seen.append("logging or signals")
if threading.active_count() != 1:
    seen.append("a thread")
print(seen)
print(sorted(name for name in sys.modules if name.split(".")[0] in ("web", "upstreams", "pytest")))
"""


def test_importing_bff_opens_reads_and_starts_nothing() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SIDE_EFFECTS],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert ended.stdout.splitlines() == ["[]", "[]"], ended.stderr


def test_every_logger_escapes_its_records() -> None:
    # A filter on each logger escapes and cuts text from outside: bff/edge/observe/log_text.py lists the loggers.
    found = {
        str(node.args[0].value)
        for name, tree, _ in MODULES
        if name.startswith("bff/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "getLogger"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    others = {"httpx", "uvicorn.access"}
    assert found - others == set(LOGGERS), "add it to LOGGERS in bff/edge/observe/log_text.py"
