"""What one published message costs the hub before any browser is written to: `python -m benchmarks.live.dispatch`.

From the server's answer, as the parser delivers it, to the stream's outlet, which encodes it and writes nothing: one
stream an owner, each event for another owner than the previous one. CPU time, the best of several rounds.
"""

from __future__ import annotations

import asyncio
import time

from bff.calls import Principal
from bff.edge.http.outlet import SseOutlet
from bff.live import Hub
from bff.stores.journal import Journal, Opened, Position, channel_of
from bff.stores.redis.client import RedisClient
from bff.stores.redis.subscriptions import Subscriptions
from bff.stores.values import Values

OWNERS, EVENTS, ROUNDS = 2_000, 40, 5
_ENTRY = b'{"id":"o1","status":"RUNNING","data":"' + b"x" * 200 + b'"}'


class _Nowhere(SseOutlet):
    """An outlet whose connection accepts everything."""

    __slots__ = ()
    paused = False
    unsent = 0

    def write(self, chunk: bytes, *, last: bool = False) -> bool:
        return True

    async def send(self, chunk: bytes, *, last: bool = False) -> None:
        return

    def abort(self) -> None:
        return


async def measured() -> float:
    """Microseconds of CPU for one message."""
    link = RedisClient("redis://127.0.0.1:1/0")
    channels = Subscriptions(link)
    hub = Hub(link, channels, Journal(link), Values(link))
    names = []
    for number in range(OWNERS):
        who = Principal("https://id.example", f"person-{number}", token="t", expires_at=4e9, session=None)
        stream = hub.admit(who, None, (), _Nowhere(256))
        hub._feeds.add(stream)
        stream.join(Opened(Position("e", 0), True, "snapshot", ()), ())
        names.append(channel_of(who.id).encode())
    (connection,) = channels._connections.values()
    best = 1e9
    for round in range(ROUNDS):
        answers = [
            [b"message", name, b"e-%d %b" % (round * EVENTS + number, _ENTRY)]
            for number in range(1, EVENTS + 1)
            for name in names
        ]
        began = time.process_time()
        for answer in answers:
            connection._on_reply(answer)
        best = min(best, time.process_time() - began)
    await link.close()
    return best / (OWNERS * EVENTS) * 1e6


if __name__ == "__main__":
    print(f"{asyncio.run(measured()):.3f} µs of CPU a message, {OWNERS} owners")
