"""`bff events check`, `tail` and `publish`, as a person runs them."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from redis.asyncio import Redis

from bff.cli.main import main
from bff.live.ingest import EventDispatcher, Ingester, RedisStreams, Registry
from bff.live.ingest.redis_streams import stream_names
from bff.stores.dead_letters import DeadLetters
from bff.stores.journal import Journal
from bff.stores.redis.client import RedisClient
from bff.stores.values import Values
from tests.conftest import ROOT
from tests.events import cloud_event
from tests.redis.event_gateway import Order, Stock
from tests.waiting import GUARD

GATEWAY = "tests.redis.event_gateway:desk"
OWNER = "https://id.example|ada"
KEY = "events:orders:{p}"
STATUS: dict[str, Any] = {"status": "RUNNING", "owner": OWNER, "at": "2026-03-01T10:00:00Z"}


def status(id: str = "o1", version: int = 1, **changes: Any) -> bytes:
    return cloud_event("shop.order.status", id, version, STATUS | changes)


def command(
    *arguments: str, redis_url: str = "", keys: str = f'["{KEY}"]'
) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, "BFF_REDIS__URL": redis_url, "BFF_LIVE__STREAM_KEYS": keys}
    return [sys.executable, "-m", "bff", "events", *arguments], environment


class Run(Protocol):
    def __call__(
        self, *arguments: str, given: bytes = b"", redis_url: str = ..., keys: str = ...
    ) -> tuple[int, str, str]: ...


@pytest.fixture
def bff(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: its exit code and what it printed."""

    def run(
        *arguments: str,
        given: bytes = b"",
        redis_url: str = "redis://127.0.0.1:1/0",
        keys: str = f'["{KEY}"]',
    ) -> tuple[int, str, str]:
        monkeypatch.setenv("BFF_REDIS__URL", redis_url)
        monkeypatch.setenv("BFF_LIVE__STREAM_KEYS", keys)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        capsys.readouterr()
        code = main(["events", *arguments])
        return code, *capsys.readouterr()

    return run


def check(bff: Run, *events: bytes) -> tuple[int, list[str]]:
    code, out, err = bff("check", GATEWAY, given=b"\n".join(events))
    assert err == ""
    return code, out.splitlines()


def test_check_says_what_each_event_does(bff: Run) -> None:
    value = cloud_event(
        "shop.stock.value", "mug", 7, {"version": 7, "at": STATUS["at"], "data": {"available": 3}}
    )
    changed = b'{"specversion":"1.0","id":"1","source":"/s","type":"shop.article.changed","subject":"7"}'
    assert check(bff, status(), b"", value, changed) == (
        0,
        [
            f"line 1: saga order o1, version 1, RUNNING, of {OWNER}",
            "line 3: value stock/mug, version 7",
            "line 4: invalidates article and article/7 for everybody",
        ],
    )


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            status(status="DONE"),
            ["data.status: Input should be 'PENDING'", "Where the saga is", "in the publisher"],
        ),
        (status().replace(b'"owner"', b'"owned"'), ["data.owner: Field required", "BFF-Owner"]),
        (status(version=0), ["sequence: a saga's events count from 1", "without gaps"]),
        (status().replace(b'"1"', b"1"), ["sequence: Input should be a valid string"]),
        (
            status(data={"weight": "heavy"}),
            ["data.data.weight", "What the page shows", "or the model in the gateway"],
        ),
        (
            status().replace(b"order.status", b"ordr.status"),
            ["is not declared", "Did you mean order?", "gateway.saga("],
        ),
        (status().replace(b"shop.order.status", b"order"), ["<domain>.<name>.status"]),
        (status(step="x" * 70_000), ["at most 65536", "by an id or a link"]),
        (b"{'single': 'quotes'}", ["not JSON", "one JSON object in UTF-8"]),
        (status("o1\x1b[2J\u202e", status="DONE"), ["data.status"]),
    ],
)
def test_check_says_in_a_sentence_what_is_wrong_and_what_to_do(
    bff: Run, event: bytes, words: list[str]
) -> None:
    code, [line] = check(bff, event)
    assert code == 1 and line.startswith("line 1: not used: ")
    assert "What to do: " in line and line.isascii() and "\x1b" not in line
    for word in words:
        assert word in line


def test_check_notes_what_may_be_a_mistake(bff: Run) -> None:
    code, [first, *notes] = check(bff, status(owner="ada", at="yesterday", reson="sold-out"))
    assert code == 0 and "of ada" in first
    assert [note.partition(": note: ")[2].split(" ")[0] for note in notes] == [
        "data.owner",
        "data.at",
        "data.reson",
    ]
    assert notes[-1].endswith("did you mean data.reason?")


def test_check_reads_a_file_with_one_event_over_several_lines(bff: Run, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(json.loads(status()), indent=2))
    assert bff("check", GATEWAY, str(file)) == (
        0,
        f"event: saga order o1, version 1, RUNNING, of {OWNER}\n",
        "",
    )
    code, _, err = bff("check", GATEWAY, str(tmp_path / "none"))
    assert code == 1 and "No such file" in err


def test_check_answers_each_line_before_the_next_one_is_written() -> None:
    words, environment = command("check", GATEWAY)
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe) as running:
        assert running.stdin is not None and running.stdout is not None
        for number in (1, 2):
            running.stdin.write(status(version=number) + b"\n")
            running.stdin.flush()
            assert f"version {number}".encode() in running.stdout.readline()
        running.stdin.close()
        assert running.wait(GUARD) == 0


async def test_tail_shows_the_last_events_and_those_that_arrive(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as driver:
        for number in range(1, 4):
            await driver.xadd("events:orders:3", {"event": status(version=number, step="charge")})
        words, environment = command(
            "tail", "--last", "2", "--count", "5", "--gateway", GATEWAY, redis_url=redis_url
        )
        running = await asyncio.create_subprocess_exec(
            *words, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
        )
        assert running.stdout is not None
        async with asyncio.timeout(GUARD):
            lines = [(await running.stdout.readline()).decode() for _ in range(2)]
            id = await driver.xadd("events:orders:9", {"event": status(version=4, status="DONE\x1b[2J")})
            lines.append((await running.stdout.readline()).decode())
            await driver.xadd("events:orders:0", {"other": b"x"})
            await driver.xadd("events:orders:1", {"event": b"\xff"})
            lines += [(await running.stdout.readline()).decode() for _ in range(2)]
            assert await running.wait() == 0
        assert await driver.keys("bff:*") == [], "nothing is written"
    assert lines[0].startswith("events:orders:3 ")
    assert f"s shop.order.status o1 #2 RUNNING charge of {OWNER}" in lines[0]
    assert "#3" in lines[1]
    assert lines[2].startswith(f"events:orders:9 {id.decode()} ") and "NOT USED: data.status" in lines[2]
    assert "\x1b" not in lines[2]
    assert "no field `event`" in "".join(lines[3:]) and "not JSON" in "".join(lines[3:])


def test_tail_and_publish_name_the_setting_that_is_missing(bff: Run, redis_url: str) -> None:
    for word in ("tail", "publish"):
        code, _, err = bff(word, given=status(), redis_url=redis_url, keys="[]")
        assert code == 1 and "no broker is configured: set BFF_LIVE__STREAM_KEYS" in err
        code, _, err = bff(word, given=status())
        assert code == 1 and "BFF_REDIS__URL" in err
    both = f'["{KEY}", "events:stock:0"]'
    code, _, err = bff("publish", given=status(), redis_url=redis_url, keys=both)
    assert code == 1 and f"--key: {KEY}, events:stock:0" in err
    code, _, err = bff("publish", "--broker", "nats", given=status(), redis_url=redis_url)
    assert code == 1 and "choose one with --broker: redis" in err
    code, _, err = bff("publish", given=status() + b"\n" + status(), redis_url=redis_url)
    assert code == 1 and "one event is needed, these are 2" in err


@pytest.fixture
async def gateway(redis_url: str) -> AsyncIterator[Journal]:
    """What of a gateway reads events."""
    async with RedisClient(redis_url, timeout=10) as redis:
        journal = Journal(redis)
        registry = Registry({"order": Order}, {"stock": Stock})
        dispatcher = EventDispatcher(journal, Values(redis), registry, DeadLetters(redis))
        async with Ingester(redis, dispatcher, RedisStreams(redis, stream_names([KEY], 16), block=0.1)):
            yield journal


Publish = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def publish(bff: Run, redis_url: str) -> Publish:
    async def run(event: bytes, *options: str) -> tuple[int, str]:
        code, out, err = await asyncio.to_thread(bff, "publish", *options, given=event, redis_url=redis_url)
        assert err == ""
        return code, out

    return run


async def test_publish_says_that_the_gateway_has_read_the_event(publish: Publish, gateway: Journal) -> None:
    code, said = await publish(status(), "--gateway", GATEWAY)
    assert code == 0 and "The gateway has read it after" in said
    assert await gateway.saga(OWNER, "order", "o1") is not None


async def test_publish_refuses_a_wrong_event_unless_it_is_wanted(publish: Publish, gateway: Journal) -> None:
    wrong = status(status="DONE")
    code, said = await publish(wrong, "--gateway", GATEWAY)
    assert code == 1 and said.startswith("not published: data.status")
    code, said = await publish(wrong, "--gateway", GATEWAY, "--anyway")
    assert code == 1 and "It is a dead letter, " in said and "data.status" in said


async def test_publish_puts_all_events_of_an_owner_into_one_stream(
    publish: Publish, gateway: Journal
) -> None:
    first, *more = [(await publish(status(f"o{number}")))[1].partition(" ")[0] for number in range(3)]
    assert more == [first, first]
    assert first == f"events:orders:{zlib.crc32(OWNER.encode()) % 16}", (
        "as the publishers of docs/events.md do"
    )


def test_publish_says_when_no_gateway_reads(
    bff: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.cli.event_streams.WAIT", 0.2)
    code, out, _ = bff("publish", given=status(), redis_url=redis_url)
    assert code == 1 and "No gateway has read it within 0.2 s" in out
