import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from bff.calls import SagaStatus
from bff.live.ingest import EventDispatcher, Ingester, RedisStreams, Registry
from bff.live.ingest.redis_streams import StreamPosition, stream_names
from bff.stores.dead_letters import DEAD, DeadLetters
from bff.stores.events import BrokerEvent, parse_entries
from bff.stores.journal import Entry, Journal
from bff.stores.keys import redis_key
from bff.stores.progress import Positions
from bff.stores.redis.client import RedisClient, StoreUnavailable, store_errors
from bff.stores.values import Values
from tests.conftest import Valkey
from tests.events import cloud_event
from tests.waiting import GUARD

OWNER = "https://id.example|ada"
AT = "2026-03-01T10:00:00Z"
STREAM = "events:orders:0"


class Stock(BaseModel):
    sku: str
    available: int


REGISTRY = Registry({"order": SagaStatus}, {"stock": Stock})


def status(saga: str, sequence: int, **changes: Any) -> str:
    data = {"status": "RUNNING", "step": "reserve", "attempt": 1, "reason": None, "owner": OWNER}
    data |= {"mutation": "k1", "at": AT, "data": {"total_cents": 5}}
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    return cloud_event("shop.order.status", saga, sequence, data | changes, traceparent=traceparent).decode()


def stock(sku: str, version: int, available: Any = 7) -> str:
    data = {"version": version, "at": AT, "data": {"sku": sku, "available": available, "version": version}}
    return cloud_event("shop.stock.value", sku, version, data).decode()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


def ingester(
    redis: RedisClient, journal: Journal | None = None, streams: tuple[str, ...] = (STREAM,), **more: Any
) -> Ingester:
    dispatcher = EventDispatcher(journal or Journal(redis), Values(redis), REGISTRY, DeadLetters(redis))
    return Ingester(redis, dispatcher, RedisStreams(redis, streams, block=0.1), **more)


async def publish(redis: RedisClient, *bodies: str | bytes, stream: str = STREAM) -> None:
    for body in bodies:
        await redis.call("XADD", stream, "*", "event", body)


async def saga_entries(redis: RedisClient) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in (await Journal(redis).open(OWNER, None)).entries]


async def until(holds: Callable[[], Any], *, seconds: float = GUARD) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await holds():
                    return
            except StoreUnavailable:
                pass
            await asyncio.sleep(0.02)


async def position(redis: RedisClient, stream: str = STREAM) -> str:
    return StreamPosition.parse((await Positions(redis).load([stream]))[stream]).id


async def read_all(redis: RedisClient, stream: str = STREAM) -> None:
    async def caught_up() -> bool:
        last = await redis.call("XREVRANGE", stream, "+", "-", "COUNT", 1)
        return bool(last) and await position(redis, stream) == last[0][0].decode()

    await until(caught_up)


def test_templates_name_every_partition() -> None:
    assert stream_names(["events:a:{p}", "events:b"], 3) == [
        "events:a:0",
        "events:a:1",
        "events:a:2",
        "events:b",
    ]


async def test_a_status_event_becomes_the_contracts_saga_entry(redis: RedisClient) -> None:
    async with ingester(redis):
        await publish(redis, status("o1", 1))
        await read_all(redis)
    assert await saga_entries(redis) == [
        {
            **{
                "id": "o1",
                "type": "order",
                "status": "RUNNING",
                "step": "reserve",
                "attempt": 1,
                "version": 1,
            },
            **{"reason": None, "mutation": "k1", "mutations": [], "at": AT, "data": {"total_cents": 5}},
            "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        }
    ]


async def test_each_event_of_a_sampled_trace_is_recorded_with_what_became_of_it(redis: RedisClient) -> None:
    traces = Received()
    dispatcher = EventDispatcher(Journal(redis), Values(redis), REGISTRY, DeadLetters(redis), traces=traces)
    changed = cloud_event("shop.order.changed", "o1", 1, {}, traceparent="changed's").decode()
    unusable = status("o2", 1, attempt="many")
    for number, body in enumerate([status("o1", 1), status("o1", 1), stock("mug-01", 4), changed, unusable]):
        await dispatcher.dispatch(BrokerEvent(STREAM, f"{number}-0", body.encode(), "redis"))
    sampled = f"00-{'a' * 32}-{'b' * 16}-01"
    assert traces.followed == [
        ("shop.order.status", "o1:1", sampled),
        ("shop.order.status", "o1:1", sampled),
        ("shop.stock.value", "mug-01:4", None),
        ("shop.order.changed", "o1:1", "changed's"),
    ]
    assert [outcome for outcome, _ in traces.ended] == [
        *("appended", "repeat", "value", "changed", "dead-letter"),
    ]
    assert [failed for _, failed in traces.ended] == [False, False, False, False, True]
    assert [one["traceparent"] for one in await saga_entries(redis)] == [Received.OWN]


class Received:
    """Records what a dispatcher tells of each event, and gives each a traceparent of its own."""

    OWN = f"00-{'a' * 32}-{'c' * 16}-01"

    def __init__(self) -> None:
        self.followed: list[tuple[str, str, str | None]] = []
        self.ended: list[tuple[str, bool]] = []

    def receive(self, event: BrokerEvent) -> Any:
        return self

    def follow(self, type: str, source: str, id: str, traceparent: str | None) -> str | None:
        self.followed.append((type, id, traceparent))
        return None if traceparent is None else self.OWN

    def end(self, outcome: str, *, failed: bool = False) -> None:
        self.ended.append((outcome, failed))


async def test_a_value_event_becomes_the_value_with_only_declared_fields(redis: RedisClient) -> None:
    async with ingester(redis):
        await publish(redis, stock("mug-01", 4), stock("mug-01", 3, 99))
        await read_all(redis)
    positions = (await Values(redis).get(["stock/mug-01"]))["stock/mug-01"]
    assert json.loads(positions.payload) == {
        **{"name": "stock/mug-01", "version": 4, "at": AT},
        "data": {"sku": "mug-01", "available": 7},
    }


async def test_an_event_names_its_commands_and_only_random_uuids_are_passed_on(
    redis: RedisClient,
) -> None:
    name = "0c9f3f0e-58a6-4d0c-9a53-6c1e3b8a4f11"
    event = json.loads(stock("mug-01", 4))
    event["data"]["mutations"] = [
        name,
        "the order of ada@example.org",
        "0c9f3f0e-58a6-1d0c-9a53-6c1e3b8a4f11",
    ]
    async with ingester(redis):
        await publish(redis, json.dumps(event), status("o1", 1, mutations=["k2"]), status("o2", 1))
        await read_all(redis)
    value = (await Values(redis).get(["stock/mug-01"]))["stock/mug-01"]
    assert json.loads(value.payload)["mutations"] == [name]
    assert [row["mutations"] for row in await saga_entries(redis)] == [[], ["k2"]]


@pytest.mark.parametrize(
    "bad",
    [
        b"not json",
        b"[]",
        b"{}",
        b"\xff\xfe",
        status("o9", 1, status="EXPLODED"),
        status("o9", 1, owner=""),
        status("o9", 1).replace('"1.0"', '"0.3"'),
        status("o9", 1).replace('"sequence": "1"', '"sequence": "one"'),
        status("o9", 0),
        status("o9", 1).replace('"subject": "o9", ', ""),
        status("o9", 1, data="x" * 70_000),
        stock("mug 01", 1),
        stock("mug-01", 1, "many"),
        stock("mug-01", 1).replace('"sequence": "1"', '"sequence": "2"'),
    ],
)
async def test_an_unusable_event_becomes_a_dead_letter_and_the_next_one_is_handled(
    redis: RedisClient, bad: str | bytes
) -> None:
    async with ingester(redis):
        await publish(redis, bad, status("o1", 1))
        await read_all(redis)
    assert [row["id"] for row in await saga_entries(redis)] == ["o1"]
    ((_, dead),) = parse_entries(await redis.call("XRANGE", DEAD, "-", "+"))
    assert dead[b"stream"] == STREAM.encode()
    assert dead[b"reason"]
    body = bad if isinstance(bad, bytes) else bad.encode()
    assert dead[b"body"] == body[:65_536]


async def test_events_of_undeclared_types_do_not_block_others(redis: RedisClient) -> None:
    other = json.dumps({"type": "shop.invoice.sent", "anything": 1})
    async with ingester(redis):
        await publish(redis, other, status("o1", 1).replace("shop.order.", "shop.parcel."), status("o1", 1))
        await read_all(redis)
    assert len(await saga_entries(redis)) == 1
    [(_, dead)] = parse_entries(await redis.call("XRANGE", DEAD, "-", "+"))
    assert b"shop.parcel.status" in dead[b"body"]


async def test_an_ingester_stopped_between_effect_and_position_repeats_nothing(redis: RedisClient) -> None:
    class Dying(Journal):
        """Stops the ingester right after an effect, before its position can be saved."""

        left = 0
        died: asyncio.Event

        async def append(self, owner: str, entry: Entry) -> Any:
            outcome = await super().append(owner, entry)
            self.left -= 1
            if self.left == 0:
                self.died.set()
                await asyncio.Event().wait()
            return outcome

    await publish(redis, *(status(f"o{number % 3}", number // 3 + 1) for number in range(60)))
    for round in range(5):
        journal = Dying(redis)
        journal.left, journal.died = 7 + round, asyncio.Event()
        reader = ingester(redis, journal)
        await reader.start()
        await asyncio.wait_for(journal.died.wait(), GUARD)
        await reader.stop()
        dealt = StreamPosition.parse((await Positions(redis).load([STREAM]))[STREAM]).count
        position = (await Journal(redis).open(OWNER, None)).position
        assert position is not None and dealt < position.offset
    async with ingester(redis):
        await read_all(redis)
    opened = await Journal(redis).open(OWNER, None)
    assert opened.position is not None and opened.position.offset == 60
    history = await Journal(redis).open(OWNER, type(opened.position)(opened.position.epoch, 0))
    rows = [json.loads(entry) for entry in history.entries]
    for saga in ("o0", "o1", "o2"):
        assert [row["version"] for row in rows if row["id"] == saga] == list(range(1, 21))


async def test_another_process_takes_over_within_three_seconds_of_a_death(redis: RedisClient) -> None:
    dead = ingester(redis)
    await dead.start()
    await publish(redis, status("o1", 1))
    await read_all(redis)
    # What kill -9 leaves behind: the lease is neither renewed nor released.
    assert dead._main is not None
    dead._main.cancel()
    await asyncio.wait([dead._main])
    assert 0 < await redis.call("PTTL", redis_key("lease:ingest-redis")) < 3_000
    async with ingester(redis):
        await publish(redis, status("o1", 2))
        await read_all(redis)
    await dead.stop()
    assert [row["version"] for row in await saga_entries(redis)] == [2]


async def test_a_stopped_ingester_hands_over_at_once(redis: RedisClient) -> None:
    async with ingester(redis, lease=60.0):
        await publish(redis, status("o1", 1))
        await read_all(redis)
    assert await redis.call("EXISTS", redis_key("lease:ingest-redis")) == 0


async def test_two_ingesters_with_many_partitions_deliver_each_event_once(redis: RedisClient) -> None:
    names = tuple(stream_names(["events:orders:{p}"], 8))
    async with ingester(redis, streams=names), ingester(redis, streams=names):
        for number in range(120):
            await publish(redis, status(f"o{number % 8}", number // 8 + 1), stream=names[number % 8])
        for name in names:
            await read_all(redis, name)
    top = (await Journal(redis).open(OWNER, None)).position
    assert top is not None and top.offset == 120


async def test_a_gap_that_is_never_filled_does_not_block(redis: RedisClient) -> None:
    async with ingester(redis, Journal(redis, gap=0.3)):
        await publish(redis, status("o1", 1), status("o1", 3))

        async def let_through() -> bool:
            return [row["version"] for row in await saga_entries(redis)] == [3]

        await until(let_through)


async def test_ingestion_resumes_when_redis_is_back(own_valkey: Valkey) -> None:
    own_valkey.stop()
    async with RedisClient(own_valkey.url) as redis, ingester(redis):

        async def published(id: str) -> bool:
            with store_errors("the test's own event"):
                await publish(redis, status(id, 1))
            return True

        # Its first attempts find no server.
        await asyncio.sleep(0.2)
        own_valkey.start()
        await until(lambda: published("o1"))
        await read_all(redis)
        own_valkey.stop()
        own_valkey.start()
        await until(lambda: published("o2"))
        await read_all(redis)
        assert [row["id"] for row in await saga_entries(redis)] == ["o2"]


async def test_the_reader_knows_how_long_the_oldest_unread_event_has_waited(redis: RedisClient) -> None:
    one, other = ingester(redis, lease=0.4), ingester(redis, lease=0.4)
    assert one.oldest_unread is None
    release = asyncio.Event()
    async with one, other, asyncio.timeout(GUARD):
        while [one.oldest_unread, other.oldest_unread].count(0.0) != 1:
            await asyncio.sleep(0.01)
        reader, waiting = (one, other) if one.oldest_unread is not None else (other, one)
        assert waiting.oldest_unread is None
        dispatch = reader._dispatcher.dispatch

        async def held(event: Any) -> bool:
            await release.wait()
            return await dispatch(event)

        reader._dispatcher.dispatch = held  # type: ignore[method-assign]  # the event is being applied, slowly
        await publish(redis, status("o1", 1))
        while (reader.oldest_unread or 0.0) < 0.3:
            await asyncio.sleep(0.01)
        release.set()
        while reader.oldest_unread != 0.0:
            await asyncio.sleep(0.01)


async def test_while_the_broker_cannot_be_read_the_age_grows(own_valkey: Valkey) -> None:
    now = [1_000.0]
    async with RedisClient(own_valkey.url, timeout=10) as redis, asyncio.timeout(GUARD):
        one = ingester(redis, clock=lambda: now[0])
        async with one:
            while one.oldest_unread != 0.0:
                await asyncio.sleep(0.01)
            own_valkey.stop()
            now[0] += 60.0
            while one.oldest_unread == 0.0:
                await asyncio.sleep(0.01)
            assert one.oldest_unread == 60.0
            own_valkey.start()
            while one.oldest_unread != 0.0:
                await asyncio.sleep(0.01)
