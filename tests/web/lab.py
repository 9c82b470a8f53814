"""A laboratory for tabs: a gateway with short heartbeats in front of the shop's services, a connection to it that can
be cut or silenced, and bare pages that run only the client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext, Page

from tests.conftest import Program, free_port, start_module, wait_for_port
from tests.shop.system import BrowserSession, Shop
from tests.upstreams.world import eventually
from tests.waiting import GUARD

# Any static file of the page works: a document without a script.
BARE = "/assets/favicon.svg"
BEAT = 1.0
TABS = 20

# A script that leaves the page without shared workers, so that what the browser does to the page's network, such as
# going offline, also happens to its stream.
NO_WORKER = "delete window.SharedWorker;"

# What a bare tab does: it starts the client and records what a subscriber of it sees.
START = """
async ({ share, userId, beat }) => {
  const { createClient } = await import('/client/index.js');
  const client = createClient({ storage: null, stream: { share, heartbeat: beat, base: 0.05, cap: 0.5 } });
  Object.assign(window, { client, states: [], told: {} });
  client.connection.subscribe((state) => window.states.push(state));
  client.sagas().subscribe((sagas) => {
    for (const { id, version } of sagas) {
      const seen = (window.told[id] ??= []);
      if (seen.at(-1) !== version) seen.push(version);
    }
  });
  client.start({ userId });
}
"""


@dataclass
class Wire:
    """A TCP relay to `port`."""

    port: int
    mode: str = "open"
    address: int = 0
    _links: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()[1]

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "cut":
            writer.transport.abort()
            return
        try:
            far, out = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        self._links |= {writer, out}
        dead = asyncio.Event()
        tasks = [asyncio.create_task(self._pump(*ends, dead)) for ends in ((reader, out), (far, writer))]
        self._tasks.update(tasks)
        try:
            await asyncio.gather(*tasks)
        finally:
            for one in (writer, out):
                one.transport.abort()
            self._links -= {writer, out}
            self._tasks.difference_update(tasks)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, dead: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(65536):
                if self.mode == "silent":
                    dead.set()
                if dead.is_set():
                    # A connection that was up while the wire was silent stays silent and open.
                    await asyncio.sleep(3600)
                sink.write(chunk)
                await sink.drain()
        if not dead.is_set():
            sink.transport.abort()

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self.mode = "cut"
        for one in list(self._links):
            one.transport.abort()

    def restore(self) -> None:
        self.mode = "open"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@dataclass
class Lab:
    shop: Shop
    folder: Path
    wire: Wire
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    program: Program | None = None
    _cookies: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.wire.address}"

    def start(self) -> None:
        env = self.shop.environment() | {
            "BFF_PORT": str(self.port),
            "BFF_ADMIN_PORT": str(self.admin_port),
            "BFF_LIVE__BEAT": str(BEAT),
        }
        self.program = start_module(
            "bff", "serve", "web.shop.gateway:shop", log=self.folder / "lab.log", env=env
        )
        wait_for_port(self.port, process=self.program.process)
        eventually(
            lambda: httpx.get(f"http://127.0.0.1:{self.port}/readyz", trust_env=False).status_code == 200
        )

    def kill(self) -> None:
        if self.program is not None:
            self.program.kill()

    def streams(self) -> int:
        """Open streams, as the gateway counts them."""
        text = httpx.get(f"http://127.0.0.1:{self.admin_port}/metrics", trust_env=False).text
        return int(
            float(next(line for line in text.splitlines() if line.startswith("bff_stream_open ")).split()[1])
        )

    async def one_stream(self) -> None:
        await until(lambda: asyncio.to_thread(self.streams), 1)

    @asynccontextmanager
    async def visit(self, browser: Browser, person: str = "ada") -> AsyncIterator[BrowserContext]:
        """A browser of a signed-in person."""
        if person not in self._cookies:
            with BrowserSession(self.shop) as session:
                await asyncio.to_thread(session.sign_in, person)
                self._cookies[person] = session.cookies["__Host-bff"]
        context = await browser.new_context()
        context.set_default_timeout(GUARD * 1000)
        await context.add_cookies(
            [
                {
                    "name": "__Host-bff",
                    "value": self._cookies[person].strip('"'),
                    "url": "https://localhost/",
                    "secure": True,
                    "httpOnly": True,
                    "sameSite": "Strict",
                }
            ]
        )
        yield context
        await context.close()

    async def tab(self, context: BrowserContext, share: str = "worker", owner: str = "ada") -> Page:
        page = await context.new_page()
        await page.goto(f"{self.url}{BARE}")
        await page.evaluate(START, {"share": share, "userId": owner, "beat": BEAT})
        return page


@asynccontextmanager
async def frozen_worker(browser: Browser) -> AsyncIterator[None]:
    """The browser's one shared worker neither answers nor ends: its thread waits for ever."""
    session = await browser.new_browser_cdp_session()
    targets = (await session.send("Target.getTargets"))["targetInfos"]
    (worker,) = (one for one in targets if one["type"] == "shared_worker")
    attached = await session.send("Target.attachToTarget", {"targetId": worker["targetId"], "flatten": False})
    wait = "const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });"
    wait += "Atomics.wait(new Int32Array(buffer), 0, 0);"
    ask = {"id": 1, "method": "Runtime.evaluate", "params": {"expression": f"{{ {wait} }}"}}
    await session.send(
        "Target.sendMessageToTarget", {"sessionId": attached["sessionId"], "message": json.dumps(ask)}
    )
    yield
    await session.detach()


async def until(ask: Any, wanted: Any, seconds: float = GUARD) -> None:
    """Poll `ask()` (awaitable) until it returns the wanted value."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        answer = await ask()
        if answer == wanted:
            return
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"still {answer!r}, not {wanted!r}")
        await asyncio.sleep(0.05)


async def state(page: Page) -> str:
    return str(await page.evaluate("client.connection.get()"))


async def live(page: Page) -> None:
    await until(lambda: state(page), "live")


async def status(page: Page, order: str) -> str | None:
    answer: str | None = await page.evaluate("id => client.saga(id).get()?.status ?? null", order)
    return answer


async def versions(page: Page, order: str) -> list[int]:
    """The versions of one order in the sequence in which this tab received them."""
    answer: list[int] = await page.evaluate("id => window.told[id] ?? []", order)
    return answer


async def order(lab: Lab) -> str:
    return await asyncio.to_thread(lab.shop.world.order_id, "ada", [("mug-01", 1)])


async def saw_every_version(page: Page, placed: str, first: int = 1) -> None:
    """The order ended in this tab, and every version from `first` on came once and in order."""
    await until(lambda: status(page, placed), "COMPLETED")
    seen = await versions(page, placed)
    assert seen == list(range(seen[0], seen[-1] + 1)), seen
    assert seen[0] <= first, seen
