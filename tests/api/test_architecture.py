"""The diagrams in docs/architecture.md match the code: the imports between rooms, and the path of each kind of
request."""

from __future__ import annotations

import ast
import re

import pytest

from ..conftest import ROOT

BFF = ROOT / "bff"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WAYS = {
    title: [(file, name) for file, name in re.findall(r"^(\S+\.py) +(\w+)", block, re.M)]
    for title, block in re.findall(r"^## ([^\n]+)\n+```way\n(.*?)```", TEXT, re.M | re.S)
}


def imported(file: str) -> set[str]:
    """The files below bff/ that this file imports, also under TYPE_CHECKING or inside a function."""
    parts = ["bff", *file.removesuffix(".py").split("/")]
    found: set[str] = set()
    for node in ast.walk(ast.parse((BFF / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            for path in (module, *([*module, one.name] for one in node.names)):
                name = "/".join(path[1:])
                if path[:1] == ["bff"]:
                    found |= {one for one in (f"{name}.py", f"{name}/__init__.py") if (BFF / one).is_file()}
    return found - {file}


IMPORTS = {
    name: imported(name)
    for name in (str(path.relative_to(BFF)) for path in sorted(BFF.rglob("*.py")))
    if "templates" not in name
}


def room(file: str) -> str:
    return file.split("/")[0].removesuffix(".py")


def test_the_rooms_import_exactly_what_the_diagram_says() -> None:
    [block] = re.findall(r"```rooms\n(.*?)```", TEXT, re.S)
    drawn = {
        name.strip(): set(others.split())
        for name, others in (line.split("→") for line in block.strip().splitlines())
    }
    rooms: dict[str, set[str]] = {name: set() for name in drawn}
    for file, others in IMPORTS.items():
        if room(file) in rooms:
            rooms[room(file)] |= {room(other) for other in others if room(other) in rooms} - {room(file)}
    assert rooms == drawn


def test_every_way_has_a_diagram() -> None:
    assert len(WAYS) == 4
    assert all(len(steps) > 5 for steps in WAYS.values())


@pytest.mark.parametrize("title", WAYS)
def test_every_step_of_a_way_is_in_its_file(title: str) -> None:
    for file, name in WAYS[title]:
        tree = ast.parse((BFF / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}, f"{file}: {name}"


@pytest.mark.parametrize("title", WAYS)
def test_each_step_of_a_way_is_connected_with_an_earlier_one(title: str) -> None:
    # One imports the other, or the composition root or the hub creates both and passes one to the other.
    roots = [
        {other for name in IMPORTS if name.startswith("edge/app/") for other in IMPORTS[name]}
        | IMPORTS["edge/server.py"]
        | IMPORTS["edge/router.py"]
        | IMPORTS["edge/declared.py"],
        IMPORTS["live/hub.py"],
    ]
    files = [file for file, _ in WAYS[title]]
    for at, file in enumerate(files[1:], 1):
        joined = any(
            file in IMPORTS[earlier]
            or earlier in IMPORTS[file]
            or any({file, earlier} <= root for root in roots)
            for earlier in files[:at]
        )
        assert joined, f"nothing connects {file} with a step before it"
