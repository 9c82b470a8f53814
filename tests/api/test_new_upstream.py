"""`bff new upstream`: the files that it writes are formatted, pass ruff and mypy strict, are the same each time, and
each of their calls can be made and its answers read."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest

from bff import Call, Upstream
from bff.calls.codec import codec_of
from bff.cli import from_openapi
from bff.cli.from_openapi import Choices
from bff.cli.main import main

from ..conftest import ROOT
from ..waiting import GUARD

DESCRIPTIONS = sorted((ROOT / "tests" / "unit" / "cli" / "descriptions").iterdir())
RULES = "E,F,W,I,UP,B,ASYNC,SIM,RUF,C4,PTH,S"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a file of each description."""
    made = tmp_path_factory.mktemp("project")
    (made / "pyproject.toml").write_text("[tool.ruff]\nline-length = 110\n")
    for description in DESCRIPTIONS:
        from_openapi.write(description, Choices(output=made / f"{description.stem}.py"))
    return made


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=10 * GUARD,
        check=False,
    )


def imported(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"written_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def calls(module: ModuleType) -> Iterator[tuple[str, Any, Any]]:
    """Each method of the module's upstream: its name, the method, the type of its answer."""
    (kind,) = (
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Upstream) and one is not Upstream
    )
    upstream = kind()
    for name, function in inspect.getmembers(kind, inspect.isfunction):
        if name not in vars(Upstream):
            hints = get_type_hints(function, include_extras=True)
            yield name, getattr(upstream, name), get_args(hints["return"])[0]


def test_the_written_files_are_clean_under_ruff_and_formatted_by_the_projects_rules(folder: Path) -> None:
    for command in (["check", "--select", RULES, "--no-cache"], ["format", "--check", "--no-cache"]):
        ran = run(folder, "ruff", *command, ".")
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_written_files_are_clean_under_mypy_strict(folder: Path, tmp_path: Path) -> None:
    ran = run(folder, "mypy", "--strict", "--cache-dir", str(tmp_path), ".")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_same_description_gives_the_same_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text((folder / "pyproject.toml").read_text())
    for description in DESCRIPTIONS:
        again = tmp_path / f"{description.stem}.py"
        from_openapi.write(description, Choices(output=again))
        assert again.read_bytes() == (folder / again.name).read_bytes()


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda path: path.stem)
def test_each_call_can_be_made_and_its_answers_can_be_read(folder: Path, description: Path) -> None:
    found = list(calls(imported(folder / f"{description.stem}.py")))
    assert len(found) >= 5
    for name, method, answer in found:
        needed = {
            one.name: "x"
            for one in inspect.signature(method).parameters.values()
            if one.default is inspect.Parameter.empty and one.name != "body"
        }
        if "body" in inspect.signature(method).parameters:
            needed["body"] = None
        call = method(**needed)
        assert isinstance(call, Call) and call.name.endswith(f".{name}")
        if answer is not type(None):
            codec_of(answer).prepare()


def test_a_pet_is_read_and_a_change_sends_only_what_was_set(folder: Path) -> None:
    module = imported(folder / "petstore.py")
    pets: Any = module.PetStore()
    assert pets.owner.team == "Pets" and pets.owner.docs == "https://pets.example/docs"
    body = (
        b'{"name":"Rex","id":7,"status":"sold","page-size":9,"kind":{"type":"dog","speed":3,"tree":{"a":{}}},'
        b'"owner":{"pets":[{"name":"Tom","id":8,"status":"available","kind":{"type":"cat"}}]}}'
    )
    pet = codec_of(module.Pet).decode(body)
    assert type(pet.kind).__name__ == "Dog" and pet.kind.model_extra == {"speed": 3}
    assert pet.page_size == 9 and pet.owner.pets[0].kind.type == "cat"
    with pytest.raises(ValueError, match="status"):
        codec_of(module.Pet).decode(body.replace(b'"sold"', b'"lost"'))
    changed = pets.change("7", body=module.ChangeBody(name="Max"))
    assert (changed.body, changed.body_type) == (b'{"name":"Max"}', "application/merge-patch+json")
    asked = pets.listPets(ids=[1, 2], tag=["a", "b"], page_size=5, filter={"age": 3}, X_Trace="t")
    assert asked.query == (
        ("tag", "a"),
        ("tag", "b"),
        ("ids", "1,2"),
        ("page[size]", "5"),
        ("filter[age]", "3"),
    )
    assert asked.headers == (("x-trace", "t"),)


def test_the_command_prints_the_setting_and_what_has_no_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    description = str(next(path for path in DESCRIPTIONS if path.stem == "petstore"))
    assert main(["new", "upstream", description, "--name", "Shop", "--team", "Shop team"]) == 0
    printed = capsys.readouterr()
    assert "shop.py is written, with 7 calls" in printed.out
    assert "    BFF_UPSTREAMS__SHOP__URL=https://eu.pets.example/v1\n" in printed.out
    assert "no method for POST /pets/{id}/photo: a multipart body" in printed.err
    shop: Any = imported(tmp_path / "shop.py").Shop()
    assert (shop.owner.service, shop.owner.team, shop.owner.contact) == (
        "shop",
        "Shop team",
        "pets@example.org",
    )
    assert main(["new", "upstream", description, "--name", "Shop"]) == 1
    assert "shop.py exists and is not changed" in capsys.readouterr().err
    assert main(["new", "upstream", str(tmp_path / "none.json")]) == 1
    assert "none.json cannot be read" in capsys.readouterr().err


def test_the_extra_dev_brings_what_the_command_needs() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    assert {one.partition(">")[0] for one in extra} >= {"ruff", "pyyaml"}


@pytest.mark.parametrize(("module", "file"), [("ruff", "petstore.json"), ("yaml", "articles.yaml")])
def test_without_the_extra_the_command_says_what_to_install(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
    file: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    description = next(path for path in DESCRIPTIONS if path.name == file)
    if module == "yaml":
        monkeypatch.setitem(sys.modules, "yaml", None)
    else:
        # An interpreter without it: isolated from the packages of this one.
        bare = tmp_path / "python"
        bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
        bare.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(bare))
    assert main(["new", "upstream", str(description)]) == 1
    assert 'pip install "bff-gateway[dev]"' in capsys.readouterr().err
    assert not list(tmp_path.glob("*.py"))
