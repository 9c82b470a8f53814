"""Events far larger than a gateway takes, in many partitions at once."""

from __future__ import annotations

from bff.live.ingest import RedisStreams
from bff.stores.link import RedisLink

MB = 1_000_000


async def nothing_lost(why: str) -> None:
    raise AssertionError(why)


async def test_one_read_of_a_bus_is_bounded_in_bytes_too(redis_url: str) -> None:
    streams = [f"events:orders:{number}" for number in range(4)]
    async with RedisLink(redis_url, timeout=5) as link:
        for stream in streams:
            for _ in range(40):
                await link.client.xadd(stream, {"event": b"x" * MB})
        bus = RedisStreams(link, streams)
        await bus.begin(nothing_lost)
        try:
            read = await bus.read()
            size = sum(len(event.body or b"") for events in read.values() for event in events)
        finally:
            await bus.end()
    assert size <= 64 * MB, f"{size // MB} MB were read into memory at once, at most 65 kB an event are taken"
