"""One of each extension point of bff, written with its public names only."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bff import (
    OUTCOMES,
    BackendAddress,
    Broker,
    BrokerContext,
    BrokerEvent,
    BrokerUnavailable,
    Call,
    Gateway,
    Outcome,
    PositionStore,
    Principal,
    Problem,
    RequestEnded,
    ResolverContext,
    SagaStatus,
    Upstream,
    authenticated,
    request_info,
)
from bff.events import Attempted, Event

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Spool:
    """A broker: the lines of a file, one event each."""

    name = "spool"

    def __init__(self, file: Path, positions: PositionStore) -> None:
        self._file = file
        self._positions = positions
        self._read = 0

    async def open(self, on_loss: Callable[[str], Awaitable[None]]) -> None:
        if not self._file.exists():
            raise BrokerUnavailable(f"{self._file} does not exist")
        saved = await self._positions.load([self.name])
        self._read = int(saved[self.name] or 0)

    async def read(self) -> Mapping[str, Sequence[BrokerEvent]]:
        lines = self._file.read_bytes().splitlines()[self._read : self._read + 100]
        if not lines:
            await asyncio.sleep(0.02)
            return {}
        return {
            self.name: [
                BrokerEvent(self.name, str(self._read + number), line, self.name)
                for number, line in enumerate(lines, 1)
            ]
        }

    async def ack(self, partition: str, events: Sequence[BrokerEvent]) -> None:
        self._read = int(events[-1].id)
        await self._positions.save(self.name, events[-1].id)

    async def close(self) -> None:
        """Nothing is open."""


def spool_broker(section: Mapping[str, object], context: BrokerContext) -> Broker:
    file = section.get("file")
    if not isinstance(file, str):
        raise ValueError("set FILE, the path of the file with the events")
    return Spool(Path(file), context.positions)


class Registry:
    """A resolver: the addresses of the service in the file `registry` beside the spool, in JSON."""

    interval = 0.02
    file = Path()

    def __init__(self, context: ResolverContext) -> None:
        self._service = context.service

    async def resolve(self) -> Sequence[BackendAddress]:
        found: dict[str, list[str]] = json.loads(self.file.read_text())
        return [BackendAddress(url) for url in found[self._service]]


class Audit:
    """An observer that records the end of every request and every attempt."""

    def __init__(self) -> None:
        self.ended: list[RequestEnded] = []
        self.attempts: list[Attempted] = []

    def __call__(self, event: Event) -> None:
        match event:
            case RequestEnded():
                self.ended.append(event)
            case Attempted():
                self.attempts.append(event)


def broken(event: Event) -> None:
    """An observer with a bug."""
    raise RuntimeError("a bug of the observer's")


class Stamp:
    """A middleware: adds request id and principal to answers, and answers 403 everywhere to a person who has left the
    company."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/api/"):
            principal: Principal | None = await authenticated(scope)
            if principal is not None and principal.subject == "mallory":
                raise Problem(403, "left", "This account has been closed.")

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                info = request_info(scope)
                who = "nobody" if info.principal is None else info.principal.subject
                stamp = f"{info.correlation_id} {info.route} {who}".encode()
                message["headers"] = [*message["headers"], (b"x-stamp", stamp)]
            await send(message)

        await self._app(scope, receive, stamped)


class Outer:
    """A middleware around the other one: adds to its header."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                stamped = any(name == b"x-stamp" for name, _ in message["headers"])
                message["headers"] = [*message["headers"], (b"x-outer", b"after" if stamped else b"alone")]
            await send(message)

        await self._app(scope, receive, marked)


class Pool:
    """A resource that is opened and closed with the gateway."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.log.append("opened")
        yield
        self.log.append("closed")


class Legacy(
    Upstream,
    team="Legacy",
    contact="#legacy",
    service="service",
    outcomes=OUTCOMES.changed({418: Outcome("refused", "yes", "yes", "stored")}),
):
    """An upstream whose 418 is an answer for people."""

    def thing(self, name: str) -> Call[dict[str, str]]:
        return self.get("/things/{name}", dict[str, str], name=name)


legacy = Legacy()
audit = Audit()
pool = Pool()


def gateway() -> Gateway:
    made = Gateway(
        "acme",
        deadline=15,
        resolvers={"registry": Registry},
        observers=(broken, audit),
        middleware=(Outer, Stamp),
        lifespan=pool.lifespan,
    )
    made.saga("order", SagaStatus)

    @made.view("/api/things/{name}")
    async def thing(name: str) -> dict[str, str]:
        return await legacy.thing(name)

    return made
