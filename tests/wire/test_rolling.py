"""A rolling restart of ten thousand streams: no reconnect storm, short interruptions, no event lost."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest

from .fleet import Service, fleet, ranked
from .gateway import token
from .riders import many_files, riders

STREAMS, WINDOW = 10_000, 10


@pytest.mark.slow
@pytest.mark.alone
async def test_a_rolling_restart_causes_no_reconnect_storm_and_short_interruptions(tmp_path: Path) -> None:
    many_files()
    people = [f"roll-{number}" for number in range(STREAMS)]
    ends = int(time.time()) + 3600
    with fleet(tmp_path, 3, BFF_LIVE__DRAIN=str(WINDOW)) as one:
        service = Service(one.valkey.url)
        async with riders() as crowd:
            await crowd.send(open=[(who, token(who, exp=ends)) for who in people], ports=one.ports)
            await crowd.live(STREAMS, 60)
            peaks, gaps = [], []
            for port in list(one.ports):
                on = (await crowd.send(report=True))["on"].count(port)
                await crowd.send(clear=True)
                began = time.monotonic()
                again = asyncio.create_task(one.again(port, signal.SIGTERM))
                while not again.done():
                    await service.publish(*((who, f"{who}.a") for who in random.sample(people, 50)))
                    await asyncio.sleep(0.1)
                await again
                await crowd.live(STREAMS, 10)
                found = await crowd.send(report=True)
                back = [at - began for at in found["opened"].get(str(port), ())]
                each = [sum(second <= at < second + 1 for at in back) for second in range(WINDOW + 5)]
                peaks.append(max(each) / (on / WINDOW))
                gaps += found["gaps"]
                print(f"{on} streams of one, {len(back)} came back, peak {peaks[-1]:.2f} × N/window")
            told = {who: service.told[who][f"{who}.a"] for who in service.told}
            async with asyncio.timeout(20):
                while True:
                    found = await crowd.send(report=True)
                    if {who: count for who, count in found["events"].items() if count} == told:
                        break
                    await asyncio.sleep(0.2)
        await service.close()
    print(
        f"{STREAMS} streams, window {WINDOW} s: peak {max(peaks):.2f} × N/window, {len(gaps)} interruptions, p50 "
        f"{ranked(gaps, 0.5):.2f} s p99 {ranked(gaps, 0.99):.2f} s, longest {max(gaps):.2f} s, {found['resets']} resets"
    )
    assert found["wrong"] == []
    assert len(gaps) >= STREAMS * 0.9
    assert max(peaks) <= 1.5
    assert ranked(gaps, 0.99) <= 3
