"""A person's state was larger than our own client reads, so the client joined again for ever.

Input: 100 sagas of 60 kB, which the contract allows (100 sagas, 64 KB an event), and 50 values of 60 kB. The client
read events of up to 4 Mi characters, dropped the stream at the snapshot and joined again, endlessly and without a
message.

Right: one bound for both sides, in sum. No event of the stream has more than 8 MiB; the sagas of a state take at most 7
MB, and those that ended longest ago are left out first; values that do not fit follow as events of their own.
Source: docs/contract.md.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

from bff.calls import SagaStatus
from bff.edge.http.sse import LARGEST
from bff.edge.settings import LiveSettings
from bff.live import ValueTopic
from bff.stores.journal import ENTRY_BYTES, STATE_BYTES, Entry

from ..conftest import ROOT
from ..wire.test_stream import AT, World, client, person, world

READER = """
import { createStream } from './stream.js';
let values = 0;
const stream = createStream({
  url: process.argv[1],
  cursor: () => null,
  onEvent({ type, data }) {
    if (type === 'snapshot') values = data.values.length, console.log('sagas', data.sagas.length);
    if (type === 'value') values += 1;
    if (values === 50) { console.log('values', values, stream.fault.get()); process.exit(0); }
  },
});
stream.start();
"""


async def fill(one: World, *, sagas: int, size: int, ended: int = 0) -> None:
    entries = []
    for number in range(sagas):
        status = "COMPLETED" if number < ended else "RUNNING"
        at = (datetime.now(UTC) - timedelta(seconds=100 - number)).isoformat()
        saga = SagaStatus(id=f"o{number}", type="order", status=status, version=1, at=at)
        saga = saga.model_copy(update={"data": "x" * size})
        entries.append(Entry.of(saga, now_ms=int(time.time() * 1000)))
    for entry in entries:
        await one.journal.append(person("ada").id, entry)


async def test_the_largest_state_that_the_contract_allows_is_read_by_our_own_client(redis_url: str) -> None:
    async with world(redis_url, topics=[ValueTopic("stock/{sku}", public=True)], timeout=5) as one:
        one.settings = LiveSettings(values=50)
        await fill(one, sagas=100, size=60_000)
        names = [f"stock/{number}" for number in range(50)]
        for name in names:
            await one.values.put(name, 1, "y" * 60_000, AT)
        path = "/bff/live?" + "&".join(f"value={name}" for name in names)
        async with client(one, path) as ada:
            first = await ada.next()
            assert first is not None and first.name == "snapshot"
            assert len(first.data["sagas"]) == 100
            assert len(json.dumps(first.data)) < LARGEST
            told = {value["name"] for value in first.data["values"]}
            assert 0 < len(told) < 50
            while len(told) < 50:
                told.add((await ada.until("value")).data["name"])
        reader = await asyncio.create_subprocess_exec(
            *("node", "--input-type=module", "-e", READER, f"http://127.0.0.1:{one.port}{path}"),
            cwd=ROOT / "web/client",
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(60):
                printed, _ = await reader.communicate()
        finally:
            if reader.returncode is None:
                reader.kill()
        assert printed.decode().split("\n")[:2] == ["sagas 100", "values 50 null"]


async def test_a_larger_state_leaves_out_the_sagas_that_ended_longest_ago_first(redis_url: str) -> None:
    async with world(redis_url, history=10, timeout=5) as one:
        await fill(one, sagas=100, size=100_000, ended=50)
        async with client(one) as ada:
            first = await ada.next()
            assert first is not None
            left = [saga["id"] for saga in first.data["sagas"]]
            assert (
                sum(len(json.dumps(saga, separators=(",", ":"))) for saga in first.data["sagas"])
                <= STATE_BYTES
            )
            assert len(left) == STATE_BYTES // 100_300
            assert [f"o{number}" for number in range(50, 100)] == sorted(
                left[:50], key=lambda id: int(id[1:])
            )
        async with client(one) as again:
            second = await again.next()
            assert second is not None and second.data["sagas"] == first.data["sagas"]


async def test_a_restored_saga_larger_than_an_event_is_left_out_and_the_others_are_sent(
    redis_url: str,
) -> None:
    def saga(id: str, size: int) -> SagaStatus:
        plain = SagaStatus(id=id, type="order", status="RUNNING", version=1, at=AT)
        return plain.model_copy(update={"data": "x" * size})

    async def restore(principal: object) -> list[SagaStatus]:
        return [saga("huge", ENTRY_BYTES), saga("small", 10)]

    async with world(redis_url, restore=restore, timeout=5) as one, client(one) as ada:
        first = await ada.next()
        assert first is not None
        assert [row["id"] for row in first.data["sagas"]] == ["small"]
