"""The reference is complete: no setting, problem code, public name, header or command without an entry, and the
generated pages are what their generator writes."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bff.cli.main import _parser
from bff.cli.settings_reference import all_settings
from bff.edge.http.cors import _ALLOWED, _READABLE
from bff.edge.http.security_headers import NAMES
from bff.edge.problem_codes import CODES

from ..conftest import ROOT

REFERENCE = ROOT / "docs" / "reference"
# Names of headers as the code writes them. What else begins in this way is named here.
SPECIAL = re.compile(
    r"(bff|x|idempotency|ratelimit|dpop|webhook|sec|ce)(-[a-z]+)+|dpop|ratelimit|traceparent|tracestate"
)
NO_HEADERS = {
    # Problem codes.
    *CODES,
    # Names of tasks, threads and clients.
    *(
        "bff-control",
        "bff-outcomes",
        "bff-request",
        "bff-gateway",
        "bff-hub",
        "bff-introspection",
        "bff-issuer",
        "bff-listening-watch",
        "bff-memory",
    ),
    *("bff-parent-watch", "bff-redis-connection", "bff-redis-health", "bff-redis-login", "bff-refresh"),
    *("bff-revocation", "bff-revocations", "bff-subscriptions", "bff-token-watch", "bff-worker-close"),
    # Members of documents, and the old name of a coding.
    *("x-gzip", "x-acr", "x-roles", "x-fresh", "x-network"),
}


def text(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_the_generated_pages_are_up_to_date() -> None:
    ran = subprocess.run(
        [sys.executable, ".ci/reference", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stdout + ran.stderr


def test_every_setting_has_an_entry() -> None:
    page = text("settings.md")
    assert [one.variable for one in all_settings() if f"**`{one.variable}`**" not in page] == []


@pytest.mark.parametrize("code", CODES)
def test_every_problem_code_has_a_page_with_cause_cure_and_an_example(code: str) -> None:
    page = text(f"problems/{code}.md")
    assert page.startswith(f"# `{code}`\n") and CODES[code].title in page
    cause = page.partition("## Cause\n")[2].partition("\n## ")[0]
    cure = page.partition("## Cure\n")[2].partition("\n## ")[0]
    assert len(cause.split()) >= 5 and len(cure.split()) >= 3
    example = json.loads(page.partition("```json\n")[2].partition("```")[0])
    assert example["code"] == code and example["type"].endswith(f"/docs/problems#{code}")
    assert example["status"] in CODES[code].statuses
    assert f"({code}.md)" in text("problems/index.md")


def raised() -> Iterator[tuple[str, int, str]]:
    """File, status and code of each Problem that the code makes with a plain status and code."""
    for path in (ROOT / "bff").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (
                isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem" and len(node.args) >= 2
            ):
                continue
            status, code = node.args[:2]
            if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", status.value, code.value


def test_every_problem_that_the_code_raises_has_a_listed_code_with_its_status() -> None:
    found = list(raised())
    assert len(found) > 30
    assert [
        (place, status, code) for place, status, code in found if status not in CODES[code].statuses
    ] == []


@pytest.mark.parametrize("module", ["bff", "bff.testing", "bff.events"])
def test_every_public_python_name_has_an_entry_that_says_something(module: str) -> None:
    entries = dict(
        re.findall(r"^### `([\w.]+)`\n(.*?)(?=^#|\Z)", text("python.md"), re.DOTALL | re.MULTILINE)
    )
    for name in importlib.import_module(module).__all__:
        entry = re.sub(r"```.*?```", "", entries[f"{module}.{name}"], flags=re.DOTALL)
        assert len(entry.split()) >= 3, f"{module}.{name}"


def test_every_public_client_name_has_an_entry() -> None:
    client = ROOT / "web" / "client"
    entries = json.loads((client / "package.json").read_text(encoding="utf-8"))["exports"]
    sections = re.split(r"^## ", text("client.md"), flags=re.MULTILINE)[1:]
    found = {
        section.partition("\n")[0]: set(re.findall(r"^### `(\w+)`", section, re.MULTILINE))
        for section in sections
    }
    modules = {entry: files for entry, files in entries.items() if isinstance(files, dict)}
    assert list(found) == [f"bff-client{entry[1:]}" for entry in modules]
    for entry, files in modules.items():
        declared = (client / files["types"]).read_text(encoding="utf-8")
        names = set(
            re.findall(r"^export (?:declare )?(?:type|function|const|class|interface) (\w+)", declared, re.M)
        )
        for block in re.findall(r"^export (?:type )?\{([^}]*)\}", declared, re.M):
            names |= {one.split(" as ")[-1].strip() for one in block.split(",") if one.strip()}
        assert found[f"bff-client{entry[1:]}"] == names, entry


def commands(
    parser: argparse.ArgumentParser, prefix: str = "bff"
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inside in action.choices.items():
                yield f"{prefix} {name}", inside
                yield from commands(inside, f"{prefix} {name}")


def test_every_command_and_option_has_an_entry() -> None:
    sections = dict(
        re.findall(r"^## (bff [^\n]*)\n(.*?)(?=^## |\Z)", text("cli.md"), re.DOTALL | re.MULTILINE)
    )
    for name, parser in [*commands(_parser()), ("bff new upstream", argparse.ArgumentParser())]:
        options = [
            one for action in parser._actions for one in action.option_strings if one not in ("-h", "--help")
        ]
        assert [one for one in options if f"`{one}" not in sections[name]] == [], name


def header_names() -> Iterator[str]:
    for path in (ROOT / "bff").rglob("*.py"):
        if "cli" in Path(path).relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
                if SPECIAL.fullmatch(value.lower()):
                    yield value.lower()


def test_every_header_has_an_entry() -> None:
    listed = {one.lower() for one in re.findall(r"`([A-Za-z][\w-]*)`", text("headers.md"))}
    used = set(header_names()) - NO_HEADERS
    assert {"bff-complete", "x-bff", "idempotency-key", "bff-owner"} <= used
    known = {*_ALLOWED, *_READABLE, *(name.decode() for name in NAMES)}
    plain = {"content-type", "content-disposition", "date"}
    assert sorted((used | (known - plain)) - listed) == []
