"""The command line: every mistake by name, exit codes that say how it went."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bff import __version__
from bff.cli import main

GOOD = """
from pydantic import BaseModel
from bff import Call, Gateway, Part, SagaStatus, Upstream, optional, together

class Thing(BaseModel):
    name: str

class Screen(BaseModel):
    thing: Thing
    extra: Part[Thing]

class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    def thing(self) -> Call[Thing]:
        return self.get("/thing", Thing).fresh(5).public()
    def extra(self) -> Call[Thing]:
        return self.get("/extra", Thing).public()
    def make(self) -> Call[SagaStatus]:
        return self.post("/jobs", SagaStatus)

shelf = Shelf()
good = Gateway("good")
job = good.saga("job", SagaStatus)
good.value("level/{sku}", Thing, public=True)

@good.view("/api/thing", public=True, deadline=0.8)
async def thing_screen() -> Screen:
    thing, extra = await together(shelf.thing(), optional(shelf.extra()))
    return Screen(thing=thing, extra=extra)

@good.command("/api/jobs", starts=job, limit="10/minute")
async def begin() -> SagaStatus:
    return await shelf.make()
"""

BAD = """
from bff import Call, Gateway, SagaStatus, Upstream
from pydantic import BaseModel

class Thing(BaseModel):
    name: str

class Nobodys(Upstream):
    def thing(self) -> Call[Thing]:
        return self.get("/thing", Thing)

bad = Gateway("Bad Name")
bad.saga("job", SagaStatus)
bad.saga("job", SagaStatus)
bad.value("Level/{sku}", Thing)

@bad.view("/bff/mine", public=True)
async def reserved() -> Thing: ...

@bad.view("/api/none/{id}")
async def takes_none() -> Thing: ...

@bad.view("/api/a/{id}")
async def one(id: str) -> Thing: ...

@bad.view("/api/a/{sku}")
async def two(sku: str) -> Thing: ...

@bad.command("/api/limit", limit="many")
async def unread() -> Thing: ...

@bad.command("/api/bare")
async def bare(thing) -> Thing: ...
"""

ENVIRONMENT = {
    "BFF_UPSTREAMS__SHELF__URL": "http://127.0.0.1:1",
    "BFF_ISSUERS": '[{"issuer": "https://issuer.test", "audience": "shop"}]',
    "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a new module with both gateways beside it; the process looks for modules there."""
    name = f"cli_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(GOOD)
    (tmp_path / f"{name}_bad.py").write_text(BAD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    return name


def test_a_gateway_without_mistakes_is_told_so(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{module}:good"]) == 0
    said = capsys.readouterr()
    assert said.out == "good: 1 views, 1 commands, 1 upstreams, nothing to correct.\n"
    assert said.err == ""


def test_check_reports_every_mistake_of_a_module_at_once_and_by_name(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", f"{module}_bad:bad"]) == 1
    lines = capsys.readouterr().err.splitlines()
    for mistake in (
        "upstream Nobodys names no owner",
        "gateway: 'Bad Name' must be lower-case",
        "saga 'job' is declared twice",
        "value: 'Level' must be lower-case",
        "view /bff/mine: /bff/mine is one of the gateway's own addresses",
        "view /api/none/{id}: /api/none/{id} has {id} but the function takes none",
        "view /api/a/{sku}: declared twice, the other is /api/a/{id}",
        "command /api/limit: the limit 'many' cannot be read",
        "command /api/bare: annotate parameter thing",
    ):
        assert any(line.startswith(mistake) for line in lines), mistake
    assert lines[-1].endswith("to correct.")


def test_check_reports_settings_and_declarations_side_by_side(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BFF_UPSTREAMS__SHELF__URL")
    monkeypatch.setenv("BFF_UPSTREAMS__SHLEF__URL", "http://127.0.0.1:1")
    monkeypatch.delenv("BFF_ISSUERS")
    monkeypatch.delenv("BFF_LIVE__STREAM_KEYS")
    assert main(["check", f"{module}:good"]) == 1
    said = capsys.readouterr().err
    assert "upstream Shelf (Shelf team) has no address: set BFF_UPSTREAMS__SHELF__URL" in said
    assert "BFF_UPSTREAMS__SHLEF: this gateway has no such upstream; it has shelf" in said
    assert "set BFF_ISSUERS for bearer tokens" in said
    assert "no events would ever arrive for saga 'job'" in said
    assert said.endswith("4 to correct.\n")


def test_check_names_unknown_and_wrong_settings(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BFF_PROT", "1")
    monkeypatch.setenv("BFF_LIVE__BEAT", "99")
    assert main(["check", f"{module}:good"]) == 1
    said = capsys.readouterr().err
    assert "BFF_PROT: is not a known setting" in said
    assert "BFF_LIVE__BEAT" in said


def test_routes_lists_each_route_with_its_calls_their_owners_and_its_limit(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["routes", f"{module}:good"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "GET /api/thing public deadline 0.8 s limit default",
        "required shelf.thing (Shelf team #shelf)",
        "optional shelf.extra (Shelf team #shelf)",
        "POST /api/jobs login deadline 1.5 s limit 10/minute",
        "saga job",
        "required shelf.make (Shelf team #shelf)",
        "VALUE level/{sku} public",
        "FROM shelf Shelf team #shelf",
    ]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("no-colon", "write module:gateway"),
        ("nowhere_at_all:good", "no module named nowhere_at_all"),
        ("bff:Call", "Call in bff is not a Gateway"),
        ("bff:nothing", "nothing in bff is not a Gateway"),
    ],
)
def test_a_target_that_is_no_gateway_is_explained(
    target: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("check", "routes", "serve"):
        assert main([command, target]) == 1
        assert why in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"bff {__version__}\n"


def test_a_wrong_command_line_is_2() -> None:
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(None):
        main(["sing"])
    assert ended.value.code == 2


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bff", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_serve_does_not_start_with_an_unknown_setting(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BFF_REDIS__ULR", "redis://x")
    ended = run("serve", f"{module}:good")
    assert ended.returncode == 1
    assert "BFF_REDIS__ULR: is not a known setting" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_serve_names_a_port_that_is_in_use(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("BFF_ADMIN_PORT", "0")
        ended = run("serve", f"{module}:good", "--port", str(port))
    assert ended.returncode == 1
    assert f"port {port} on 127.0.0.1 cannot be used" in ended.stderr
    assert "BFF_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr
