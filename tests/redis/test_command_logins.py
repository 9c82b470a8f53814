"""The commands that work on what is in Redis, where the gateway's function fetches each login and the settings have
none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bff.cli import main

from ..conftest import Valkey
from .test_login import allow

ISSUER = "https://issuer.test"
MODULE = """
import asyncio
from bff import Gateway, RedisLogin

logins = []

async def rotating():
    # Longer than an attempt to connect may take.
    await asyncio.sleep(0.3)
    logins.append("token")
    return RedisLogin("token", "iam")

async def broken():
    raise RuntimeError("token=hunter2")

desk = Gateway("desk", redis_credentials=rotating)
failing = Gateway("failing", redis_credentials=broken)
plain = Gateway("plain")
"""
COMMANDS = [
    ["revoke", "--issuer", ISSUER, "--token", "one"],
    ["revoke", "--issuer", ISSUER, "--subject", "ada"],
    ["forget", "--issuer", ISSUER, "--subject", "ada"],
    ["events", "dead"],
    ["events", "replay", "all"],
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    (tmp_path / "valkey").mkdir()
    one = Valkey(tmp_path / "valkey").start()
    yield one
    one.stop()


@pytest.fixture
def module(tmp_path: Path, server: Valkey, monkeypatch: pytest.MonkeyPatch) -> str:
    async def only_the_function_gets_in() -> None:
        await allow(server, "iam", "token")
        async with Redis.from_url(server.url) as admin:
            await admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">unknown")  # type: ignore[no-untyped-call]  # redis-py's is

    asyncio.run(only_the_function_gets_in())
    name = f"command_logins_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BFF_REDIS__URL", server.url)
    monkeypatch.setenv("BFF_REDIS__TIMEOUT", "0.25")
    monkeypatch.setenv("BFF_ISSUERS", json.dumps([{"issuer": ISSUER, "audience": "desk"}]))
    return name


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_logs_in_with_what_the_gateway_fetches(
    module: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--gateway", f"{module}:desk"]) == 0, capsys.readouterr().err
    assert __import__(module).logins, "the function was asked"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_without_the_gateway_uses_the_settings(
    module: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--gateway", f"{module}:plain"]):
        assert main([*command, *more]) == 1
        assert "Redis cannot be reached (BFF_REDIS__URL)" in capsys.readouterr().err


def test_a_login_that_cannot_be_fetched_is_named_without_what_the_function_says(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMANDS[0], "--gateway", f"{module}:failing"]) == 1
    said = capsys.readouterr().err
    assert "redis_credentials of the gateway: the login for Redis cannot be fetched (RuntimeError)" in said
    assert "hunter2" not in said


def test_a_gateway_that_does_not_exist_is_named(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMANDS[0], "--gateway", f"{module}:dsk"]) == 1
    assert "did you mean desk?" in capsys.readouterr().err
