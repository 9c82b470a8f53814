"""The publishers of docs/events.md: each one runs as it stands on the page, and a real gateway shows what it published.

Their clients are fetched on demand: that of Node by `make`, those of Go and Java into `.bff/publishers`.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bff import Gateway
from bff.edge.settings import Settings
from bff.live.ingest.redis_streams import StreamPosition, stream_names
from bff.stores.progress import Positions
from bff.stores.redis.client import RedisClient

from ..conftest import ROOT
from ..programs import program
from ..unit.edge.access.issuing import ISSUER
from ..waiting import GUARD
from ..wire.gateway import World, bearer, running

PAGE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
HERE = Path(__file__).parent
CACHE = ROOT / ".bff" / "publishers"
FETCHES = 600.0
"""Seconds that fetching a client may take."""


def publisher(language: str) -> str:
    """The code of a publisher on the page."""
    found = re.search(rf"^<!-- publisher: {language} -->\n```\w+\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def declared(settings: Settings) -> Gateway:
    """The gateway of the page."""
    found = re.search(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    page: dict[str, Any] = {"__name__": "desk"}
    exec(compile(found[1], "docs/events.md", "exec", dont_inherit=True), page)
    written = page["desk"]
    gateway = Gateway("desk", settings=settings)
    for saga in written.sagas.values():
        gateway.saga(saga.name, saga.model)
    for value in written.values.values():
        gateway.value(value.template, value.model, public=value.public)
    return gateway


def run(command: Sequence[str | Path], folder: Path, seconds: float = GUARD, **environment: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def state(world: World) -> dict[str, Any]:
    answer = await world.client.get("/bff/live/snapshot", params={"value": "stock/mug-01"}, headers=bearer())
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


async def publishes(
    redis_url: str, command: Sequence[str | Path], folder: Path, seconds: float = GUARD
) -> None:
    """Run the publisher and look at what the person's page gets."""
    environment = {"REDIS_URL": redis_url, "OWNER": f"{ISSUER}|ada"}
    live = {"stream_keys": ["events:orders:{p}"]}
    async with running(redis_url, declared=declared, live=live) as world:
        await asyncio.to_thread(run, command, folder, seconds, **environment)
        async with asyncio.timeout(GUARD):
            found = await state(world)
            while not (found["values"] and found["sagas"] and found["sagas"][0]["version"] == 3):
                await asyncio.sleep(0.05)
                found = await state(world)
        [saga], [value] = found["sagas"], found["values"]
        assert (saga["id"], saga["type"], saga["status"]) == ("o1", "order", "COMPLETED")
        assert (value["name"], value["version"], value["data"]) == ("stock/mug-01", 1, {"available": 3})
        # All three arrived in order, none was held for a gap: each is an event of the journal.
        assert found["cursor"].endswith("-3")
        runtime = await world.gateway.start()
        assert not any(runtime.live.dispatcher.dead_letters.values())
        # A second run is a repeat, and changes nothing.
        await asyncio.to_thread(run, command, folder, seconds, **environment)
        await _all_read(redis_url)
        assert await state(world) == found


async def _all_read(redis_url: str) -> None:
    async with RedisClient(redis_url, timeout=10) as redis, asyncio.timeout(GUARD):
        for stream in stream_names(["events:orders:{p}"], 16):
            last = await redis.call("XREVRANGE", stream, "+", "-", "COUNT", 1)
            while last and StreamPosition.parse((await Positions(redis).load([stream]))[stream]).id != (
                last[0][0].decode()
            ):
                await asyncio.sleep(0.02)


async def test_python(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "publisher.py").write_text(publisher("python"))
    await publishes(redis_url, [sys.executable, "publisher.py"], tmp_path)


async def test_node(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "publisher.mjs").write_text(publisher("node"))
    (tmp_path / "node_modules").symlink_to(HERE / "node" / "node_modules")
    await publishes(redis_url, [program("node"), "publisher.mjs"], tmp_path)


async def test_redis_cli(redis_url: str, tmp_path: Path) -> None:
    program("redis-cli")
    (tmp_path / "publisher.sh").write_text(publisher("sh"))
    await publishes(redis_url, ["sh", "-eu", "publisher.sh"], tmp_path)


@pytest.mark.slow
async def test_go(redis_url: str, tmp_path: Path) -> None:
    for file in ("go.mod", "go.sum"):
        shutil.copy(HERE / "go" / file, tmp_path)
    (tmp_path / "publisher.go").write_text(publisher("go"))
    cache = {"GOPATH": str(CACHE / "go"), "GOCACHE": str(CACHE / "go-build"), "GOFLAGS": "-modcacherw"}
    command = [program("go"), "build", "-o", "publisher", "."]
    await asyncio.to_thread(run, command, tmp_path, FETCHES, **cache)
    await publishes(redis_url, [tmp_path / "publisher"], tmp_path)


@pytest.mark.slow
async def test_java(redis_url: str, tmp_path: Path) -> None:
    jars = CACHE / "jars"
    if not jars.exists():
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
        whole = CACHE / "jars.incomplete"
        command = [program("mvn"), "-q", "-B", plugin, f"-DoutputDirectory={whole}"]
        await asyncio.to_thread(run, command, HERE / "java", FETCHES)
        whole.rename(jars)
    (tmp_path / "Publisher.java").write_text(publisher("java"))
    await asyncio.to_thread(
        run, [program("javac"), "-cp", f"{jars}/*", "-d", ".", "Publisher.java"], tmp_path
    )
    await publishes(redis_url, [program("java"), "-cp", f".:{jars}/*", "Publisher"], tmp_path)


def test_every_publisher_of_the_page_is_run() -> None:
    assert re.findall(r"^<!-- publisher: (\w+) -->$", PAGE, re.MULTILINE) == [
        "python",
        "node",
        "go",
        "java",
        "sh",
    ]
