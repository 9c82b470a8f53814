"""docs/how-to/add-a-broker.md works as written: its package can be installed, its events arrive, its test passes."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bff.stores.dead_letters import DeadLetters
from bff.stores.journal import Journal
from bff.stores.redis.client import RedisClient

from ...conftest import ROOT, free_port

GUIDE = (ROOT / "docs/how-to/add-a-broker.md").read_text()
OWNER = "https://issuer.example|ada"


def block(language: str, number: int) -> str:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S)[number]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The files of the guide, and the package installed into `site`."""
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool/pyproject.toml").write_text(block("toml", 0))
    (tmp_path / "spool/bff_spool.py").write_text(block("python", 0))
    (tmp_path / "desk.py").write_text(block("python", 1))
    (tmp_path / "test_spool.py").write_text(block("python", 2))
    (tmp_path / "events.jsonl").touch()
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    target = ["--target", str(tmp_path / "site"), str(tmp_path / "spool")]
    subprocess.run([*pip, *target], check=True, timeout=300)
    return tmp_path


def environment(folder: Path, **more: str) -> dict[str, str]:
    paths = os.pathsep.join(map(str, (folder / "site", folder, ROOT)))
    return {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **more}


def test_the_test_of_the_guide_passes(package: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_spool.py"]
    done = subprocess.run(
        command, cwd=package, env=environment(package), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


async def test_events_arrive_and_a_broken_one_is_set_aside(package: Path, redis_url: str) -> None:
    env = environment(
        package,
        BFF_REDIS__URL=redis_url,
        BFF_LIVE__BROKERS__SPOOL__FILE="events.jsonl",
        BFF_PORT=str(free_port()),
        BFF_ADMIN_PORT=str(free_port()),
    )
    written = block("sh", 2)
    events = re.search(r"<<'END'\n(.*?)END\n", written, re.S)
    assert events is not None
    with (package / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bff", "serve", "desk:app"], cwd=package, env=env, stdout=log, stderr=log
        )
    try:
        (package / "events.jsonl").write_text(events[1])
        async with asyncio.timeout(120), RedisClient(redis_url, timeout=10) as redis:
            while not (letters := await DeadLetters(redis).page(10)):
                assert process.poll() is None, (package / "gateway.log").read_text()
                await asyncio.sleep(0.05)
            opened = await Journal(redis).open(OWNER, None)
        assert opened.position is not None and opened.position.offset == 1
        assert (letters[0].event.broker, letters[0].event.partition) == ("spool", "spool")
        listed = subprocess.run(
            [sys.executable, "-m", "bff", "events", "dead"],
            cwd=package,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert '"bus": "spool", "stream": "spool"' in listed.stdout
    finally:
        process.terminate()
        process.wait(60)
