"""The whole shop for tests: the services of `World`, gateways as `bff serve` runs them, and clients that act like a
browser: they store the session cookie, follow the stream, and resume it with the last id."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from bff import Principal
from bff.edge.internal_tokens import InternalTokens
from bff.edge.signing_keys import SigningKeys, rotate
from tests.conftest import Program, free_port, start_module, wait_for_port
from tests.sign_in_flow import CLIENT_ID, CLIENT_SECRET, form_of
from tests.upstreams.world import World, eventually
from tests.waiting import GUARD


class Shop:
    """world: the services; gateways: running `bff serve` processes by port."""

    def __init__(self, folder: Path, *, valkey_args: tuple[str, ...] | None = None, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.admin_port = free_port()
        environment: dict[str, Any] = {
            "GATEWAY_KEYS_URL": f"http://localhost:{self.admin_port}/.well-known/jwks.json",
            "GATEWAY_ISSUER": self.url,
            **settings,
        }
        self.keys = folder / "internal-keys.pem"
        rotate(self.keys)
        self.world = World(folder, public_url=self.url, **environment)
        self.world.vouch = self.internal_token
        # The page's bell; World itself, which is about orders, does not have it.
        if "notifications" not in self.world.ports:
            self.world.names.append("notifications")
            self.world.ports["notifications"] = free_port()
        if valkey_args is not None:
            self.world.valkey.args = valkey_args
        self.extra: dict[str, str] = {}
        self.gateway: Program | None = None
        self._tokens: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def __enter__(self) -> Shop:
        self.world.__enter__()
        try:
            self.start_gateway()
        except BaseException:
            self.world.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.gateway is not None:
            self.gateway.kill()
        self.world.__exit__()

    def environment(self) -> dict[str, str]:
        identity = self.world.url("identity")
        upstreams: dict[str, str] = {}
        for name in ("catalog", "inventory", "payments", "shipping", "orders", "notifications"):
            upstreams[f"BFF_UPSTREAMS__{name.upper()}__URL"] = self.world.url(name)
            upstreams[f"BFF_UPSTREAMS__{name.upper()}__IDENTITY"] = "internal"
        return {
            "BFF_PUBLIC_URL": self.url,
            "BFF_PORT": str(self.port),
            "BFF_ADMIN_PORT": str(self.admin_port),
            "BFF_REDIS__URL": self.world.valkey.url,
            "BFF_INTERNAL__KEYS": str(self.keys),
            "BFF_ISSUERS": json.dumps([{"issuer": identity, "audience": "shop"}]),
            "BFF_OIDC__ISSUER": identity,
            "BFF_OIDC__CLIENT_ID": CLIENT_ID,
            "BFF_OIDC__CLIENT_SECRET": CLIENT_SECRET,
            "BFF_OIDC__SCOPES": '["openid", "profile", "offline_access", "shop"]',
            "BFF_LIVE__STREAM_KEYS": '["events:orders:{p}", "events:inventory:{p}", "events:notifications:{p}"]',
            "BFF_LIVE__STREAMS": "100",
            # Other programs may slow the machine down: these tests are not about that.
            "BFF_ADMISSION__LAG": "10",
            "BFF_ADMISSION__STANDING": "10",
            "BFF_REDIS__TIMEOUT": "10",
            "BFF_LIMITS__DEFAULT": "100000/minute",
            "BFF_LIMITS__LOGIN": "100000/minute",
            "BFF_LIMITS__FAILURES": "100000/minute",
            **upstreams,
            **self.extra,
        }

    def start_gateway(self) -> None:
        self.gateway = start_module(
            "bff", "serve", "web.shop.gateway:shop", log=self.folder / "gateway.log", env=self.environment()
        )
        wait_for_port(self.port, process=self.gateway.process)
        eventually(lambda: httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200)

    def kill_gateway(self) -> None:
        if self.gateway is not None:
            self.gateway.kill()

    def token(self, person: str) -> str:
        return self.world.user_token(person)

    def internal_token(self, owner: str, service: str) -> str:
        """A token as the gateway would send it to this service for this person."""
        issuer, _, subject = owner.partition("|")
        who = Principal(issuer, subject, "", time.time() + 60, is_person=True)
        return InternalTokens(SigningKeys(self.keys), self.url).for_reads(who, service)

    def api(self, person: str | None) -> httpx.AsyncClient:
        """A client with or without a bearer token."""
        headers = {"authorization": f"Bearer {self.token(person)}"} if person else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=GUARD)


@contextmanager
def running(folder: Path, *, valkey_args: tuple[str, ...] | None = None, **settings: str) -> Iterator[Shop]:
    with Shop(folder, valkey_args=valkey_args, **settings) as shop:
        yield shop


def basket(sku: str = "mug-01", quantity: int = 1) -> dict[str, Any]:
    return {"lines": [{"sku": sku, "quantity": quantity}]}


def key() -> str:
    return str(uuid.uuid4())


async def place(api: httpx.AsyncClient, wanted: dict[str, Any], click: str | None = None) -> httpx.Response:
    """Place the order as the client does: again with the same key while the outcome is unknown."""
    headers, end = {"idempotency-key": click or key()}, time.monotonic() + GUARD
    while True:
        answer = await api.post("/api/orders", json=wanted, headers=headers)
        if answer.status_code not in (409, 503, 504) or time.monotonic() > end:
            return answer
        await asyncio.sleep(0.2)


class BrowserSession:
    """Signs in through the gateway and stores the cookies that a browser would store."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.cookies: dict[str, str] = {}
        self.http = httpx.Client(trust_env=False, timeout=GUARD, follow_redirects=False)

    def __enter__(self) -> BrowserSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.http.request(method, url, headers=headers, **options)
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            value, _, attributes = rest.partition(";")
            if value.strip('"') and "max-age=0" not in attributes.lower():
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        self.http.cookies.clear()
        return answer

    def sign_in(self, person: str, return_to: str = "/") -> httpx.Response:
        end = time.monotonic() + GUARD
        while True:
            answer = self.send("GET", f"{self.shop.url}/bff/login", params={"return": return_to})
            # On a busy machine Redis or the provider may take longer than the shop waits: then try again, as a person
            # would.
            if answer.status_code != 503 or time.monotonic() > end:
                break
            time.sleep(float(answer.headers["retry-after"]))
        with httpx.Client(trust_env=False, timeout=GUARD) as provider:
            page = provider.get(answer.headers["location"])
            action, csrf = form_of(page.text)
            chosen = provider.post(
                f"{self.shop.world.url('identity')}{action}", data={"csrf": csrf, "person": person}
            )
        return self.send("GET", chosen.headers["location"])


@dataclass
class Event:
    """One event of the stream; `at` is the time of arrival on this machine's monotonic clock."""

    name: str
    id: str | None
    data: Any
    at: float


@dataclass
class Follower:
    """A client of the stream that resumes as a browser does: with its last id, after a short pause."""

    shop: Shop
    person: str
    query: str = ""
    events: list[Event] = field(default_factory=list)
    last_id: str | None = None
    connects: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        headers = {"authorization": f"Bearer {self.shop.token(self.person)}"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=GUARD, sock_read=GUARD)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                resume = {"last-event-id": self.last_id} if self.last_id else {}
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(
                        f"{self.shop.url}/bff/live{self.query}", headers=headers | resume
                    ) as answer:
                        if answer.status != 200:
                            raise AssertionError(f"the stream answered {answer.status}")
                        self.connects += 1
                        async for event in events(answer.content):
                            self._take(event)
                await asyncio.sleep(0.05)

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if event.id is not None:
            self.last_id = event.id
        self.arrived.set()

    async def until(self, check: Any, seconds: float = GUARD) -> None:
        """Wait until `check(self)` holds."""
        async with asyncio.timeout(seconds):
            while not check(self):
                self.arrived.clear()
                await self.arrived.wait()

    def sagas(self, id: str) -> list[dict[str, Any]]:
        """The saga events of one id, in the order they came."""
        return [event.data for event in self.events if event.name == "saga" and event.data["id"] == id]

    def ended(self, id: str) -> bool:
        """Whether the newest status of this saga, from event or snapshot, is final."""
        newest = self.newest(id)
        return newest is not None and newest["status"] in ("COMPLETED", "COMPENSATED", "REJECTED")

    def newest(self, id: str) -> dict[str, Any] | None:
        found = None
        for event in self.events:
            if event.name in ("snapshot", "reset"):
                found = next((saga for saga in event.data["sagas"] if saga["id"] == id), None)
            elif event.name == "saga" and event.data["id"] == id:
                found = event.data
        return found


async def events(content: aiohttp.StreamReader) -> AsyncIterator[Event]:
    """Parse an event stream (the server's own frames: one data line each)."""
    name, id, data = "message", None, ""
    async for raw in content:
        line = raw.decode().rstrip("\n")
        if not line:
            if data:
                yield Event(name, id, json.loads(data), time.monotonic())
            name, id, data = "message", None, ""
        elif not line.startswith(":"):
            field_name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field_name == "event":
                name = value
            elif field_name == "id":
                id = value
            elif field_name == "data":
                data += value


@asynccontextmanager
async def following(
    shop: Shop, person: str, count: int = 1, query: str = ""
) -> AsyncIterator[list[Follower]]:
    """Open streams of one person, past their first event; closed with the block."""
    followers = [Follower(shop, person, query) for _ in range(count)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follower.run()) for follower in followers]
        for follower in followers:
            await follower.until(lambda one: one.events)
        yield followers
        for task in tasks:
            task.cancel()
