"""What is counted of streams: joins, resets and ends by reason, and the lag from an event's time to the socket."""

from __future__ import annotations

from datetime import datetime

import pytest

from bff.edge.observe.metrics import LiveMetrics, Metrics
from bff.live.observation import event_time

from .test_metrics import value
from .test_stream import AT, client, entry, person, world

AFTER = 0.2
"""Seconds after the time of the events, by the clock of these gateways."""


def wall() -> float:
    return datetime.fromisoformat(AT).timestamp() + AFTER


async def test_joins_lag_and_ends_of_streams_are_counted(redis_url: str) -> None:
    metrics = Metrics()
    async with world(redis_url, observer=LiveMetrics(metrics), wall=wall) as one:
        await one.tell("o1", 1)
        async with client(one) as ada, client(one) as again:
            assert (await ada.until("snapshot")) and (await again.until("snapshot"))
            await one.tell("o1", 2)
            await one.tell("o1", 3)
            for reader in (ada, again):
                assert [(await reader.until("saga")).data["version"] for _ in range(2)] == [2, 3]
        await one.settled(0)
        async with client(one, who="bea") as bea:
            await bea.until("snapshot")
            await one.hub.end_session("session-of-bea")
            assert (await bea.until("bye")).data["reason"] == "logout"
        await one.settled(0)
        page = metrics.text().decode()
    assert value(page, "bff_stream_joins_total") == 3
    assert value(page, "bff_stream_resets_total") is None
    assert value(page, "bff_stream_ends_total", bff_reason="client") == 2
    assert value(page, "bff_stream_ends_total", bff_reason="logout") == 1
    assert value(page, "bff_stream_lag_seconds_count") == 4
    assert value(page, "bff_stream_lag_seconds_sum") == pytest.approx(4 * AFTER, abs=0.01)
    assert value(page, "bff_stream_lag_seconds_bucket", le="0.1") == 0


@pytest.mark.parametrize(("after", "reason"), [("not a cursor", "cursor"), ("aaaa-7", "journal")])
async def test_a_reset_is_counted_with_its_reason(redis_url: str, after: str, reason: str) -> None:
    metrics = Metrics()
    async with world(redis_url, observer=LiveMetrics(metrics)) as one, client(one, after=after) as ada:
        await ada.until("reset")
        page = metrics.text().decode()
    assert value(page, "bff_stream_resets_total", bff_reason=reason) == 1
    assert value(page, "bff_stream_joins_total") == 1


async def test_a_client_that_does_not_read_is_reset_as_slow_and_its_lag_counts_once(redis_url: str) -> None:
    metrics = Metrics()
    async with (
        world(redis_url, observer=LiveMetrics(metrics), wall=wall, queue=8) as one,
        client(one, limit=2**10) as ada,
    ):
        await ada.until("snapshot")
        # With the first event of a person the stream reads the journal again, which must not last into the flood.
        await one.tell("o1", 1)
        await ada.until("saga")
        large = "x" * 30_000
        for version in range(2, 120):
            status = entry("o1", version)
            saga = status.body.replace(b'"data":null', b'"data":"%b"' % large.encode())
            await one.journal.append(person("ada").id, type(status)(status.saga, version, 0, saga))
        reset = await ada.until("reset")
        assert reset.data["sagas"][0]["version"] > 4
        page = metrics.text().decode()
        assert (value(page, "bff_stream_resets_total", bff_reason="slow") or 0) >= 1
        assert 1 <= (value(page, "bff_stream_lag_seconds_count") or 0) <= 119


@pytest.mark.parametrize(
    ("at", "seconds"),
    [("2026-03-01T10:00:00Z", 1772359200.0), ("2026-03-01T10:00:00.500+01:00", 1772355600.5), ("soon", 0.0)],
)
def test_the_time_of_an_entry_is_its_own_and_not_one_in_its_data(at: str, seconds: float) -> None:
    line = b'{"id":"o1","reason":"\\"at\\":\\"x\\"","at":"%b","data":{"at":"2030-01-01T00:00:00Z"}}'
    assert event_time(line % at.encode()) == seconds


def test_an_entry_without_a_time_has_none() -> None:
    assert event_time(b"{}") == 0.0
