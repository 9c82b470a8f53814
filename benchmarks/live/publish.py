"""How events reach the contenders: over HTTP, or for this gateway through Redis, as from another replica's ingester.

Every event is the same JSON of about 300 bytes for every contender; `n` counts them, `t` is when it was sent (monotonic
nanoseconds, the same clock for every process on this machine).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from bff_service import Event, stream_of

from bff import SagaStatus
from bff.stores.journal import Entry, Journal
from bff.stores.redis.client import RedisClient
from bff.stores.values import Values

from ..fanout.issuer import ISSUER

AT = "2026-03-01T10:00:00+00:00"
_CONNECTIONS = 8
_PAD = "x" * 60


def owner(user: int) -> str:
    return f"{ISSUER}|person-{user}"


class Publisher(Protocol):
    async def everybody(self) -> None:
        """One event to all."""

    async def users(self, users: Sequence[int]) -> None:
        """One event to each of these users; returns when all were accepted."""

    async def close(self) -> None: ...


class _Numbered:
    """n: the number of events so far."""

    n = 0

    def _event(self, kind: str) -> dict[str, object]:
        self.n += 1
        return {"n": self.n, "t": time.monotonic_ns(), "kind": kind, "pad": _PAD}


class ThroughRedis(_Numbered):
    """Values and journals, written by the project's own stores."""

    def __init__(self, url: str) -> None:
        self._link = RedisClient(url, timeout=10.0)
        self._journal, self._values = Journal(self._link), Values(self._link)
        self._versions: Counter[int] = Counter()

    async def everybody(self) -> None:
        event = self._event("all")
        await self._values.put("tick/all", self.n, event, AT)

    async def _append(self, user: int) -> None:
        self._versions[user] += 1
        version = self._versions[user]
        event = self._event("own")
        saga = SagaStatus(id="o1", type="order", status="RUNNING", version=version, at=AT, data=event)
        await self._journal.append(owner(user), Entry.of(saga, now_ms=0))

    async def users(self, users: Sequence[int]) -> None:
        await asyncio.gather(*map(self._append, users))

    async def close(self) -> None:
        await self._link.close()


class OnTheBus(_Numbered):
    """CloudEvents on Redis Streams, as the shop's services publish them; the gateway reads them itself."""

    def __init__(self, url: str) -> None:
        self._link = RedisClient(url, timeout=10.0)
        self._versions: Counter[int] = Counter()

    async def everybody(self) -> None:
        raise NotImplementedError("only events of single users are sent this way")

    async def users(self, users: Sequence[int]) -> None:
        await self._link.batch([self._command(user) for user in users])

    def _command(self, user: int) -> list[str | bytes]:
        self._versions[user] += 1
        mine = owner(user)
        event = Event(
            type="bench.order.status",
            source="/services/orders",
            # One saga of each person.
            subject=f"b{user}",
            sequence=self._versions[user],
            partition_key=mine,
            data={"status": "RUNNING", "owner": mine, "at": AT, "data": self._event("own")},
            at=datetime.now(UTC),
        )
        return ["XADD", stream_of("orders", mine), "MAXLEN", "~", "100000", "*", "event", event.json()]

    async def close(self) -> None:
        await self._link.close()


class OverHttp(_Numbered):
    """POSTs on kept-alive connections. path: with `{u}` for the user, `all` for everybody."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._opened = 0

    def _request(self, user: str) -> bytes:
        data = self._event("own")
        # As long as the gateway's events.
        saga: dict[str, object] = {
            "id": "o1",
            "type": "order",
            "status": "RUNNING",
            "step": None,
            "attempt": 1,
        }
        saga |= {"version": self.n, "reason": None, "mutation": None, "at": AT, "data": data}
        body = json.dumps(saga | {"traceparent": None}, separators=(",", ":")).encode()
        path = self._path.format(u=user)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        return head.encode() + b"\r\n\r\n" + body

    async def _post(self, user: str) -> None:
        if self._free.empty() and self._opened < _CONNECTIONS:
            self._opened += 1
            self._free.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))
        reader, writer = pair = await self._free.get()
        writer.write(self._request(user))
        head = await reader.readuntil(b"\r\n\r\n")
        if head[9:10] != b"2":
            raise RuntimeError(f"not published: {head.decode()}")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n") if b":" in line)
        await reader.readexactly(int(fields.get(b"content-length", 0)))
        if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
            await reader.readuntil(b"0\r\n\r\n")
        self._free.put_nowait(pair)

    async def everybody(self) -> None:
        await self._post("all")

    async def users(self, users: Sequence[int]) -> None:
        await asyncio.gather(*(self._post(str(user)) for user in users))

    async def close(self) -> None:
        while not self._free.empty():
            self._free.get_nowait()[1].close()
