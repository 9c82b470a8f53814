"""A small gateway for these tests, served by a real uvicorn, with a real upstream that answers as the test says."""

from __future__ import annotations

import asyncio
import enum
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
import uvicorn
from pydantic import BaseModel, Field

from bff import Call, Gateway, Limit, Part, Principal, Problem, SagaStatus, Upstream, optional, together
from bff.edge.settings import Settings

from ..conftest import closed_port
from ..unit.edge.access.issuing import ISSUER, claims, sign
from ..waiting import GUARD, close_listener
from .scripted import KEY, Scripted, upstream
from .served import end_tasks

SILENT = 0.4
"""Seconds for one read of an upstream that never answers. A write gets more, because it must have been sent."""


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Thing(BaseModel):
    name: str


class Wish(BaseModel):
    name: str
    count: Annotated[int, Field(ge=1)] = 1


class Cart(BaseModel):
    lines: list[Wish]


class Job(SagaStatus):
    data: Thing | None = None


class Shelf(Upstream, team="Shelf team", contact="#shelf", docs="https://docs.test/shelf"):
    def thing(self, how: str) -> Call[Thing]:
        call = self.get("/things/{how}", Thing, how=how)
        # Calls that never get an answer time out soon; everything else may take as long as a busy machine needs.
        return call.within(SILENT) if how == "silent" else call

    def open_thing(self, how: str, seconds: float = 30) -> Call[Thing]:
        return self.get("/things/{how}", Thing, how=how).fresh(seconds).public()

    def unkept(self, how: str) -> Call[Thing]:
        return self.get("/things/{how}", Thing, how=how).public()

    def make(self, how: str, wish: Wish) -> Call[Thing]:
        call = self.post("/things/{how}", Thing, wish, how=how)
        return call.within(3 * SILENT) if how == "silent" else call

    def begin(self, cart: Cart) -> Call[Job]:
        return self.post("/jobs", Job, cart)


shelf = Shelf()


class Required(BaseModel):
    thing: Thing


class Optional(BaseModel):
    thing: Thing
    extra: Part[Thing]


class Mixed(BaseModel):
    a: Thing
    b: Thing


class Who(BaseModel):
    id: str | None
    claims: dict[str, Any] = {}


class Search(BaseModel):
    tags: list[str]
    page: int
    colour: Colour | None


def declare(settings: Settings | None = None) -> Gateway:
    """Declare every kind of route once."""
    gateway = Gateway("wire", deadline=GUARD, settings=settings)
    job = gateway.saga("job", Job)
    gateway.value("level/{sku}", Thing, public=True)
    here = Path(__file__).parent
    gateway.site(here / "upstream.py", paths=("/", "/page/{id}"), folders={"/assets": here})

    @gateway.view("/api/required/{how}")
    async def required(how: str) -> Required:
        """A screen with a required part.

        It has a second paragraph.
        """
        return Required(thing=await shelf.thing(how))

    @gateway.view("/api/optional/{how}")
    async def with_optional(how: str) -> Optional:
        thing, extra = await together(shelf.thing("ok"), optional(shelf.thing(how)))
        return Optional(thing=thing, extra=extra)

    @gateway.view("/api/required/plain")
    async def plain() -> Thing:
        return Thing(name="plain")

    @gateway.view("/api/quick/{how}")
    async def quick(how: str) -> Optional:
        thing, extra = await together(shelf.thing("ok"), optional(shelf.thing(how), within=0.06))
        return Optional(thing=thing, extra=extra)

    @gateway.view("/api/open/{how}", public=True)
    async def open_screen(how: str) -> Optional:
        thing, extra = await together(shelf.open_thing("ok"), optional(shelf.open_thing(how, 7)))
        return Optional(thing=thing, extra=extra)

    @gateway.view("/api/unkept", public=True)
    async def unkept() -> Mixed:
        return Mixed(a=await shelf.open_thing("ok"), b=await shelf.unkept("ok"))

    @gateway.view("/api/half-open", public=True)
    async def half_open() -> Mixed:
        return Mixed(a=await shelf.open_thing("ok"), b=await shelf.thing("ok"))

    @gateway.view("/api/hello", public=True)
    async def hello(who: Principal | None) -> Who:
        return Who(id=who.id if who else None)

    @gateway.view("/api/me")
    async def me(who: Principal) -> Who:
        return Who(id=who.id, claims=dict(who.claims))

    @gateway.view("/api/search", public=True, limit="3/minute")
    async def search(page: int = 1, tag: list[str] = [], colour: Colour | None = None) -> Search:  # noqa: B006
        return Search(tags=tag, page=page, colour=colour)

    @gateway.view("/api/bug", public=True)
    async def bug() -> Thing:
        raise RuntimeError("password=hunter2")

    @gateway.view("/api/wrong", public=True)
    async def wrong() -> Thing:
        return {"name": "x", "secret": "hunter2"}  # type: ignore[return-value]

    @gateway.view("/api/sleepy", public=True, deadline=0.1)
    async def sleepy() -> Thing:
        await asyncio.sleep(3600)
        return Thing(name="never")

    @gateway.view("/api/both", public=True)
    async def both() -> Thing:
        return Thing(name="read")

    @gateway.command("/api/both")
    async def both_written() -> Thing:
        return Thing(name="written")

    @gateway.command("/api/things/{how}", deadline=GUARD)
    async def make(how: str, wish: Wish) -> Thing:
        return await shelf.make(how, wish)

    @gateway.command("/api/unsafe/{how}", deadline=GUARD, safe=False)
    async def make_unsafe(how: str, wish: Wish) -> Thing:
        return await shelf.make(how, wish)

    @gateway.command("/api/twice/{how}", deadline=GUARD, safe=False)
    async def make_two(how: str, wish: Wish) -> Thing:
        if how == "busy-first":
            return await shelf.make("busy", wish)
        await shelf.make("ok", wish)
        if how == "own-words":
            raise Problem(403, "too-young", "Come back in a year.")
        return await shelf.make(how, wish)

    @gateway.command("/api/big/{size}")
    async def make_big(size: int) -> Thing:
        return Thing(name="x" * size)

    @gateway.view("/api/costly", public=True, limit=Limit("5/minute", costly=True))
    async def costly() -> Thing:
        return Thing(name="costly")

    @gateway.command("/api/limited", limit="2/minute")
    async def limited(wish: Wish) -> Thing:
        return Thing(name=wish.name)

    @gateway.command("/api/own-words")
    async def own_words() -> Thing:
        raise Problem(403, "too-young", "Come back in a year.", extra={"years": 1})

    @gateway.command("/api/jobs", starts=job)
    async def begin(cart: Cart, who: Principal, dry: bool = False) -> Job:
        """Begin a job."""
        return await shelf.begin(cart)

    return gateway


def token(subject: str = "ada", **changes: Any) -> str:
    now = int(time.time())
    good = {"sub": subject, "iat": now, "exp": now + 300, "jti": uuid.uuid4().hex}
    return sign(KEY, claims(**(good | changes)))


def bearer(subject: str = "ada") -> dict[str, str]:
    return {"authorization": f"Bearer {token(subject)}"}


def keyed(key: str | None = None, subject: str = "ada") -> dict[str, str]:
    """Headers of a command with an idempotency key."""
    return bearer(subject) | {"idempotency-key": f'"{key or uuid.uuid4()}"'}


@dataclass
class World:
    """A running gateway. client: a client for its address, without credentials."""

    client: httpx.AsyncClient
    upstream: Scripted
    gateway: Gateway
    url: str

    async def get(self, path: str, subject: str = "ada", **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=bearer(subject) | headers)


def settings_for(
    redis_url: str,
    upstream: int,
    patience: float,
    shelf_settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Settings:
    base: dict[str, Any] = {
        "redis": {"url": redis_url, "timeout": 10},
        # Server, client and upstream share one loop here, and a busy machine delays it.
        "admission": {"lag": 10, "standing": 10},
        "upstreams": {
            "shelf": {
                "url": f"http://127.0.0.1:{upstream}",
                "timeout": patience,
                "breaker": {"failures": 1000, "open_for": 60},
                **(shelf_settings or {}),
            }
        },
        "issuers": [
            {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{upstream}/keys"},
        ],
    }
    return Settings.model_validate(base | changes)


@asynccontextmanager
async def serving(app: Any, sock: socket.socket, *, lifespan: str = "on") -> AsyncIterator[None]:
    """A real uvicorn in this loop, without the process's signals."""
    config = uvicorn.Config(
        app,
        http="httptools",
        log_level="critical",
        lifespan=lifespan,  # type: ignore[arg-type]  # a literal, passed through
        timeout_graceful_shutdown=1,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Uvicorn's main loop only ticks; without it a test ends as soon as its work is done.
    await server.startup(sockets=[sock])
    if server.should_exit:
        raise RuntimeError("the application did not start")
    try:
        yield
    finally:
        # The same as `server.shutdown()`, without its wait of 100 ms.
        for listening in server.servers:
            await close_listener(listening)
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await end_tasks(server)
        await server.lifespan.shutdown()
        sock.close()


@asynccontextmanager
async def running(
    redis_url: str,
    *,
    mount: Callable[[Gateway], Any] | None = None,
    lifespan: str = "on",
    prefix: str = "",
    patience: float = GUARD,
    declared: Callable[[Settings], Gateway] = declare,
    **changes: Any,
) -> AsyncIterator[World]:
    """The gateway and its upstream. The client waits less long than the gateway's deadline, so a test cannot pass
    because everything timed out.

    mount     an application to serve instead, made from the gateway
    patience  seconds of the gateway's deadline
    declared  makes the gateway
    changes   settings; `shelf_settings`: those of the upstream
    """
    sock = socket.socket(
        socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # asyncio turns Nagle's algorithm off only when the protocol is named.
    sock.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    with pytest.MonkeyPatch.context() as patch:
        async with upstream() as scripted:
            changes = {"public_url": url + prefix} | changes
            settings = settings_for(redis_url, scripted.port, patience, **changes)
            # A busy machine makes Redis late, too: the tests count on limits that Redis counts.
            patch.setattr("bff.stores.rates.WAIT", settings.redis.timeout)
            gateway = declared(settings)
            app = mount(gateway) if mount else gateway
            async with (
                serving(app, sock, lifespan=lifespan),
                httpx.AsyncClient(
                    base_url=url + prefix, trust_env=False, verify=False, timeout=GUARD / 2
                ) as client,
            ):
                try:
                    yield World(client, scripted, gateway, url + prefix)
                finally:
                    await gateway.stop()


def nowhere() -> str:
    """A Redis address at which nothing answers."""
    return f"redis://127.0.0.1:{closed_port()}/0"


served = declare()
"""For `bff serve tests.wire.gateway:served`."""
