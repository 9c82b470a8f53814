import asyncio
import contextlib
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis.asyncio as redis
import uvicorn

from bff.calls import Principal, SagaStatus
from bff.edge.access.authorization import NO_REQUIREMENTS
from bff.edge.endpoints.guard import Access
from bff.edge.endpoints.live import LiveEndpoint, SnapshotEndpoint
from bff.edge.problem import Problem
from bff.edge.settings import LiveSettings
from bff.live import Hub, ValueTopic
from bff.live.control import CONTROL
from bff.stores.journal import Entry, Journal, Position, channel_of
from bff.stores.redis.client import RedisClient
from bff.stores.redis.subscriptions import Subscriptions
from bff.stores.values import Values
from tests.conftest import Valkey
from tests.waiting import GUARD, until

from ..waiting import close_listener

AT = "2026-03-01T10:00:00Z"
FAR = 4_000_000_000.0


def person(name: str, *, expires_at: float = FAR) -> Principal:
    return Principal(
        "https://id.example", name, token="t", expires_at=expires_at, session=f"session-of-{name}"
    )


def entry(id: str, version: int, status: str = "RUNNING") -> Entry:
    saga = SagaStatus(id=id, type="order", status=status, version=version, at=AT)
    return Entry.of(saga, now_ms=int(time.time() * 1000))


@dataclass
class World:
    """A hub behind a real server. It does the guard's work itself: a request's `x-who` header names the principal."""

    redis: RedisClient
    journal: Journal
    values: Values
    hub: Hub
    settings: LiveSettings
    channels: Subscriptions
    port: int = 0
    people: dict[str, Principal] = field(default_factory=dict)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        endpoint = SnapshotEndpoint if scope["path"].endswith("/snapshot") else LiveEndpoint
        guard: Any = self
        try:
            await endpoint(guard, NO_REQUIREMENTS, self.hub, self.settings)(scope, receive, send)
        except Problem as problem:
            body = problem.body(correlation_id="c", trace_id="t")
            await send({"type": "http.response.start", "status": problem.status, "headers": []})
            await send({"type": "http.response.body", "body": body})

    async def admit_authenticated(self, scope: Any, access: Access) -> Principal:
        name = dict(scope["headers"]).get(b"x-who", b"ada").decode()
        return self.people.get(name) or person(name)

    async def spend(self, scope: Any, principal: Principal, access: Access, *, cost: int) -> dict[str, str]:
        return {}

    async def tell(self, id: str, version: int, owner: str = "ada", status: str = "RUNNING") -> None:
        await self.journal.append(person(owner).id, entry(id, version, status))

    async def settled(self, count: int) -> None:
        """Wait until so many streams are open."""
        await until(lambda: self.hub.count == count)


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def world(
    url: str,
    *,
    timeout: float = 10.0,
    history: int = 500,
    gap: float = 2.0,
    http: str = "httptools",
    wrap: Callable[[Any], Any] = lambda app: app,
    **limits: Any,
) -> AsyncIterator[World]:
    async with RedisClient(url, timeout=timeout) as redis_client:
        journal, values = Journal(redis_client, history=history, gap=gap), Values(redis_client)
        channels = Subscriptions(redis_client)
        hub = Hub(redis_client, channels, journal, values, **limits)
        settings = LiveSettings(values=5, queue=limits.get("queue", 256))
        one = World(redis_client, journal, values, hub, settings, channels)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        one.port = sock.getsockname()[1]
        config = uvicorn.Config(
            wrap(one),
            lifespan="off",
            ws="none",
            http=http,
            log_level="critical",
        )
        config.timeout_graceful_shutdown = 1
        server = Server(config)
        async with channels, hub:
            serving = asyncio.create_task(server.serve(sockets=[sock]))
            try:
                yield one
            finally:
                await hub.stop()
                server.should_exit = True
                await serving
                sock.close()


@dataclass(frozen=True)
class Event:
    name: str
    id: str | None
    data: Any
    retry: int | None = None


class Client:
    """A stream client over a bare socket: it reads only when the test asks it to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.cursor: str | None = None
        self._rest = bytearray()

    async def head(self) -> None:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)
        }

    async def _more(self) -> bool:
        """Read one more HTTP chunk; False at the end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        self._rest += (await self.reader.readexactly(size + 2))[:-2]
        return size > 0

    async def body(self) -> bytes:
        if "content-length" in self.headers:
            return await self.reader.readexactly(int(self.headers["content-length"]))
        while await self._more():
            pass
        return bytes(self._rest)

    async def next(self, *, beats: bool = False) -> Event | None:
        """The next event; None at the stream's orderly end."""
        while True:
            seen = 0
            while self._rest.find(b"\n\n", max(0, seen - 1)) < 0:
                seen = len(self._rest)
                if not await self._more():
                    return None
            block, _, self._rest = self._rest.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
            if "event" not in fields or (fields["event"] == "beat" and not beats):
                continue
            if "id" in fields:
                self.cursor = fields["id"]
            retry = int(fields["retry"]) if "retry" in fields else None
            return Event(fields["event"], fields.get("id"), json.loads(fields["data"]), retry)

    async def until(self, name: str) -> Event:
        while True:
            event = await self.next(beats=name == "beat")
            assert event is not None, f"the stream ended before {name}"
            if event.name == name:
                return event

    def close(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def client(
    one: World,
    path: str = "/bff/live",
    *,
    who: str = "ada",
    after: str | None = None,
    method: str = "GET",
    limit: int = 2**16,
) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", one.port, limit=limit)
    resume = f"Last-Event-ID: {after}\r\n" if after is not None else ""
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Who: {who}\r\n{resume}\r\n".encode())
    opened = Client(reader, writer)
    try:
        async with asyncio.timeout(GUARD):
            await opened.head()
            yield opened
    finally:
        opened.close()


def offsets(events: list[Event]) -> list[int]:
    return [int(event.id.split("-")[1]) for event in events if event.id]


async def test_a_stream_begins_with_the_snapshot_and_goes_on_with_every_event(redis_url: str) -> None:
    async with world(redis_url) as one:
        await one.tell("o1", 1)
        async with client(one) as ada:
            assert ada.status == 200
            assert ada.headers["content-type"] == "text/event-stream"
            assert ada.headers["cache-control"] == "no-store, no-transform"
            assert ada.headers["x-accel-buffering"] == "no"
            first = await ada.next()
            assert first is not None and first.name == "snapshot" and first.id == first.data["cursor"]
            assert [(row["id"], row["version"]) for row in first.data["sagas"]] == [("o1", 1)]
            assert first.data["values"] == []
            await one.tell("o1", 2)
            event = await ada.next()
            assert event is not None and event.name == "saga"
            assert event.data == json.loads(entry("o1", 2).body)
            assert offsets([event]) == [offsets([first])[0] + 1]


async def test_the_first_bytes_leave_before_redis_has_answered(own_valkey: Valkey) -> None:
    async with world(own_valkey.url) as one:
        own_valkey.stop()
        async with client(one) as ada:
            assert (await ada.reader.readuntil(b"retry: 1000\n\n\r\n")).startswith(b"d\r\n")
            await one.settled(1)
            own_valkey.start()
            assert (await ada.until("snapshot")).data["sagas"] == []


async def test_clients_that_reconnect_at_random_receive_every_event_once_and_in_order(redis_url: str) -> None:
    total, sagas = 300, 5
    chance = random.Random(11)

    async def follow(one: World) -> list[Event]:
        """Read events, dropping the connection now and then, until the last event has come."""
        seen: list[Event] = []
        cursor: str | None = None
        while not seen or offsets(seen)[-1] < total:
            async with client(one, after=cursor) as ada:
                for _ in range(chance.randint(1, 40)):
                    event = await ada.next()
                    assert event is not None
                    if event.name == "snapshot":
                        assert cursor is None
                        start.append(int(event.data["cursor"].split("-")[1]))
                    else:
                        assert event.name == "saga"
                        seen.append(event)
                    if seen and offsets(seen)[-1] == total:
                        break
                cursor = ada.cursor
        return seen

    start: list[int] = []
    async with world(redis_url, streams=100) as one:
        async with asyncio.TaskGroup() as group:
            followers = [group.create_task(follow(one)) for _ in range(8)]
            while len(start) < 8:
                await asyncio.sleep(0.01)

            async def saga(number: int) -> None:
                for version in range(1, total // sagas + 1):
                    await one.tell(f"o{number}", version)
                    await asyncio.sleep(chance.random() * 0.01)

            for number in range(sagas):
                group.create_task(saga(number))
        for begun, follower in zip(sorted(start), followers, strict=True):
            events = follower.result()
            assert begun == 0
            assert offsets(events) == list(range(1, total + 1))
            for number in range(sagas):
                versions = [event.data["version"] for event in events if event.data["id"] == f"o{number}"]
                assert versions == list(range(1, total // sagas + 1))


@pytest.mark.parametrize("cursor", ["nonsense", "-", "ffff-3", "{epoch}-99", "{epoch}-1"])
async def test_a_cursor_that_cannot_be_honoured_gets_reset(redis_url: str, cursor: str) -> None:
    async with world(redis_url, history=10) as one:
        for version in range(1, 31):
            await one.tell("o1", version)
        top = (await one.journal.open(person("ada").id, None)).position
        assert top is not None
        async with client(one, after=cursor.format(epoch=top.epoch)) as ada:
            event = await ada.next()
            assert event is not None and (event.name, event.id) == ("reset", str(top))
            assert [row["version"] for row in event.data["sagas"]] == [30]
            await one.tell("o1", 31)
            event = await ada.next()
            assert event is not None and event.data["version"] == 31


async def test_last_event_id_takes_precedence_over_the_address(redis_url: str) -> None:
    async with world(redis_url) as one:
        for version in range(1, 4):
            await one.tell("o1", version)
        top = (await one.journal.open(person("ada").id, None)).position
        assert top is not None
        async with client(one, f"/bff/live?after={top.epoch}-0", after=f"{top.epoch}-2") as ada:
            assert offsets([await ada.until("saga")]) == [3]
        async with client(one, f"/bff/live?after={top.epoch}-1") as ada:
            assert offsets([await ada.until("saga")]) == [2]


async def test_a_stream_has_only_its_owners_sagas(redis_url: str) -> None:
    async with world(redis_url) as one, client(one) as ada, client(one, who="bob") as bob:
        await ada.until("snapshot")
        bobs = await bob.until("snapshot")
        for version in range(1, 20):
            await one.tell("a", version)
        await one.tell("b", 1, owner="bob")
        event = await bob.next()
        assert event is not None and event.data["id"] == "b"
        assert bobs.data["sagas"] == []
        async with client(one, who="bob", after=ada.cursor) as thief:
            event = await thief.next()
            assert event is not None and event.name == "reset"
            assert [row["id"] for row in event.data["sagas"]] == ["b"]


async def test_no_event_is_lost_when_the_pubsub_connection_is_killed(redis_url: str) -> None:
    chance = random.Random(5)
    async with world(redis_url) as one, client(one) as ada, client(one, who="bob") as bob:
        await ada.until("snapshot")
        await bob.until("snapshot")

        async def tell() -> None:
            for version in range(1, 151):
                await one.tell("a", version)
                await one.tell("b", version, owner="bob")
                await asyncio.sleep(0.005)

        async def kill() -> None:
            async with redis.from_url(redis_url) as admin:
                for _ in range(6):
                    await asyncio.sleep(0.05 + chance.random() * 0.1)
                    await admin.client_kill_filter(_type="pubsub")

        async def read(who: Client) -> list[Event]:
            return [await who.until("saga") for _ in range(150)]

        async with asyncio.TaskGroup() as group:
            group.create_task(tell())
            group.create_task(kill())
            readings = [group.create_task(read(who)) for who in (ada, bob)]
        for reading in readings:
            assert offsets(reading.result()) == list(range(1, 151))


class Proxy:
    """A relay in front of Redis. `mute()` makes every connection, or only those subscribed to channels, drop what the
    server sends, and stay open."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.here = 0
        self.muted: set[int] = set()
        self.listening: set[int] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        number = len(self.writers)
        self.writers += [writer, back]
        for work in (self.ask(reader, back, number), self.answer(there, writer, number)):
            self.tasks.add(asyncio.create_task(work))

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while data := await reader.read(65_536):
            if b"SUBSCRIBE" in data:
                self.listening.add(number)
            writer.write(data)
        writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while data := await reader.read(65_536):
            if number not in self.muted:
                writer.write(data)
        writer.close()

    def mute(self, *, listening: bool = False) -> None:
        self.muted = set(self.listening if listening else range(len(self.writers)))

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for writer in self.writers:
            writer.transport.abort()


async def test_a_silent_connection_is_replaced_and_the_events_it_missed_are_sent(redis_url: str) -> None:
    proxy = Proxy(int(redis_url.rpartition(":")[2].partition("/")[0]))
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        RedisClient(redis_url, timeout=10) as outside,
        world(f"redis://127.0.0.1:{port}/0", timeout=0.5) as one,
        client(one) as ada,
    ):
        await ada.until("snapshot")
        proxy.mute()
        await Journal(outside).append(person("ada").id, entry("o1", 1))
        async with asyncio.timeout(GUARD):
            assert (await ada.until("saga")).data["version"] == 1
    await close_listener(server)
    await proxy.close()


async def test_redis_restarted_and_emptied_keeps_streams_open_and_resets_them(own_valkey: Valkey) -> None:
    async with world(own_valkey.url) as one, client(one) as ada:
        await ada.until("snapshot")
        await one.tell("o1", 1)
        await ada.until("saga")
        own_valkey.stop()
        await asyncio.sleep(0.1)
        own_valkey.start()
        assert (await ada.until("reset")).data["sagas"] == []
        await one.tell("o2", 1)
        assert (await ada.until("saga")).data["id"] == "o2"


async def test_a_lost_journal_is_restored_once_for_all_its_streams(redis_url: str) -> None:
    asked = 0

    async def restore(principal: Principal) -> list[dict[str, Any]]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.1)
        saga = {"type": "order", "status": "RUNNING", "at": AT, "data": {"of": principal.subject}}
        return [{**saga, "id": "o2", "version": 7}, {**saga, "id": "o1", "version": 3}]

    async with world(redis_url, restore=restore) as one, contextlib.AsyncExitStack() as stack:
        many = [await stack.enter_async_context(client(one, after="old-12")) for _ in range(5)]
        for ada in many:
            event = await ada.until("reset")
            assert [(row["id"], row["version"]) for row in event.data["sagas"]] == [("o2", 7), ("o1", 3)]
        assert asked == 1
        await one.tell("o1", 4)
        for ada in many:
            assert (await ada.until("saga")).data["version"] == 4


async def test_values_are_in_the_snapshot_and_then_only_the_latest_is_sent(redis_url: str) -> None:
    topics = [ValueTopic("stock/{sku}", public=True)]
    async with world(redis_url, topics=topics) as one:
        await one.values.put("stock/a", 3, {"available": 9}, AT)
        path = "/bff/live?value=stock/a&value=stock/b"
        async with client(one, path) as ada, client(one) as bob:
            first = await ada.until("snapshot")
            await bob.until("snapshot")
            assert first.data["values"] == [
                {"name": "stock/a", "version": 3, "data": {"available": 9}, "at": AT}
            ]
            await one.values.put("stock/b", 1, {"available": 1}, AT)
            await one.values.put("stock/c", 1, {"available": 1}, AT)
            await one.values.put("stock/a", 4, {"available": 8}, AT)
            seen = [await ada.until("value"), await ada.until("value")]
            assert [(event.id, event.data["name"], event.data["version"]) for event in seen] == [
                (None, "stock/b", 1),
                (None, "stock/a", 4),
            ]
            cursor = ada.cursor
            async with client(one, path, after=cursor) as again:
                names = {(await again.until("value")).data["name"] for _ in range(2)}
                assert names == {"stock/a", "stock/b"}
            await one.tell("o1", 1)
            event = await bob.next()
            assert event is not None and event.name == "saga"


async def test_an_unpublished_value_is_loaded_once(redis_url: str) -> None:
    loads: list[str] = []

    async def load(name: str) -> Mapping[str, Any] | None:
        loads.append(name)
        await asyncio.sleep(0.05)
        return {"version": 5, "data": {"available": 2}} if name == "stock/a" else None

    topics = [ValueTopic("stock/{sku}", public=True, load=load)]
    async with world(redis_url, topics=topics) as one:
        async with (
            client(one, "/bff/live?value=stock/a") as ada,
            client(one, "/bff/live?value=stock/a") as bob,
        ):
            for who in (ada, bob):
                assert (await who.until("value")).data["version"] == 5
        assert loads == ["stock/a"]
        async with client(one, "/bff/live/snapshot?value=stock/a&value=stock/z") as poll:
            assert [row["name"] for row in json.loads(await poll.body())["values"]] == ["stock/a"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("value=other/a", 400, "invalid-request"),
        ("value=stock/a%20b", 400, "invalid-request"),
        ("&".join(f"value=stock/{number}" for number in range(6)), 400, "invalid-request"),
        ("&".join(f"x{number}=1" for number in range(60)), 400, "invalid-request"),
        ("value=secret/a", 403, "forbidden"),
    ],
)
@pytest.mark.parametrize("path", ["/bff/live", "/bff/live/snapshot"])
async def test_a_request_for_an_unknown_or_private_value_is_refused(
    redis_url: str, path: str, query: str, status: int, code: str
) -> None:
    topics = [ValueTopic("stock/{sku}", public=True), ValueTopic("secret/{id}")]
    async with world(redis_url, topics=topics) as one, client(one, f"{path}?{query}") as ada:
        assert ada.status == status
        assert json.loads(await ada.body())["code"] == code
        assert one.hub.count == 0


async def test_the_snapshot_endpoint_returns_the_state_that_a_stream_begins_with(redis_url: str) -> None:
    async with world(redis_url) as one:
        await one.tell("o1", 1)
        async with client(one) as ada, client(one, "/bff/live/snapshot") as poll:
            assert poll.headers["cache-control"] == "no-store"
            assert json.loads(await poll.body()) == (await ada.until("snapshot")).data


async def test_the_snapshot_without_redis_is_503(own_valkey: Valkey) -> None:
    async with world(own_valkey.url, timeout=0.2) as one:
        own_valkey.stop()
        async with client(one, "/bff/live/snapshot") as poll:
            assert (poll.status, json.loads(await poll.body())["code"]) == (503, "unavailable")


async def test_head_does_not_stream(redis_url: str) -> None:
    async with world(redis_url) as one, client(one, method="HEAD") as ada:
        assert ada.status == 200
        assert ada.headers["content-type"] == "text/event-stream"
        assert one.hub.count == 0


async def test_heartbeats_come_in_time(redis_url: str) -> None:
    async with world(redis_url, beat=0.2) as one, client(one) as ada:
        await ada.until("snapshot")
        begun = time.monotonic()
        beats = [await ada.until("beat") for _ in range(3)]
        assert time.monotonic() - begun < 30, "with the default they would take 45 seconds"
        assert all(set(event.data) == {"at"} and event.id is None for event in beats)


async def test_a_stream_ends_when_its_session_does(redis_url: str) -> None:
    async with world(redis_url) as one:
        ends = time.time() + 1.0
        one.people["ada"] = person("ada", expires_at=ends)
        async with client(one) as ada:
            bye = await ada.until("bye")
            assert time.time() > ends - 0.1
            assert bye.data == {"reason": "expired", "retry_after": None}
            assert await ada.next() is None
        async with client(one) as late:
            assert (await late.until("bye")).data["reason"] == "expired"


async def test_a_stream_ends_at_its_age_limit_with_a_retry_time(redis_url: str) -> None:
    begun = time.monotonic()
    async with world(redis_url, age=1.0) as one, client(one) as ada:
        bye = await ada.until("bye")
        assert time.monotonic() - begun > 0.75
        assert bye.data["reason"] == "age"
        assert 0 <= bye.data["retry_after"] <= 1
        assert bye.retry == round(bye.data["retry_after"] * 1000)


async def test_a_logout_ends_the_sessions_streams_in_every_process(redis_url: str) -> None:
    async with (
        world(redis_url) as one,
        world(redis_url) as other,
        client(one) as here,
        client(other) as there,
        client(one, who="bob") as bob,
    ):
        for who in (here, there, bob):
            await who.until("snapshot")
        await one.hub.end_session("session-of-ada")
        for who in (here, there):
            assert (await who.until("bye")).data["reason"] == "logout"
        await one.tell("b", 1, owner="bob")
        event = await bob.next()
        assert event is not None and event.name == "saga"


async def test_beyond_the_limit_the_oldest_stream_is_ended(redis_url: str) -> None:
    async with world(redis_url, streams=2) as one, client(one) as first:
        await first.until("snapshot")
        async with client(one) as second, client(one, who="bob") as bob:
            await second.until("snapshot")
            # Of two streams that open within one millisecond either may count as older; this one opens later.
            await asyncio.sleep(0.01)
            async with client(one) as third:
                bye = await first.until("bye")
                assert bye.data["reason"] == "limit" and bye.data["retry_after"] > 0
                for who in (third, bob):
                    await who.until("snapshot")
                await one.tell("o1", 1)
                assert (await second.until("saga")).data["id"] == "o1"


async def test_a_drain_spreads_the_ends_and_the_retry_times(redis_url: str) -> None:
    async with world(redis_url, streams=100) as one, contextlib.AsyncExitStack() as stack:
        many = [await stack.enter_async_context(client(one)) for _ in range(30)]
        for who in many:
            await who.until("snapshot")

        async def end(who: Client) -> tuple[float, float]:
            bye = await who.until("bye")
            assert bye.data["reason"] == "drain"
            ended = time.monotonic()
            assert await who.next() is None
            return ended, bye.data["retry_after"]

        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(end(who)) for who in many]
            await one.hub.drain(2.5)
        moments = sorted(one_end.result()[0] for one_end in ends)
        hints = [one_end.result()[1] for one_end in ends]
        # Even on a busy machine the delay is less than the whole window.
        assert moments[-1] - moments[0] > 0.3
        assert 0.05 < max(hints) - min(hints) <= 0.25
        async with client(one) as late:
            assert (await late.until("bye")).data["reason"] == "drain"


async def test_a_client_that_reads_too_slowly_gets_the_latest_status_and_keeps_its_stream(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It reads nothing until everything is published, however long that takes.
    monkeypatch.setattr("bff.live.scheduler.STALL", GUARD)
    async with (
        world(redis_url, queue=16, history=2000) as one,
        client(one, limit=1024) as slow,
        client(one) as quick,
    ):
        await slow.until("snapshot")
        await quick.until("snapshot")
        data = {"text": "x" * 20_000}
        for version in range(1, 301):
            saga = SagaStatus(id="o1", type="order", status="RUNNING", version=version, at=AT, data=data)
            await one.journal.append(person("ada").id, Entry.of(saga, now_ms=0))
            assert (await quick.until("saga")).data["version"] == version
        (lagging,) = [stream for stream in one.hub._streams if stream.state == "lagging"]
        assert not lagging._outlet._buffer
        seen = []
        while (event := await slow.next()) is not None and event.name == "saga":
            seen.append(event)
        assert event is not None and event.name == "reset"
        assert offsets(seen) == list(range(1, len(seen) + 1)) and len(seen) < 300
        assert [row["version"] for row in event.data["sagas"]] == [300]
        await one.tell("o1", 301)
        assert offsets([await slow.until("saga")]) == [301]


async def test_an_event_held_for_its_predecessor_is_published_by_the_next_comparison(
    redis_url: str,
) -> None:
    async with world(redis_url, gap=0.2) as one, client(one) as ada:
        await ada.until("snapshot")
        await one.tell("o1", 1)
        await one.tell("o1", 3)
        assert (await ada.until("saga")).data["version"] == 1
        await asyncio.sleep(0.25)
        one.hub._recovery.check([channel_of(person("ada").id)])
        assert (await ada.until("saga")).data["version"] == 3


async def test_a_client_that_stops_reading_is_cut_off(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.scheduler.STALL", 0.5)
    async with world(redis_url, queue=16) as one, client(one, limit=1024) as frozen:
        await frozen.until("snapshot")
        data = {"text": "x" * 50_000}
        for version in range(1, 400):
            saga = SagaStatus(id="o1", type="order", status="RUNNING", version=version, at=AT, data=data)
            await one.journal.append(person("ada").id, Entry.of(saga, now_ms=0))
        await one.settled(0)


async def test_a_disconnect_frees_everything_at_once(redis_url: str) -> None:
    topics = [ValueTopic("stock/{sku}", public=True)]
    async with world(redis_url, topics=topics) as one:
        async with client(one, "/bff/live?value=stock/a") as ada:
            await ada.until("snapshot")
            assert one.hub.count == 1
        await one.settled(0)

        async def unsubscribed() -> bool:
            heard = sorted(await one.redis.call("PUBSUB", "CHANNELS"))
            return (
                len(heard) == 2 and heard[0] == CONTROL.encode() and heard[1].startswith(b"bff:1:{process:")
            )

        await until(unsubscribed)


async def test_a_lost_message_is_found_when_the_next_one_arrives(redis_url: str) -> None:
    async with world(redis_url) as one, client(one) as ada:
        await ada.until("snapshot")
        owner = person("ada").id
        await one.tell("o1", 1)
        await ada.until("saga")
        # An event that reached the journal and whose message was lost.
        top = (await one.journal.open(owner, None)).position
        assert top is not None
        listeners, channel = one.channels._listeners, channel_of(owner)
        heard, lost = listeners[channel], asyncio.Event()
        listeners[channel] = lambda channel, data: lost.set()
        await one.tell("o1", 2)
        await lost.wait()
        listeners[channel] = heard
        await one.tell("o1", 3)
        events = [await ada.until("saga"), await ada.until("saga")]
        assert offsets(events) == [top.offset + 1, top.offset + 2]
        assert Position.parse(ada.cursor or "") == Position(top.epoch, top.offset + 2)
