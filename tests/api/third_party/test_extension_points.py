"""A third-party package adds one of each extension point without a private name, and each works."""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import logging
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bff import DeclarationError, Gateway
from bff.edge.app.brokers import BUILT_IN, GROUP
from bff.edge.settings import Settings
from tests.events import cloud_event

from ...conftest import ROOT
from ...waiting import until
from ...wire.gateway import ISSUER, bearer
from ...wire.scripted import Scripted, upstream
from ...wire.served import served
from ...wire.upstream import http

PACKAGE = Path(__file__).parent / "acme"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed as a user installs it."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(PACKAGE)], check=True, timeout=300)
    return target


@pytest.fixture
def acme(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(site))
    yield importlib.import_module("acme_bff")
    sys.modules.pop("acme_bff")


def settings(redis_url: str, told: Scripted, folder: Path, **live: Any) -> Settings:
    (folder / "spool").touch()
    (folder / "registry").write_text(json.dumps({"service": [f"http://127.0.0.1:{told.port}"]}))
    return Settings.model_validate(
        {
            "redis": {"url": redis_url, "timeout": 10},
            "upstreams": {"service": {"url": "http://127.0.0.1:1", "balance": {"resolver": "registry"}}},
            "issuers": [
                {"issuer": ISSUER, "audience": "shop", "jwks_uri": f"http://127.0.0.1:{told.port}/keys"}
            ],
            "live": {"brokers": {"spool": {"file": str(folder / "spool")}}, **live},
        }
    )


def test_the_package_imports_nothing_private() -> None:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            ours = {name for name in names if name.partition(".")[0] == "bff"}
            assert ours <= {"bff", "bff.events", "bff.testing"}, f"{file}: {ours}"


def test_the_package_type_checks_strictly() -> None:
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(PACKAGE / "acme_bff")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout


async def test_each_extension_point_works_in_a_running_gateway(
    acme: Any, redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    acme.Registry.file = tmp_path / "registry"
    gateway: Gateway = acme.gateway()
    async with upstream() as told:
        told.answers["/things/teapot"] = http(418, b'{"code":"teapot","detail":"It is a teapot."}')
        told.answers["/things/mug"] = http(200, b'{"name":"mug"}')
        runtime = await gateway.start(settings(redis_url, told, tmp_path))
        try:
            assert acme.pool.log == ["opened"]
            async with served(gateway) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
                with caplog.at_level(logging.ERROR, "bff.upstreams"):
                    answer = await client.get("/api/things/mug", headers=bearer())
                # The resolver: the address in the settings is closed.
                assert answer.json() == {"name": "mug"}
                # The middleware, in order, with ids and principal.
                correlation = answer.headers["x-correlation-id"]
                assert answer.headers["x-stamp"] == f"{correlation} /api/things/{{name}} ada"
                assert answer.headers["x-outer"] == "after"
                nobody = await client.get("/api/things/mug")
                assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
                left = await client.get("/api/things/mug", headers=bearer("mallory"))
                assert (left.status_code, left.json()["code"]) == (403, "left")
                # The outcome table.
                teapot = await client.get("/api/things/teapot", headers=bearer())
                assert (teapot.status_code, teapot.json()["detail"]) == (418, "It is a teapot.")
                # The observers: an exception of one is logged, and the other still gets every event.
                assert "a bug of the observer's" in caplog.text
                first = acme.audit.ended[0]
                assert (first.method, first.route, first.status) == ("GET", "/api/things/{name}", 200)
                assert (first.correlation_id, first.seconds > 0) == (correlation, True)
                assert first.pseudonym is not None and len(first.pseudonym) == 32
                assert [one.status for one in acme.audit.ended] == [200, 401, 403, 418]
                assert acme.audit.ended[1].pseudonym is None
                assert bearer()["authorization"].split()[1] not in repr(acme.audit.ended)
                assert [one.call for one in acme.audit.attempts] == ["Legacy.thing"] * 2
                page = (await client.get("/readyz")).json()
                assert page["status"] == "ready"
                # The broker.
                with (tmp_path / "spool").open("ab") as spool:
                    data = {"status": "RUNNING", "owner": f"{ISSUER}|ada", "at": "2026-03-01T10:00:00Z"}
                    spool.write(cloud_event("shop.order.status", "o1", 1, data) + b"\n")

                async def arrived() -> bool:
                    saga = await client.get("/bff/sagas/order/o1", headers=bearer())
                    return saga.status_code == 200

                async with asyncio.timeout(60):
                    while not await arrived():
                        await asyncio.sleep(0.02)
                assert [one.name for one in runtime.live.ingesters] == ["spool", "redis"]
                (tmp_path / "registry").write_text('{"service": ["http://127.0.0.1:1"]}')
                backends = runtime.calls.pipeline.clients["service"].backends
                await until(lambda: [one.name for one in backends] == ["http://127.0.0.1:1"])
        finally:
            await gateway.stop()
    assert acme.pool.log == ["opened", "closed"]
    acme.pool.log.clear()


async def test_a_broker_object_is_read_and_needs_a_unique_name(
    acme: Any, redis_url: str, tmp_path: Path
) -> None:
    class Twice(acme.Spool):  # type: ignore[misc]  # the package is not installed where this is checked
        name = "redis"

    async with upstream() as told:
        acme.Registry.file = tmp_path / "registry"
        made = settings(redis_url, told, tmp_path)
        for brokers in (
            (acme.Spool(tmp_path / "spool", None),),
            (Twice(tmp_path / "spool", None),),
        ):
            gateway = Gateway("twice", brokers=brokers, resolvers={"registry": acme.Registry})
            with pytest.raises(DeclarationError, match="have the name"):
                await gateway.start(made)
            await gateway.stop()


@pytest.mark.parametrize(
    ("live", "said"),
    [
        ({"brokers": {"spol": {}}}, r"BFF_LIVE__BROKERS__SPOL: no installed package .* did you mean spool"),
        ({"brokers": {"spool": {}}}, "BFF_LIVE__BROKERS__SPOOL: set FILE"),
        ({"brokers": {"nats": {"url": "http://x"}}}, r"BFF_LIVE__BROKERS__NATS: url: .*stream: "),
        (
            {"brokers": {"nats": {}}, "nats": {"url": "nats://x", "stream": "S"}},
            "BFF_LIVE__NATS and BFF_LIVE__BROKERS__NATS are both set",
        ),
    ],
)
async def test_a_broker_that_cannot_be_made_stops_the_start_with_the_setting_and_the_remedy(
    acme: Any, redis_url: str, tmp_path: Path, live: dict[str, Any], said: str
) -> None:
    acme.Registry.file = tmp_path / "registry"
    async with upstream() as told:
        with pytest.raises(DeclarationError, match=said):
            await acme.gateway().start(settings(redis_url, told, tmp_path, **live))
    acme.pool.log.clear()


async def test_an_unknown_resolver_stops_the_start_with_the_known_ones(redis_url: str) -> None:
    given = {
        "redis": {"url": redis_url},
        "upstreams": {"s": {"url": "http://x", "balance": {"resolver": "consul"}}},
    }
    with pytest.raises(DeclarationError, match=r"BALANCE__RESOLVER: .*'consul'.* dns, file, static"):
        await Gateway("lost").start(Settings.model_validate(given))


async def test_a_lifespan_that_raises_stops_the_start_with_its_error(redis_url: str) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    before = asyncio.all_tasks()
    gateway = Gateway("failing", lifespan=failing)
    with pytest.raises(DeclarationError, match="lifespan: OSError: no database"):
        await gateway.start(Settings.model_validate({"redis": {"url": redis_url}}))
    assert gateway.runtime is None and not asyncio.all_tasks() - before


def test_our_brokers_are_registered_like_those_of_other_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][GROUP] == BUILT_IN
