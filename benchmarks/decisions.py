"""What one rate limit decision costs this process: the same script over our Redis client and over redis-py's pool, with
1, 32 and 64 under way; a bare PING over our client; and the cost of other stores' calls. CPU time of the process, the
least of several rounds."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable

import uvloop
from redis.asyncio import Redis

from bff.stores.cache import CacheStore
from bff.stores.journal import Journal
from bff.stores.keys import redis_key
from bff.stores.redis.client import RedisClient
from bff.stores.redis.scripts import read
from bff.stores.sessions import SessionStore
from bff.stores.values import Values

from .fanout.place import opened

UNDER_WAY = (1, 32, 64)
ROUNDS, TIMES = 4, 5_000
QUOTA = (100.0, 60_000.0)  # interval and window, ms

Ask = Callable[[int], Awaitable[object]]


def table() -> str:
    """A row for each way, in CPU µs a decision."""
    with opened(people=1) as place:
        rows = uvloop.run(_measured(place.redis))
    lines = [
        "| CPU µs each, under way | " + " | ".join(map(str, UNDER_WAY)) + " |",
        "|---|" + "---|" * len(UNDER_WAY),
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{one:.1f}" for one in costs) + " |" for name, costs in rows.items()
    ]
    return "\n".join(lines)


async def _measured(url: str) -> dict[str, list[float]]:
    link = RedisClient(url, timeout=10)
    pool = Redis.from_url(url, max_connections=max(UNDER_WAY), protocol=2)
    script, sha = link.script("rate"), await pool.script_load(read("rate"))
    cache, journal, sessions, values = (
        CacheStore(link, wait=10),
        Journal(link),
        SessionStore(link),
        Values(link),
    )
    five = [f"{number}" for number in range(5)]
    ways: dict[str, Ask] = {
        "a decision, the link": lambda who: script([redis_key(f"{who}", "rate:x")], QUOTA),
        "a decision, redis-py and hiredis": lambda who: pool.evalsha(
            sha, 1, redis_key(f"{who}", "rate:x"), *QUOTA
        ),
        "PING, the link": lambda _: link.call("PING"),
        "a look into the cache": lambda who: cache.read(f"{who}", (), None),
        "the same with two tags and an owner": lambda who: cache.read(f"{who}", ("a", "b"), "ada"),
        "five values": lambda _: values.get(five),
        "five journals' heads": lambda _: journal.heads(five),
        "whether five sessions exist": lambda _: sessions.still_open(five),
    }
    try:
        found: dict[str, list[float]] = {name: [] for name in ways}
        for count in UNDER_WAY:
            least = dict.fromkeys(ways, float("inf"))
            # In turn, so that load from other programs affects all of them.
            for _, (name, ask) in itertools.product(range(ROUNDS), ways.items()):
                least[name] = min(least[name], await _cost(ask, count))
            for name in ways:
                found[name].append(least[name])
        return found
    finally:
        await link.close()
        await pool.aclose()


async def _cost(ask: Ask, count: int) -> float:
    async def worker(who: int) -> None:
        for _ in range(TIMES // count):
            await ask(who)

    await asyncio.gather(*(ask(who) for who in range(count)))
    began = time.process_time()
    await asyncio.gather(*map(worker, range(count)))
    return (time.process_time() - began) / (TIMES // count * count) * 1e6
