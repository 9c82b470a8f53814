"""Streams that come and go while Redis is away."""

from __future__ import annotations

import gc

from bff.live.stream import Stream
from tests.conftest import Valkey

from .test_stream import client, world


def _streams() -> int:
    gc.collect()
    return sum(isinstance(one, Stream) for one in gc.get_objects())


async def test_streams_that_left_while_redis_is_away_are_not_kept_until_it_returns(
    own_valkey: Valkey,
) -> None:
    async with world(own_valkey.url) as one:
        own_valkey.stop()
        before = _streams()
        for _ in range(60):
            async with client(one) as ada:
                await ada.reader.readuntil(b"retry: 1000\n\n\r\n")
        await one.settled(0)
        kept = _streams() - before
        assert kept < 10, f"{kept} of 60 streams whose clients have left are still in memory"
