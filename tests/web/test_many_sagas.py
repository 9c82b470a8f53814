"""A page with 500 live sagas at 200 events a second: how much script each frame costs, in a real Chromium."""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from collections import defaultdict
from typing import Any

import pytest
from playwright.async_api import Browser
from redis import Redis

from tests.events import cloud_event
from tests.shop.system import Shop

from .lab import Lab, Wire, live, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

SAGAS = 500
RATE = 200
SECONDS = 5
FRAME = 1_000_000 / 60  # microseconds
SCRIPT = {
    "FunctionCall",
    "EvaluateScript",
    "RunMicrotasks",
    "FireAnimationFrame",
    "TimerFire",
    "HandlePostMessage",
}

# Every saga has a row that subscribes to its own readable, as a framework's component would.
ROWS = """
ids => {
  const list = document.createElement('ul');
  document.documentElement.append(list);
  window.drawn = 0;
  for (const id of ids) {
    const row = document.createElement('li');
    list.append(row);
    const saga = client.saga(id);
    const draw = () => {
      const now = saga.get();
      row.textContent = `${now.id} ${now.status} ${now.step} ${now.attempt}`;
      window.drawn += 1;
    };
    draw();
    saga.subscribe(draw);
  }
  client.sagas().subscribe((sagas) => { window.count = sagas.length; });
}
"""


def event(owner: str, saga: str, version: int) -> str:
    data = {
        "status": "RUNNING",
        "step": "charge",
        "attempt": version,
        "reason": None,
        "owner": owner,
        "mutation": None,
        "at": "2026-01-01T00:00:00Z",
        "data": {"lines": [], "total_cents": 1200, "currency": "EUR"},
    }
    return cloud_event("shop.order.status", saga, version, data).decode()


def script_per_frame(trace: dict[str, Any]) -> list[float]:
    """Milliseconds of script in each frame, of the busiest thread; CPU time where the trace has it."""
    threads: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    renderers = {
        (one["pid"], one["tid"])
        for one in trace["traceEvents"]
        if one.get("name") == "thread_name" and one["args"]["name"] == "CrRendererMain"
    }
    for one in trace["traceEvents"]:
        if one.get("ph") == "X" and one["name"] in SCRIPT and (one["pid"], one["tid"]) in renderers:
            threads[(one["pid"], one["tid"])].append(one)
    busiest = max(threads.values(), key=lambda all: sum(one["dur"] for one in all))
    frames: dict[int, float] = defaultdict(float)
    until_ = 0.0
    for one in sorted(busiest, key=lambda one: float(one["ts"])):
        if one["ts"] < until_:
            continue  # inside the previous one
        until_ = one["ts"] + one["dur"]
        frames[int(one["ts"] // FRAME)] += one.get("tdur", one["dur"]) / 1000
    return sorted(frames.values())


async def test_five_hundred_sagas_at_two_hundred_events_a_second_make_no_frame_late(
    paced_shop: Shop, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lab = Lab(paced_shop, tmp_path_factory.mktemp("many"), Wire(0))
    await asyncio.to_thread(lab.start)
    lab.wire = Wire(lab.port)
    await lab.wire.start()
    owner = paced_shop.world.owner("bruno")
    stream = f"events:orders:{zlib.crc32(owner.encode()) % 16}"
    redis = Redis.from_url(paced_shop.world.valkey.url)
    ids = [f"many-{number:03}" for number in range(SAGAS)]

    def publish(numbers: range, version: int) -> None:
        pipe = redis.pipeline(transaction=False)
        for number in numbers:
            pipe.xadd(stream, {"event": event(owner, ids[number], version)})
        pipe.execute()

    async with lab.visit(browser, "bruno") as context:
        tab = await lab.tab(context, owner="bruno")
        await live(tab)
        await asyncio.to_thread(publish, range(SAGAS), 1)
        await until(
            lambda: tab.evaluate("client.sagas().get().filter(({id}) => id.startsWith('many-')).length"),
            SAGAS,
        )
        await tab.evaluate(ROWS, ids)
        await browser.start_tracing(page=tab, categories=["devtools.timeline", "v8"])
        began = asyncio.get_running_loop().time()
        # The events of a tenth of a second at a time.
        for turn in range(SECONDS * 10):
            first = turn * RATE // 10 % SAGAS
            await asyncio.to_thread(publish, range(first, first + RATE // 10), 2 + turn * RATE // 10 // SAGAS)
            await asyncio.sleep(max(0.0, began + (turn + 1) / 10 - asyncio.get_running_loop().time()))
        await until(lambda: tab.evaluate("drawn"), SAGAS + RATE * SECONDS)
        took = asyncio.get_running_loop().time() - began
        frames = script_per_frame(json.loads(await browser.stop_tracing()))
    await lab.wire.close()
    lab.kill()
    p99 = frames[int(len(frames) * 0.99)]
    sys.stdout.write(
        f"\n{RATE * SECONDS} events on {SAGAS} sagas in {took:.1f} s: script in a frame "
        f"p50 {frames[len(frames) // 2]:.2f} ms, p99 {p99:.2f} ms, most {frames[-1]:.2f} ms ({len(frames)} frames)"
    )
    assert p99 < 16, "no frame is late because of the page's script"
