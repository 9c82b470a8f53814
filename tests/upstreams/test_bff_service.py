"""The package `bff-service`: the service of its README, and what each part of the package promises, with a real Redis
and real files."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import re
import sys
import tomllib
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import pytest
from bff_service import (
    Database,
    DeliveryFailed,
    EventSource,
    IdempotencyKeys,
    Message,
    Once,
    Outbox,
    Owner,
    Refusal,
    RequestKey,
    StreamPublisher,
    gateway_verifier,
    http_client,
    refusals,
    stream_of,
    use,
)
from bff_service.outbox import DELIVERY_SECONDS, LEASE_SECONDS
from fastapi import APIRouter, FastAPI, Response
from flit_core import buildapi
from openapi_spec_validator import validate
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.conftest import ROOT, Valkey
from tests.upstreams.conftest import Json, Running, served, until
from tests.upstreams.test_internal_tokens import GATEWAY, Gateway

README = ROOT / "upstreams" / "bff-service" / "README.md"
ADA = "https://id.test|ada"


def example() -> str:
    found = re.search(r"<!-- tea\.py -->\n```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
def tea(tmp_path: Path) -> Iterator[ModuleType]:
    """The module of the README, as somebody would write it down."""
    file = tmp_path / "tea.py"
    file.write_text(example())
    spec = importlib.util.spec_from_file_location("tea", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tea"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["tea"]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway().start()
    yield made
    made.stop()


Start = Callable[..., Any]


@pytest.fixture
def start(tea: ModuleType, tmp_path: Path, gateway: Gateway, redis_url: str) -> Start:
    """`async with start() as service`: the service of the README on a file and a Redis."""

    @asynccontextmanager
    async def started(redis: str = redis_url) -> AsyncIterator[Running]:
        url = f"sqlite+aiosqlite:///{tmp_path / 'tea.db'}"
        async with served(tea.build(url, redis, gateway.url, GATEWAY)) as service:
            yield service

    return started


def token(gateway: Gateway, sub: str = ADA, **changed: Any) -> str:
    return gateway.token(aud="tea", sub=sub, **changed)


async def told(redis_url: str, subject: str, number: int) -> list[Json]:
    """The events of this subject once there are so many."""

    async def enough() -> list[Json] | None:
        async with Redis.from_url(redis_url) as redis:
            entries: Any = await redis.xrange(stream_of("tea", ADA))
        found = [json.loads(fields[b"event"]) for _, fields in entries]
        found = [event for event in found if event["subject"] == subject]
        return found if len(found) >= number else None

    found: list[Json] = await until(enough)
    return found


def test_the_service_of_the_readme_has_at_most_eighty_lines() -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 80


async def test_the_service_of_the_readme_acts_once_and_tells_the_gateway(
    start: Start, gateway: Gateway, redis_url: str
) -> None:
    async with start() as service:
        ada = token(gateway, mutation="click-1")
        first = await service.post("/teas", {"kind": "oolong"}, token=ada, key="k")
        again = await service.post("/teas", {"kind": "oolong"}, token=ada, key="k")
        assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        made = first.json()["id"]
        assert (await service.post(f"/teas/{made}/pour", token=ada)).json()["status"] == "COMPLETED"
        events = await told(redis_url, made, 2)
    assert [(one["type"], one["sequence"]) for one in events] == [("cafe.tea.status", n) for n in ("1", "2")]
    assert [one["data"]["status"] for one in events] == ["RUNNING", "COMPLETED"]
    assert {(one["data"]["owner"], one["data"]["mutation"]) for one in events} == {(ADA, "click-1")}


async def test_the_service_of_the_readme_says_no_in_problems(start: Start, gateway: Gateway) -> None:
    async with start() as service:
        ada, kim = token(gateway), token(gateway, "https://id.test|kim")
        for replayed in (False, True):
            none = await service.post("/teas", {"kind": "matcha"}, token=ada, key="m")
            assert (none.status_code, none.json()["code"]) == (409, "out-of-tea")
            assert none.headers["content-type"] == "application/problem+json"
            assert ("idempotency-replayed" in none.headers) is replayed
        made = (await service.post("/teas", {"kind": "assam"}, token=ada)).json()["id"]
        assert (await service.post(f"/teas/{made}/pour", token=kim)).status_code == 404
        assert (await service.post("/teas", {"kind": "assam"})).status_code == 401
        assert (await service.post("/teas", {"kind": 1}, token=ada)).json()["errors"][0]["pointer"] == "/kind"
        assert (await service.post("/teas", {"kind": "a"}, token=ada, key=None)).status_code == 400
        other = await service.post("/teas", {"kind": "a"}, token=ada, headers={"BFF-Owner": "x|kim"})
        assert (other.status_code, other.json()["code"]) == (403, "owner-mismatch")
        document = (await service.get("/openapi.json")).json()
        validate(document)
        assert {"202", "400", "401", "403", "409", "422"} <= set(
            document["paths"]["/teas"]["post"]["responses"]
        )


async def test_the_service_of_the_readme_goes_on_while_redis_is_away(
    start: Start, gateway: Gateway, own_valkey: Valkey
) -> None:
    own_valkey.stop()
    async with start(own_valkey.url) as service:
        made = (await service.post("/teas", {"kind": "assam"}, token=token(gateway))).json()["id"]
        poured = await service.post(f"/teas/{made}/pour", token=token(gateway))
        assert (poured.status_code, (await service.get("/readyz")).status_code) == (200, 200)
        own_valkey.start()
        events = await told(own_valkey.url, made, 2)
    assert [one["sequence"] for one in events] == ["1", "2"]


# ---- FastAPI's routers -------------------------------------------------------------------------------------------


class Cup(BaseModel):
    kind: str


BROKEN = Refusal(409, "broken", "This cup is broken.")


async def test_endpoints_of_an_included_router_answer_and_are_described_like_the_others(
    tmp_path: Path, gateway: Gateway
) -> None:
    metadata = MetaData()
    keys = IdempotencyKeys(metadata)
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'cups.db'}", metadata)
    await database.create_tables()
    cups = APIRouter(prefix="/cups")

    @cups.post("/{id}", status_code=201, response_model=Cup, responses=refusals(BROKEN))
    async def fill(id: str, owner: Owner, asked: Cup, once: Once) -> Response:
        async def effect(_db: AsyncConnection) -> Cup:
            if id == "broken":
                raise BROKEN.problem()
            return asked

        return await once(effect)

    @cups.get("/{id}")
    async def look(id: str, size: int = 1) -> Cup:
        return Cup(kind=id * size)

    app = FastAPI(title="cups")
    app.include_router(cups)
    async with http_client() as client:
        verifier = gateway_verifier(client, gateway.url, issuer=GATEWAY, audience="tea")
        use(app, database=database, keys=keys, verifier=verifier)
        async with served(app) as service:
            for replayed in (False, True):
                filled = await service.post("/cups/one", {"kind": "assam"}, token=token(gateway), key="k")
                assert (filled.status_code, filled.json()) == (201, {"kind": "assam"})
                assert ("idempotency-replayed" in filled.headers) is replayed
            broken = await service.post("/cups/broken", {"kind": "assam"}, token=token(gateway))
            assert (broken.status_code, broken.json()["code"]) == (409, "broken")
            wrong = await service.get("/cups/one", params={"size": "big"})
            assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/size")
            unknown = await service.client.delete("/cups/one")
            assert (unknown.status_code, unknown.json()["code"]) == (405, "method-not-allowed")
            assert len(unknown.headers.get_list("allow")) == 1
            document = (await service.get("/openapi.json")).json()
    await database.close()
    validate(document)
    described = document["paths"]["/cups/{id}"]
    assert set(described["post"]["responses"]) == {"201", "400", "401", "403", "409", "422", "default"}
    assert set(described["get"]["responses"]) == {"200", "422", "default"}
    assert set(document["components"]["schemas"]) == {"Cup", "PointedError", "Problem"}


# ---- the outbox --------------------------------------------------------------------------------------------------


class Deliveries:
    """A delivery that keeps what it was given; slow, so that two drainers meet."""

    def __init__(self, *, fails: int = 0) -> None:
        self.found: list[tuple[str, str]] = []
        self.fails = fails

    async def deliver(self, message: Message) -> None:
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise DeliveryFailed("not now")
        self.found.append((message.key, message.id))


def replicas(tmp_path: Path, number: int, **options: Any) -> list[tuple[Outbox, Database]]:
    """So many outboxes on one file, each with a database of its own, as processes would have them."""
    found = []
    for _ in range(number):
        metadata = MetaData()
        outbox = Outbox(metadata, **options)
        found.append((outbox, Database(f"sqlite+aiosqlite:///{tmp_path / 'outbox.db'}", metadata)))
    return found


async def written(outbox: Outbox, database: Database, key: str, *numbers: int) -> None:
    for number in numbers:
        async with database.write() as db:
            await outbox.add(db, Message(f"{key}:{number}", key, b"{}"))


async def test_two_replicas_that_drain_at_once_deliver_each_message_once_and_in_order(tmp_path: Path) -> None:
    both = replicas(tmp_path, 2)
    await both[0][1].create_tables()
    keys = [f"saga-{number}" for number in range(6)]
    deliveries = Deliveries()
    async with asyncio.TaskGroup() as group:
        drains = [group.create_task(outbox.drain(database, deliveries)) for outbox, database in both]
        # Each saga's messages come from both replicas in turn.
        for number in range(1, 21):
            for key in keys:
                await written(*both[number % 2], key, number)

        async def all_there() -> bool:
            return len(deliveries.found) >= 120

        await until(all_there)
        for drain in drains:
            drain.cancel()
    assert len(deliveries.found) == 120
    for key in keys:
        assert [id for of, id in deliveries.found if of == key] == [f"{key}:{n}" for n in range(1, 21)]
    for _, database in both:
        await database.close()


async def test_what_another_replica_drains_is_left_to_it_until_its_lease_is_over(tmp_path: Path) -> None:
    now = 1000.0
    (first, database), (second, _) = replicas(tmp_path, 2, clock=lambda: now)
    await database.create_tables()
    await written(first, database, "a", 1)
    deliveries = Deliveries()
    for partition in range(16):
        assert await first._claim(database, partition)
    assert not await second.drain_once(database, deliveries)
    now += 9.9
    assert not await second.drain_once(database, deliveries)
    now += 0.2
    assert await second.drain_once(database, deliveries)
    assert deliveries.found == [("a", "a:1")]
    await database.close()


async def test_a_message_that_could_not_be_delivered_holds_the_later_ones_of_its_key_back(
    tmp_path: Path,
) -> None:
    ((outbox, database),) = replicas(tmp_path, 1)
    await database.create_tables()
    await written(outbox, database, "a", 1, 2, 3)
    deliveries = Deliveries(fails=2)
    for _ in range(2):
        with pytest.raises(DeliveryFailed):
            await outbox.drain_once(database, deliveries)
    assert deliveries.found == []
    assert await outbox.drain_once(database, deliveries)
    assert [id for _, id in deliveries.found] == ["a:1", "a:2", "a:3"]
    assert not await outbox.drain_once(database, deliveries)
    async with database.read() as db:
        assert await outbox.waiting(db) == set()
    await database.close()


async def test_a_message_that_is_never_taken_holds_up_its_own_partition_alone(tmp_path: Path) -> None:
    class Picky(Deliveries):
        async def deliver(self, message: Message) -> None:
            if message.key == "poison":
                raise DeliveryFailed("never")
            await super().deliver(message)

    ((outbox, database),) = replicas(tmp_path, 1)
    await database.create_tables()
    others = [f"key-{number}" for number in range(40)]
    for key in ("poison", *others):
        await written(outbox, database, key, 1)
    deliveries = Picky()
    for _ in range(2):
        with pytest.raises(DeliveryFailed):
            await outbox.drain_once(database, deliveries)
    beside = {key for key in others if crc32(key.encode()) % 16 != crc32(b"poison") % 16}
    assert {key for key, _ in deliveries.found} == beside and len(beside) > 30
    await database.close()


async def test_nothing_is_delivered_under_a_lease_that_was_long_in_coming(tmp_path: Path) -> None:
    now = 1000.0

    def commit_takes_long() -> None:
        nonlocal now
        now += 6.0

    ((outbox, database),) = replicas(tmp_path, 1, clock=lambda: now)
    await database.create_tables()
    await written(outbox, database, "a", 1)
    database.after_commit(commit_takes_long)
    deliveries = Deliveries()
    assert not await outbox.drain_once(database, deliveries)
    assert deliveries.found == []
    await database.close()


async def test_a_delivery_that_hangs_is_cancelled_before_its_lease_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Deliveries):
        async def deliver(self, message: Message) -> None:
            await asyncio.Event().wait()

    assert LEASE_SECONDS / 2 + DELIVERY_SECONDS < LEASE_SECONDS
    monkeypatch.setattr("bff_service.outbox.DELIVERY_SECONDS", 0.01)
    ((outbox, database),) = replicas(tmp_path, 1)
    await database.create_tables()
    await written(outbox, database, "a", 1)
    with pytest.raises(TimeoutError):
        await outbox.drain_once(database, Hanging())
    assert await outbox.drain_once(database, deliveries := Deliveries())
    assert deliveries.found == [("a", "a:1")]
    await database.close()


async def test_nothing_is_delivered_of_a_transaction_that_failed(tmp_path: Path) -> None:
    ((outbox, database),) = replicas(tmp_path, 1)
    await database.create_tables()
    with pytest.raises(ZeroDivisionError):
        async with database.write() as db:
            await outbox.add(db, Message("a:1", "a", b"{}"))
            raise ZeroDivisionError
    assert not await outbox.drain_once(database, Deliveries())
    await database.close()


async def test_a_value_is_published_as_the_contract_has_it(redis_url: str) -> None:
    publisher = StreamPublisher(redis_url, "tea")
    event = EventSource("tea", domain="cafe").value("pot", "blue", version=3, data={"cups": 2})
    await publisher.deliver(event.message())
    await publisher.close()
    async with Redis.from_url(redis_url) as redis:
        entries: Any = await redis.xrange(stream_of("tea", "blue"))
    found = json.loads(entries[-1][1][b"event"])
    names = ("specversion", "type", "source", "id", "subject", "sequence")
    assert {name: found[name] for name in names} == {
        "specversion": "1.0",
        "type": "cafe.pot.value",
        "source": "/services/tea",
        "id": "blue:3",
        "subject": "blue",
        "sequence": "3",
    }
    assert (found["data"]["version"], found["data"]["data"]) == (3, {"cups": 2})


# ---- idempotency keys --------------------------------------------------------------------------------------------


async def test_keys_are_pruned_while_the_service_runs(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    metadata = MetaData()
    keys = IdempotencyKeys(metadata, clock=lambda: now)
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'keys.db'}", metadata)
    await database.create_tables()

    async def claimed(key: str) -> None:
        async with database.write() as db:
            await keys.claim(db, RequestKey("ada", key, "f"))

    async def kept() -> list[str]:
        async with database.read() as db:
            return list((await db.execute(text("SELECT key FROM idempotency_keys ORDER BY key"))).scalars())

    await claimed("old")
    pruning = asyncio.create_task(keys.keep_pruned(database, every=0.01))
    now += timedelta(days=6)
    await claimed("young")
    assert await kept() == ["old", "young"]
    now += timedelta(days=1, seconds=1)

    async def only_the_young_one() -> bool:
        return await kept() == ["young"]

    await until(only_the_young_one)
    pruning.cancel()
    await asyncio.gather(pruning, return_exceptions=True)
    await database.close()


async def test_the_package_knows_neither_the_gateway_nor_the_shop() -> None:
    found = [
        (path.name, line)
        for path in sorted((README.parent / "bff_service").glob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(from|import) (bff|upstreams|web|tests)\b(?!_)", line)
    ]
    assert found == []


# ---- the distribution ------------------------------------------------------------------------------------------------


def test_its_wheel_holds_the_package_with_its_types_and_names_all_that_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads((README.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    monkeypatch.chdir(README.parent)
    wheel = zipfile.ZipFile(tmp_path / buildapi.build_wheel(str(tmp_path)))
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = (README.parent / "bff_service").rglob("*")
    assert held == {
        str(path.relative_to(README.parent))
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "bff_service/py.typed" in held
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for path in sorted((README.parent / "bff_service").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module)
    }
    names = {
        "jwt": "pyjwt",
        "httpx_aiohttp": "httpx-aiohttp",
        "opentelemetry": "opentelemetry-sdk",
    }
    extras = [one for some in project["optional-dependencies"].values() for one in some]
    declared = {re.split(r"[\[<>=]", one)[0] for one in (*project["dependencies"], *extras)}
    strangers = imported - set(sys.stdlib_module_names) - {"bff_service"}
    assert {names.get(one, one) for one in strangers} <= declared
