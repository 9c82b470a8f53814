"""`bff events tail` shows what services publish. `bff events publish` publishes one event, for trying, and says what
the gateway did with it.

Both use the Redis Streams of the settings (`BFF_LIVE__STREAM_KEYS`). `tail` only reads: it moves no position, so the
gateway still gets every event. A queue of RabbitMQ has one reader, and `tail` refuses to be it.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from typing import Any

from ..calls import DeclarationError
from ..edge.settings import Settings
from ..live.ingest.redis_streams import StreamPosition, stream_names
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
    checker: EventChecker | None = None,
    credentials: RedisCredentials | None = None,
) -> int:
    """Print the last events of each stream, then those that arrive.

    last     events of each stream to begin with
    count    end after so many events; None: never
    checker  also says of each event that the gateway would not use what is wrong with it

    Returns the exit code. Raises DeclarationError when no stream is set, or Redis is away.
    """
    try:
        return asyncio.run(_tail(settings, last, count, checker, credentials))
    except KeyboardInterrupt:
        return 0


def publish(
    settings: Settings,
    file: str,
    *,
    key: str | None = None,
    checker: EventChecker | None = None,
    anyway: bool = False,
    credentials: RedisCredentials | None = None,
) -> int:
    """Publish the one event of a file, or of standard input ("-"), and report what the gateway did with it.

    key      which of the stream keys of the settings; None: the only one
    checker  refuses an event that the gateway would not use, unless `anyway`

    Returns the exit code: 1 when the event was refused, became a dead letter, or was not read within 5 s. Raises
    DeclarationError when no stream is set, or Redis is away.
    """
    events = list(events_in(file))
    if len(events) != 1:
        raise DeclarationError(f"{file}: one event is needed, these are {len(events)}")
    [(_, body)] = events
    if checker is not None and not anyway and not (verdict := checker.check(body)).used:
        print(f"not published: {verdict.text}")
        return 1
    return asyncio.run(_publish(settings, body, _key(settings, key), credentials))


async def _tail(
    settings: Settings,
    last: int,
    count: int | None,
    checker: EventChecker | None,
    credentials: RedisCredentials | None,
) -> int:
    streams = stream_names(_keys(settings), settings.live.partitions)
    async with open_redis(settings, credentials) as redis:
        reader = StreamReader(redis)
        try:
            found, positions = await _last(redis, streams, last)
            shown_events = 0
            while True:
                for event in found:
                    if shown_events == count:
                        return 0
                    print(_line(event, time.time(), checker), flush=True)
                    shown_events += 1
                if shown_events == count:
                    return 0
                read = await reader.read(positions, count=_BATCH)
                positions |= {stream: events[-1].id for stream, events in read.items()}
                found = _by_time([event for events in read.values() for event in events])
        except StoreUnavailable as error:
            raise DeclarationError(f"Redis cannot be reached (BFF_REDIS__URL): {error}") from error
        finally:
            await reader.close()


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
    return sorted(events, key=lambda event: [int(part) for part in event.id.split("-")])


def _line(event: BrokerEvent, now: float, checker: EventChecker | None) -> str:
    """One event: stream, position, age, and what it says."""
    age = now - int(event.id.partition("-")[0]) / 1000
    words = [event.partition, event.id, f"{max(0.0, age):.1f}s"]
    try:
        tree = json.loads(event.body or b"")
        data = tree["data"] if isinstance(tree.get("data"), dict) else {}
        words += [str(tree.get("type", "-")), str(tree.get("subject", "-")), f"#{tree.get('sequence', '-')}"]
        words += [str(data[name]) for name in ("status", "step", "reason") if data.get(name)]
        if data.get("owner"):
            words.append(f"of {data['owner']}")
    except (ValueError, AttributeError, RecursionError):
        words.append(f"not a JSON object, {len(event.body or b'')} bytes")
    if checker is not None and not (verdict := checker.check(event.body)).used:
        words.append(f"NOT USED: {verdict.text}")
    return shown(" ".join(words))


def _keys(settings: Settings) -> tuple[str, ...]:
    if not settings.live.stream_keys:
        other = [name for name in ("nats", "rabbitmq") if getattr(settings.live, name) is not None]
        instead = f"; {' and '.join(other)} have clients of their own" if other else ""
        raise DeclarationError(
            f'no Redis stream is configured: set BFF_LIVE__STREAM_KEYS, for example ["events:orders:{{p}}"]{instead}'
        )
    return settings.live.stream_keys


def _key(settings: Settings, key: str | None) -> str:
    keys = _keys(settings)
    if key is None and len(keys) == 1:
        return keys[0]
    if key not in keys:
        raise DeclarationError(f"choose one with --key: {', '.join(keys)}")
    return key


def _stream(key: str, partitions: int, body: bytes) -> str:
    """The stream of an event: all of a saga's owner, or of a value, in one."""
    try:
        tree = json.loads(body)
        data = tree.get("data")
        same = data.get("owner") if isinstance(data, dict) else None
        chosen = str(same or tree.get("subject", ""))
    except (ValueError, AttributeError, RecursionError):
        chosen = ""
    return key.replace("{p}", str(zlib.crc32(chosen.encode("utf-8", "replace")) % partitions))


async def _publish(settings: Settings, body: bytes, key: str, credentials: RedisCredentials | None) -> int:
    stream = _stream(key, settings.live.partitions, body)
    async with open_redis(settings, credentials) as redis:
        try:
            id = (await redis.call("XADD", stream, "*", FIELD, body)).decode()
            print(f"{stream} {id} published", flush=True)
            began = time.monotonic()
            while not await _is_read(redis, stream, id):
                if time.monotonic() - began > WAIT:
                    print(
                        f"No gateway has read it within {WAIT:g} s. Is one running with this Redis and this "
                        "BFF_LIVE__STREAM_KEYS? It stays in the stream."
                    )
                    return 1
                await asyncio.sleep(0.05)
            seconds = time.monotonic() - began
            for letter in await DeadLetters(redis).newest(_RECENT):
                if (letter.event.partition, letter.event.id) == (stream, id):
                    print(shown(f"It is a dead letter, {letter.id}: {letter.reason}"))
                    return 1
        except StoreUnavailable as error:
            raise DeclarationError(f"Redis cannot be reached (BFF_REDIS__URL): {error}") from error
    print(f"The gateway has read it after {seconds:.1f} s.")
    return 0


async def _is_read(redis: RedisClient, stream: str, id: str) -> bool:
    position: dict[str, Any] = await Positions(redis).load([stream])
    read = StreamPosition.parse(position[stream]).id
    return [int(part) for part in read.split("-")] >= [int(part) for part in id.split("-")]
