"""How events get to the contenders: over HTTP, or for this gateway through Redis, as from another replica's ingester.

Every event is the same JSON of some 300 bytes, whoever carries it; `n` counts them, `t` is when it was sent (monotonic
nanoseconds).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, Protocol

from bff import SagaStatus
from bff.stores.journal import Entry, Journal
from bff.stores.link import RedisLink
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
        """One event to each of these users; returns when all were taken."""

    async def close(self) -> None: ...


class ThroughRedis:
    """Values and journals, written by the project's own stores."""

    def __init__(self, url: str) -> None:
        self._link = RedisLink(url, timeout=10.0)
        self._journal, self._values = Journal(self._link), Values(self._link)
        self._append = self._link.script("journal_append").text
        self._sha = hashlib.sha1(self._append.encode()).hexdigest()
        self._loaded = False
        self._n = 0
        self._versions: dict[int, int] = {}
        # What an earlier publisher wrote is still there, and versions only count up.
        self._since = int(time.time())

    def event(self, kind: str) -> dict[str, object]:
        self._n += 1
        return {"n": self._n, "t": time.monotonic_ns(), "kind": kind, "pad": _PAD}

    async def everybody(self) -> None:
        event = self.event("all")
        await self._values.put("tick/all", self._since * 1_000_000 + self._n, event, AT)

    async def users(self, users: Sequence[int]) -> None:
        client: Any = self._link.client  # redis-py's pipeline is untyped here
        if not self._loaded:
            await client.script_load(self._append)
            self._loaded = True
        async with client.pipeline(transaction=False) as pipe:
            for user in users:
                version = self._versions[user] = self._versions.get(user, 0) + 1
                saga = SagaStatus(
                    id=f"o{self._since}",
                    type="order",
                    status="RUNNING",
                    version=version,
                    at=AT,
                    data=self.event("own"),
                )
                entry = Entry.of(saga, now_ms=0)
                mine = owner(user)
                keys = self._journal.keys(mine)
                rest = [entry.saga, entry.version, entry.ended_ms, entry.body]
                pipe.evalsha(self._sha, len(keys), *keys, *self._journal.args(mine), *rest)
            await pipe.execute()

    async def close(self) -> None:
        await self._link.close()


class OverHttp:
    """POSTs on kept connections. path: with `{u}` for the user, `all` for everybody."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._opened = 0
        self._n = 0

    def _request(self, user: str) -> bytes:
        self._n += 1
        data = {"n": self._n, "t": time.monotonic_ns(), "kind": "own", "pad": _PAD}
        # As long as what the gateway sends.
        saga: dict[str, object] = {
            "id": "o1",
            "type": "order",
            "status": "RUNNING",
            "step": None,
            "attempt": 1,
            "version": self._n,
        }
        saga |= {"reason": None, "mutation": None, "at": AT, "data": data, "traceparent": None}
        body = json.dumps(saga, separators=(",", ":")).encode()
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
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        await reader.readexactly(length)
        if b"transfer-encoding: chunked" in head.lower():
            await reader.readuntil(b"0\r\n\r\n")
        self._free.put_nowait(pair)

    async def everybody(self) -> None:
        await self._post("all")

    async def users(self, users: Sequence[int]) -> None:
        await asyncio.gather(*(self._post(str(user)) for user in users))

    async def close(self) -> None:
        while not self._free.empty():
            self._free.get_nowait()[1].close()
