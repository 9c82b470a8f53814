"""`bff events tail` shows what services publish. `bff events publish` publishes one event, for trying, and says what
the gateway did with it.

Both use the broker of the settings: the Redis Streams (`BFF_LIVE__STREAM_KEYS`), NATS or RabbitMQ. `tail` moves no
position and acknowledges nothing, so the gateway still gets every event. A queue of RabbitMQ has one reader, and `tail`
refuses to be it.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from ..calls import DeclarationError
from ..edge.app.brokers import open_brokers
from ..edge.app.network import Connections
from ..edge.settings import Settings
from ..live.ingest import BrokerUnavailable, PositionStore
from ..live.ingest.redis_streams import stream_names
from ..stores.dead_letters import DeadLetters
from ..stores.events import FIELD, BrokerEvent, StreamReader, parse_entries
from ..stores.progress import Positions
from ..stores.redis.client import RedisClient, StoreUnavailable
from ..stores.redis.login import RedisCredentials
from .event_check import EventChecker, events_in, shown
from .redis import open_redis

WAIT = 5.0
"""Seconds that `publish` waits for a gateway to read the event."""
_BATCH = 100
_RECENT = 100


def tail(
    settings: Settings,
    *,
    last: int,
    count: int | None = None,
    to: str | None = None,
    checker: EventChecker | None = None,
    credentials: RedisCredentials | None = None,
) -> int:
    """Print the last events of each stream, then those that arrive.

    last     events of each stream to begin with
    count    end after so many events; None: never
    to       `redis` or `nats`; None: the only broker of the settings
    checker  also says of each event that the gateway would not use what is wrong with it

    Returns the exit code. Raises DeclarationError when no broker is set, or it is away.
    """
    broker = _chosen(settings, to)
    if broker == "rabbitmq":
        raise DeclarationError(
            "a queue of RabbitMQ has one reader, which is the gateway: its events cannot be shown"
        )
    try:
        return asyncio.run(_tail(settings, broker, last, count, checker, credentials))
    except KeyboardInterrupt:
        return 0


def publish(
    settings: Settings,
    file: str,
    *,
    to: str | None = None,
    key: str | None = None,
    checker: EventChecker | None = None,
    anyway: bool = False,
    credentials: RedisCredentials | None = None,
) -> int:
    """Publish the one event of a file, or of standard input ("-"), and report what the gateway did with it.

    to       `redis`, `nats` or `rabbitmq`; None: the only one of the settings
    key      the stream key, the subject or the routing key; None: the one that the settings leave no choice about
    checker  refuses an event that the gateway would not use, unless `anyway`

    Returns the exit code: 1 when the event was refused, became a dead letter, or was not read within 5 s. Raises
    DeclarationError when no broker is set, or it or Redis is away.
    """
    events = list(events_in(file))
    if len(events) != 1:
        raise DeclarationError(f"{file}: one event is needed, these are {len(events)}")
    [(_, body)] = events
    if checker is not None and not anyway and not (verdict := checker.check(body)).used:
        print(f"not published: {verdict.text}")
        return 1
    return asyncio.run(_publish(settings, body, _chosen(settings, to), key, credentials))


async def _tail(
    settings: Settings,
    broker: str,
    last: int,
    count: int | None,
    checker: EventChecker | None,
    credentials: RedisCredentials | None,
) -> int:
    if count == 0:
        return 0
    async with open_redis(settings, credentials) as redis:
        events = (_of_redis if broker == "redis" else _of_nats)(settings, redis, last)
        try:
            async with aclosing(events):
                printed = 0
                async for event in events:
                    print(_line(event, time.time(), checker), flush=True)
                    printed += 1
                    if printed == count:
                        break
        except StoreUnavailable as error:
            raise DeclarationError(f"Redis cannot be reached (BFF_REDIS__URL): {error}") from error
        except BrokerUnavailable as error:
            raise DeclarationError(str(error)) from error
    return 0


async def _of_redis(settings: Settings, redis: RedisClient, last: int) -> AsyncGenerator[BrokerEvent, None]:
    streams = stream_names(settings.live.stream_keys, settings.live.partitions)
    reader = StreamReader(redis)
    try:
        found, positions = await _last(redis, streams, last)
        while True:
            for event in found:
                yield event
            read = await reader.read(positions, count=_BATCH)
            positions |= {stream: events[-1].id for stream, events in read.items()}
            found = _by_time([event for events in read.values() for event in events])
    finally:
        await reader.close()


class _Unsaved:
    """The position at which `tail` begins. It is stored nowhere."""

    def __init__(self, position: str) -> None:
        self._position = position

    async def load(self, partitions: Sequence[str]) -> dict[str, str | None]:
        return dict.fromkeys(partitions, self._position)

    async def save(self, partition: str, position: str) -> None:
        self._position = position


async def _of_nats(settings: Settings, redis: RedisClient, last: int) -> AsyncGenerator[BrokerEvent, None]:
    newest = await _adapter(settings, redis, "nats").newest()
    broker = _adapter(settings, redis, "nats", _Unsaved(str(max(0, newest - last))))
    try:
        await broker.open(_report_loss)
        while True:
            for partition, events in (await broker.read()).items():
                for event in events:
                    yield event
                await broker.ack(partition, events)
    finally:
        await broker.close()


async def _report_loss(why: str) -> None:
    """Only the gateway repairs losses: here the events before the stream's first one are left out."""


async def _last(
    redis: RedisClient, streams: list[str], count: int
) -> tuple[list[BrokerEvent], dict[str, str]]:
    """The last events of each stream, and the position behind them."""
    found, positions = [], {}
    for stream in streams:
        rows = parse_entries(await redis.call("XREVRANGE", stream, "+", "-", "COUNT", max(1, count)))
        positions[stream] = rows[0][0].decode() if rows else "0-0"
        found += [BrokerEvent(stream, id.decode(), fields.get(FIELD), "redis") for id, fields in rows[:count]]
    return _by_time(found), positions


def _by_time(events: list[BrokerEvent]) -> list[BrokerEvent]:
    return sorted(events, key=lambda event: _numbers(event.id))


def _line(event: BrokerEvent, now: float, checker: EventChecker | None) -> str:
    """One event: stream, position, age, and what it says."""
    # An entry's id in Redis is the time of its arrival. Elsewhere the event says when it happened.
    at = int(event.id.partition("-")[0]) / 1000 if event.broker == "redis" else None
    words = []
    try:
        tree = json.loads(event.body or b"")
        data = tree["data"] if isinstance(tree.get("data"), dict) else {}
        words += [str(tree.get("type", "-")), str(tree.get("subject", "-")), f"#{tree.get('sequence', '-')}"]
        words += [str(data[name]) for name in ("status", "step", "reason") if data.get(name)]
        if data.get("owner"):
            words.append(f"of {data['owner']}")
        at = _seconds(tree.get("time") or data.get("at")) if at is None else at
    except (ValueError, AttributeError, RecursionError):
        words.append(f"not a JSON object, {len(event.body or b'')} bytes")
    if checker is not None and not (verdict := checker.check(event.body)).used:
        words.append(f"NOT USED: {verdict.text}")
    age = "-" if at is None else f"{max(0.0, now - at):.1f}s"
    return shown(" ".join([event.partition, event.id, age, *words]))


def _seconds(at: object) -> float | None:
    """Unix seconds of a time in RFC 3339, None for anything else."""
    try:
        return datetime.fromisoformat(str(at)).timestamp()
    except ValueError:
        return None


def _configured(settings: Settings) -> list[str]:
    live = settings.live
    found = {"redis": live.stream_keys, "nats": live.nats, "rabbitmq": live.rabbitmq}
    return [name for name, section in found.items() if section]


def _chosen(settings: Settings, to: str | None) -> str:
    brokers = _configured(settings)
    if not brokers:
        raise DeclarationError(
            "no broker is configured: set BFF_LIVE__STREAM_KEYS, BFF_LIVE__NATS__… or BFF_LIVE__RABBITMQ__…"
        )
    if to is None and len(brokers) == 1:
        return brokers[0]
    if to not in brokers:
        raise DeclarationError(f"choose one with --broker: {', '.join(brokers)}")
    return to


def _key(settings: Settings, key: str | None) -> str:
    keys = settings.live.stream_keys
    if key is None and len(keys) == 1:
        return keys[0]
    if key not in keys:
        raise DeclarationError(f"choose one with --key: {', '.join(keys)}")
    return key


def _number_of(body: bytes, count: int) -> int:
    """The partition of an event, from 0: the same one for all events of an owner, or of a value."""
    try:
        tree = json.loads(body)
        data = tree.get("data")
        same = data.get("owner") if isinstance(data, dict) else None
        chosen = str(same or tree.get("subject", ""))
    except (ValueError, AttributeError, RecursionError):
        chosen = ""
    return zlib.crc32(chosen.encode("utf-8", "replace")) % count


async def _publish(
    settings: Settings, body: bytes, to: str, key: str | None, credentials: RedisCredentials | None
) -> int:
    async with open_redis(settings, credentials) as redis:
        try:
            event = await _published(settings, redis, body, to, key)
            if event is None:
                print("`bff events dead` lists it if the gateway cannot use it.")
                return 0
            return await _fate(redis, event)
        except StoreUnavailable as error:
            raise DeclarationError(f"Redis cannot be reached (BFF_REDIS__URL): {error}") from error
        except (BrokerUnavailable, ValueError) as error:
            raise DeclarationError(f"not published: {error}") from error


async def _published(
    settings: Settings, redis: RedisClient, body: bytes, to: str, key: str | None
) -> BrokerEvent | None:
    """The event as the gateway will read it; None where that cannot be known."""
    if to == "redis":
        number = _number_of(body, settings.live.partitions)
        stream = _key(settings, key).replace("{p}", str(number))
        id = (await redis.call("XADD", stream, "*", FIELD, body)).decode()
        print(f"{stream} {id} published", flush=True)
        return BrokerEvent(stream, id, body, to)
    brokers = {
        broker.name: broker for broker in open_brokers(settings, redis, (), Connections(settings.network))
    }
    adapter: Any = brokers[to]
    if to == "nats":
        event: BrokerEvent = await adapter.publish(body, key)
        print(f"{event.partition} {event.id} published", flush=True)
        return event
    rabbit = settings.live.rabbitmq
    if rabbit is not None and rabbit.exchange is None and key is None:
        key = rabbit.queues[_number_of(body, len(rabbit.queues))]
    await adapter.publish(body, key or "")
    print(f"rabbitmq {key or ''} published and confirmed", flush=True)
    return None


def _adapter(
    settings: Settings, redis: RedisClient, name: str, positions: PositionStore | None = None
) -> Any:
    """The adapter of `nats` or `rabbitmq`, with methods that a `Broker` does not have. positions: None: the
    gateway's."""
    brokers = open_brokers(settings, redis, (), Connections(settings.network), positions)
    return {broker.name: broker for broker in brokers}[name]


async def _fate(redis: RedisClient, event: BrokerEvent) -> int:
    """Wait until a gateway has read the event, and report it."""
    began = time.monotonic()
    while not await _is_read(redis, event):
        if time.monotonic() - began > WAIT:
            print(
                f"No gateway has read it within {WAIT:g} s. Is one running with the same settings of Redis and broker? "
                "The event stays where it is."
            )
            return 1
        await asyncio.sleep(0.05)
    seconds = time.monotonic() - began
    for letter in await DeadLetters(redis).newest(_RECENT):
        if (letter.event.partition, letter.event.id) == (event.partition, event.id):
            print(shown(f"It is a dead letter, {letter.id}: {letter.reason}"))
            return 1
    print(f"The gateway has read it after {seconds:.1f} s.")
    return 0


async def _is_read(redis: RedisClient, event: BrokerEvent) -> bool:
    """Positions of both brokers begin with the id of the last event: `<ms>-<n>` in Redis, a number in NATS."""
    saved = (await Positions(redis).load([event.partition]))[event.partition]
    return saved is not None and _numbers(saved.partition(" ")[0]) >= _numbers(event.id)


def _numbers(id: str) -> list[int]:
    return [int(part) for part in id.split("-")]
