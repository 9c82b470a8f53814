"""The command line: every mistake by name, exit codes that say how it went."""

from __future__ import annotations

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
    thing, extra = await together(shelf.thing(), optional(shelf.extra().within(0.2).tries(1), within=0.3))
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


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            "rediss+cluster://a:1,b?ssl_ca_certs=/no/such.pem",
            "cannot be used (ssl_ca_certs=/no/such.pem): [Errno 2]",
        ),
        ("redis+sentinel://a:1", "needs its Sentinels and the master's name"),
        ("redis://a?colour=red", "unknown option in the address of Redis"),
        ("http://a", "must be an address that begins with redis://"),
    ],
)
def test_an_address_of_redis_that_cannot_be_used_is_named(
    module: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    monkeypatch.setenv("BFF_REDIS__URL", url)
    assert main(["check", f"{module}:good"]) == 1
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith("BFF_REDIS__URL: ") and why in said


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
    assert "no events can arrive for saga 'job'" in said
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
        f"GET /api/thing public deadline 0.8 s limit default {module}:25",
        "required shelf.thing (Shelf team #shelf) GET at most 0.8 s 3 tries of 1 s fresh 5 s public",
        "optional shelf.extra (Shelf team #shelf) GET at most 0.3 s 1 try of 0.2 s public",
        f"POST /api/jobs login deadline 1.5 s limit 10/minute {module}:30",
        "saga job",
        "required shelf.make (Shelf team #shelf) POST at most 1.5 s 3 tries of 1 s",
        "VALUE level/{sku} public",
        "FROM shelf Shelf team #shelf",
        "breaker 5 failures in a row; of 10 in 10 s 50% failed or 90% slower than 0.9 s; open 2 to 4 s",
        "bulkhead 100 at once, 100 waiting at most 0.1 s",
        "retries 20% of the active calls, at least 3; after up to 0.025 s, doubling to 0.25 s",
    ]


def test_routes_shows_what_is_set_and_the_defaults_where_settings_cannot_be_read(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__TIMEOUT", "0.7")
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__RETRY__ATTEMPTS", "2")
    assert main(["routes", f"{module}:good"]) == 0
    assert "2 tries of 0.7 s" in capsys.readouterr().out
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__TIMEOUT", "soon")
    assert main(["routes", f"{module}:good"]) == 0
    said = capsys.readouterr()
    assert "3 tries of 1 s" in said.out
    assert "BFF_UPSTREAMS__SHELF__TIMEOUT" in said.err and "The defaults are shown." in said.err


KEPT = """
from pydantic import BaseModel
from bff import Call, Gateway, Upstream

class Thing(BaseModel):
    name: str

class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    def thing(self, id: str) -> Call[Thing]:
        return self.get("/thing/{id}", Thing, id=id).fresh(5, stale_while_revalidate=10).tagged(f"thing/{id}")
    def make(self) -> Call[Thing]:
        return self.post("/things", Thing)

shelf = Shelf()
kept = Gateway("kept")

@kept.view("/api/things/{id}")
async def thing(id: str) -> Thing:
    return await shelf.thing(id).fresh(7, stale_if_error=600)

@kept.command("/api/things/{id}", invalidates=("thing/{id}", "things"))
async def make(id: str) -> Thing:
    return await shelf.make()
"""


def test_routes_says_what_is_kept_what_makes_it_void_and_between_which_addresses_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept_module.py").write_text(KEPT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__URL", "http://a.test")
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__BALANCE__URLS", '["http://b.test"]')
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__BALANCE__RESOLVE", "30")
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__HEDGE__ON", "true")
    assert main(["routes", "kept_module:kept"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1].endswith("fresh 7 s, 600 s instead of a failure until thing/{id} changes")
    assert "invalidates thing/{id}, things" in lines
    assert (
        "balance least-pending of http://a.test (resolved every 30 s), http://b.test; "
        "ejected after 5 failures in a row, 10 to 300 s, never more than half"
    ) in lines
    assert (
        "hedge a second copy after the time in which 95% have answered, at least 0.005 s; within the retry budget"
    ) in lines


RECKLESS = """
from pydantic import BaseModel
from bff import Call, Gateway, Part, Upstream, optional, together

class Thing(BaseModel):
    name: str

class Screen(BaseModel):
    thing: Thing
    extra: Part[Thing]

class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    def slow(self) -> Call[Thing]:
        return self.get("/slow", Thing).within(2)
    def quick(self) -> Call[Thing]:
        return self.get("/quick", Thing)
    def make(self) -> Call[Thing]:
        return self.post("/make", Thing).tries(3)
    def sure(self, key: str) -> Call[Thing]:
        return self.post("/make", Thing).keyed(key).tries(3)

shelf = Shelf()
bad = Gateway("reckless", deadline=1.0)

@bad.view("/api/slow", public=True)
async def slow() -> Thing:
    return await shelf.slow()

@bad.view("/api/part", public=True)
async def part() -> Screen:
    one, two = await together(shelf.quick(), optional(shelf.quick(), within=3.0))
    return Screen(thing=one, extra=two)

@bad.view("/api/inside", public=True)
async def inside() -> Screen:
    one, two = await together(shelf.quick(), optional(shelf.quick().within(0.5), within=0.2))
    return Screen(thing=one, extra=two)

@bad.view("/api/writes", public=True)
async def writes() -> Thing:
    return await shelf.make()

@bad.view("/api/keyed", public=True)
async def keyed() -> Thing:
    return await shelf.sure("mine")

@bad.command("/api/safe")
async def safe() -> Thing:
    return await shelf.make()

@bad.command("/api/unsafe", safe=False)
async def unsafe() -> Thing:
    return await shelf.make()

@bad.command("/api/once", safe=False)
async def once() -> Thing:
    return await shelf.make().tries(1)
"""


def test_check_refuses_a_part_longer_than_its_whole_and_a_retry_without_a_key(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{module}_reckless.py").write_text(RECKLESS)
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__TIMEOUT", "1.2")
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__BREAKER__SLOW", "1.3")
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__BREAKER__OPEN_AT_MOST", "1")
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__BULKHEAD__WAIT", "5")
    assert main(["check", f"{module}_reckless:bad"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    expected = [
        "view /api/slow: shelf.slow may take within(2), longer than the deadline of 1 s around it",
        "view /api/part: shelf.quick may take optional(within=3), longer than the deadline of 1 s around it",
        "view /api/inside: shelf.quick may take within(0.5), longer than optional(within=0.2) of 0.2 s around it",
        "view /api/writes: shelf.make is a POST that is retried without an idempotency key",
        "command /api/unsafe: shelf.make is a POST that is retried without an idempotency key",
        "BFF_UPSTREAMS__SHELF__TIMEOUT: one attempt may take 1.2 s, but no request",
        "BFF_UPSTREAMS__SHELF__BREAKER__SLOW: an attempt ends after 1.2 s and cannot take 1.3",
        "BFF_UPSTREAMS__SHELF__BREAKER__OPEN_AT_MOST: 1 s is less than open_for, 2",
        "BFF_UPSTREAMS__SHELF__BULKHEAD__WAIT: 5 s is longer than any request that calls this upstream may take, 1 s",
    ]
    for line, begins in zip(said, expected, strict=False):
        assert line.startswith(begins)
    assert said[-1] == "9 to correct."


@pytest.mark.parametrize(
    ("url", "wire", "wrong"),
    [
        ("https://shelf.test", "h1", True),
        ("https://shelf.test", None, False),
        ("https://shelf.test", "aiohttp", False),
        ("http://shelf.test", "h1", False),
    ],
)
def test_check_names_a_wire_that_cannot_speak_to_its_address(
    module: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    url: str,
    wire: str | None,
    wrong: bool,
) -> None:
    monkeypatch.setenv("BFF_UPSTREAMS__SHELF__URL", url)
    if wire is not None:
        monkeypatch.setenv("BFF_UPSTREAMS__SHELF__WIRE", wire)
    assert main(["check", f"{module}:good"]) == int(wrong)
    assert ("BFF_UPSTREAMS__SHELF__WIRE: h1 has no TLS" in capsys.readouterr().err) == wrong


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("no-colon", "write module:gateway"),
        ("nowhere_at_all:good", "no module named nowhere_at_all"),
        ("bff:Call", "Call in bff is not a Gateway"),
        ("bff:nothing", "nothing in bff does not exist; bff has no Gateway"),
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


def test_a_wrong_command_line_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sing"])
    assert ended.value.code == 2
    assert "invalid choice: 'sing'" in capsys.readouterr().err


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
