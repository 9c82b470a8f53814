"""`bff openapi`: the description that the gateway serves, printed, and compared with a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from bff.cli import main

GATEWAY = """
from pydantic import BaseModel
from bff import Gateway

class Thing(BaseModel):
    name: str

app = Gateway("things", version="3")

@app.view("/api/thing", public=True)
async def thing() -> Thing:
    return Thing(name="mug")
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"described_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(GATEWAY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return f"{name}:app"


def test_it_is_valid_the_same_each_time_and_names_no_server(
    target: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["openapi", target]) == 0
    first = capsys.readouterr().out
    monkeypatch.setenv("BFF_PUBLIC_URL", "https://other.example.org")
    assert main(["openapi", target]) == 0
    assert capsys.readouterr().out == first
    document = json.loads(first)
    validate(document)
    assert (document["info"]["version"], "servers" in document) == ("3", False)
    assert "/api/thing" in document["paths"]


def test_a_file_with_the_same_description_in_another_order_and_layout_is_accepted(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["openapi", target])
    document = json.loads(capsys.readouterr().out)
    kept = tmp_path / "openapi.json"
    kept.write_text(json.dumps(document, sort_keys=True))
    assert main(["openapi", target, "--check", str(kept)]) == 0
    assert capsys.readouterr() == ("", "")


def test_each_place_that_differs_is_named_and_how_to_write_the_file_again(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["openapi", target])
    document = json.loads(capsys.readouterr().out)
    document["info"]["version"] = 3
    document["paths"]["/api/gone"] = document["paths"].pop("/api/thing")
    kept = tmp_path / "openapi.json"
    kept.write_text(json.dumps(document))
    assert main(["openapi", target, "--check", str(kept)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{kept} is not the description of {target}; write it again: bff openapi {target} > {kept}",
        "  /info/version: changed",
        "  /paths/~1api~1gone: only in the file",
        "  /paths/~1api~1thing: not in the file",
    ]


def test_of_many_differences_twenty_are_printed(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["openapi", target])
    document = json.loads(capsys.readouterr().out)
    document["info"] |= {f"x-{number:02}": number for number in range(25)}
    kept = tmp_path / "openapi.json"
    kept.write_text(json.dumps(document))
    assert main(["openapi", target, "--check", str(kept)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[-1]) == (22, "  and 5 more")


@pytest.mark.parametrize("content", [None, "{"])
def test_a_file_that_cannot_be_read_says_how_it_is_written(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    kept = tmp_path / "openapi.json"
    if content is not None:
        kept.write_text(content)
    assert main(["openapi", target, "--check", str(kept)]) == 1
    assert f"write it again: bff openapi {target} > {kept}" in capsys.readouterr().err
