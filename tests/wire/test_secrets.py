"""Secrets of a full configuration: none is in a log, a representation, an error, a document or the output of a command.
And those that are in files are followed by a running gateway."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bff.calls import DeclarationError
from bff.cli import main
from bff.cli.settings_reference import all_settings
from bff.edge.observe.log_lines import JsonLines
from bff.edge.settings import Settings, load
from bff.edge.signing_keys import rotate

from ..brokers.servers import Nats
from ..conftest import Valkey, closed_port
from ..waiting import GUARD
from .forward_proxy import forward_proxy
from .gateway import bearer, declare, keyed, serving
from .oidc_provider import OidcProvider
from .scripted import Scripted, upstream
from .served import listening, served

FULL = {
    "oidc.client_secret": "secret-of-the-client",
    "providers.<name>.client_secret": "secret-of-the-staff-client",
    "issuers[].introspection.client_secret": "secret-of-introspection",
    "http.frontends.<name>.secrets": "secret-of-a-frontend-server-0123456789",
    "upstreams.<name>.headers": "secret-of-a-header",
    "upstreams.<name>.basic": "me:secret-of-basic",
    "webhooks.<name>.secret": "secret-of-a-webhook-source",
    "events.<name>.secret": "secret-of-an-event-source-1",
    "live.nats.url": "secret-of-nats",
    "live.rabbitmq.url": "secret-of-rabbitmq",
    "redis.password": "secret-of-redis",
    "redis.sentinel_password": "secret-of-sentinel",
    "network.proxy_password": "secret-of-the-proxy",
    "telemetry.headers": "secret-of-telemetry",
}
"""By its path in the reference, the value of every setting that is a secret."""


def leaked(text: str) -> list[str]:
    """The secrets in a text."""
    return [value for value in FULL.values() if value.rpartition(":")[2] in text]


def test_the_full_configuration_has_every_secret_that_there_is() -> None:
    kinds = ("secret", "table of secret", "list of secret")
    assert {one.path for one in all_settings() if one.type in kinds} == FULL.keys()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    (tmp_path / "valkey").mkdir()
    server = Valkey(tmp_path / "valkey", args=("--requirepass", FULL["redis.password"])).start()
    yield server
    server.stop()


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    """It refuses every password but its own."""
    (tmp_path / "nats").mkdir()
    server = Nats(tmp_path / "nats", args=("--user", "me", "--pass", "another"))
    server.start()
    yield server
    server.kill()


def environ(
    folder: Path, valkey: Valkey, nats: Nats, proxy: str, shelf: Scripted, issuer: str
) -> dict[str, str]:
    rotate(folder / "keys.pem")
    hooks = {"secret": FULL["webhooks.<name>.secret"]}
    asked = {"client_id": "bff", "client_secret": FULL["issuers[].introspection.client_secret"]}
    trusted = {"issuer": issuer, "audience": "shop", "introspection": asked}
    frontend = {"secrets": [FULL["http.frontends.<name>.secrets"]], "networks": ["127.0.0.1/32"]}
    return {
        "BFF_REDIS__URL": valkey.url,
        "BFF_REDIS__TIMEOUT": "10",
        "BFF_REDIS__PASSWORD": FULL["redis.password"],
        "BFF_REDIS__SENTINEL_PASSWORD": FULL["redis.sentinel_password"],
        "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{shelf.port}",
        "BFF_UPSTREAMS__SHELF__IDENTITY": "internal",
        "BFF_UPSTREAMS__SHELF__HEADERS": json.dumps({"x-api-key": FULL["upstreams.<name>.headers"]}),
        "BFF_UPSTREAMS__SHELF__BREAKER__FAILURES": "1000",
        "BFF_INTERNAL__KEYS": str(folder / "keys.pem"),
        "BFF_OIDC__ISSUER": issuer,
        "BFF_OIDC__CLIENT_ID": "bff",
        "BFF_OIDC__CLIENT_SECRET": FULL["oidc.client_secret"],
        "BFF_PROVIDERS__STAFF__ISSUER": "https://staff.test",
        "BFF_PROVIDERS__STAFF__CLIENT_ID": "bff",
        "BFF_PROVIDERS__STAFF__CLIENT_SECRET": FULL["providers.<name>.client_secret"],
        "BFF_HTTP__FRONTENDS": json.dumps({"web": frontend}),
        "BFF_ISSUERS": json.dumps([trusted]),
        "BFF_WEBHOOKS": json.dumps({"cms": hooks}),
        "BFF_EVENTS": json.dumps({"orders": {"secret": FULL["events.<name>.secret"]}}),
        "BFF_LIVE__NATS__URL": f"nats://me:{FULL['live.nats.url']}@127.0.0.1:{nats.port}",
        "BFF_LIVE__NATS__STREAM": "EVENTS",
        "BFF_LIVE__RABBITMQ__URL": f"amqp://me:{FULL['live.rabbitmq.url']}@127.0.0.1:{closed_port()}/",
        "BFF_LIVE__RABBITMQ__QUEUES": '["events"]',
        "BFF_NETWORK__PROXY": proxy,
        "BFF_NETWORK__PROXY_USERNAME": "me",
        "BFF_NETWORK__PROXY_PASSWORD": FULL["network.proxy_password"],
        "BFF_TELEMETRY__OTLP": "https://traces.test",
        "BFF_TELEMETRY__TIMEOUT": "1",
        "BFF_TELEMETRY__HEADERS": json.dumps({"x-key": FULL["telemetry.headers"]}),
        "BFF_TELEMETRY__LOG_LEVEL": "DEBUG",
        "BFF_ADMISSION__LAG": "10",
    }


def everything_of(root: object) -> Iterator[str]:
    """The representations of an object of this project and of all objects that it leads to."""
    seen: set[int] = set()
    waiting: list[Any] = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        elif type(one).__module__.startswith("bff."):
            yield repr(one)
            waiting += vars(one).values() if hasattr(one, "__dict__") else ()
            waiting += [getattr(one, name, None) for name in getattr(type(one), "__slots__", ())]


async def test_no_secret_of_a_full_configuration_is_shown_anywhere(
    tmp_path: Path,
    valkey: Valkey,
    nats: Nats,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = OidcProvider("")
    sock = listening()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    shown: list[str] = []
    async with upstream() as shelf, served(provider.app) as issuer, forward_proxy({}, ("me", "x")) as proxy:
        provider.issuer, provider.redirect_uri = issuer, f"{url}/bff/callback"
        found = environ(tmp_path, valkey, nats, proxy.url, shelf, issuer) | {"BFF_PUBLIC_URL": url}
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        settings = load(found)
        shown += [repr(settings), str(settings), settings.model_dump_json()]
        gateway = declare(settings)
        async with serving(gateway, sock), httpx.AsyncClient(base_url=url, timeout=GUARD) as client:
            runtime = gateway.runtime
            assert runtime is not None
            paths = (
                "/readyz",
                "/livez",
                "/openapi.json",
                "/asyncapi.json",
                "/bff/events.schema.json",
                "/docs",
                "/api/open/ok",
            )
            answers = [await client.get(path) for path in paths]
            answers += [await client.get("/api/required/broken", headers=bearer())]
            answers += [await client.post("/api/things/broken", json={"name": "x"}, headers=keyed())]
            # The provider refuses this client, and the callback fails.
            login = await client.get("/bff/login/oidc")
            there = await client.get(login.headers["location"])
            cookie = {"cookie": login.headers["set-cookie"].partition(";")[0]}
            answers += [login, there, await client.get(there.headers["location"], headers=cookie)]
            answers += [await client.post("/bff/changes/cms", content=b"{}")]
            assert shelf.asked and FULL["upstreams.<name>.headers"] in shelf.last.headers.values()
            shown += [f"{answer.headers} {answer.text}" for answer in answers]
            async with asyncio.timeout(GUARD):
                while not {"nats", "rabbitmq"} <= _failed_brokers(caplog):
                    await asyncio.sleep(0.05)
            shown += everything_of(runtime)
            transport = httpx.ASGITransport(app=runtime.admin)
            async with httpx.AsyncClient(transport=transport, base_url="http://admin") as admin:
                shown += [(await admin.get(path)).text for path in ("/metrics", "/readyz")]
            await gateway.stop()
        # What commands print; every address is tried, and some refuse.
        for arguments in (
            ["check"],
            ["check", "--connect", "--timeout", "3"],
            ["check", "--connect", "--json"],
        ):
            await asyncio.to_thread(main, [*arguments, "tests.wire.gateway:served"])
    shown += capsys.readouterr()
    formatter = JsonLines()
    for record in caplog.records:
        shown += [formatter.format(record), repr(vars(record)), str(record.exc_text)]
    assert any("407" in text or "user and password" in text for text in shown), "the proxy has refused"
    assert len(caplog.records) > 20
    assert [(secret, text[:2000]) for text in shown for secret in leaked(text)] == []


def _failed_brokers(caplog: pytest.LogCaptureFixture) -> set[str]:
    text = " ".join(repr(vars(record)) for record in caplog.records)
    return {name for name, said in (("nats", "NATS, stream"), ("rabbitmq", "RabbitMQ:")) if said in text}


BROKEN: list[tuple[str, str]] = [
    ("BFF_REDIS__URL", "redis://:secret-of-redis/x@h"),
    ("BFF_REDIS__URL", "redis://:secret-of-redis@h?x=y#z"),
    ("BFF_LIVE__NATS__URL", "http://me:secret-of-nats@h"),
    ("BFF_LIVE__RABBITMQ__URL", "amqp://me:secret-of-rabbitmq#@h"),
    ("BFF_NETWORK__PROXY", "http://me:secret-of-the-proxy@h"),
    ("BFF_UPSTREAMS__SHELF__BASIC", "secret-of-basic"),
    ("BFF_UPSTREAMS__SHELF__HEADERS", '{"x-key": "secret-of-a-header'),
    ("BFF_WEBHOOKS__CMS__SECRET", "whsec_secret-of-a-webhook-source!"),
    ("BFF_OIDC__CLIENT_SECRETS", "secret-of-the-client"),
]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_setting_that_is_refused_is_not_repeated(name: str, value: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        load({"BFF_UPSTREAMS__SHELF__URL": "http://h", name: value})
    assert leaked(str(raised.value)) == [] and leaked(repr(raised.value)) == []


def test_a_password_in_the_address_of_redis_is_not_shown() -> None:
    settings = load({"BFF_REDIS__URL": f"redis://:{FULL['redis.password']}@127.0.0.1:6379"})
    assert leaked(repr(settings) + str(settings) + repr(settings.redis)) == []


async def test_changed_secrets_are_used_by_a_running_gateway(tmp_path: Path, redis_url: str) -> None:
    key, hook, frontend = tmp_path / "key", tmp_path / "hook", tmp_path / "frontend"
    key.write_text("first-key")
    frontend.write_text("first-" + "f" * 32)
    hook.write_text("the first secret of the hook")
    sock = listening()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with upstream() as shelf:
        settings: Settings = load(
            {
                "BFF_PUBLIC_URL": url,
                "BFF_REDIS__URL": redis_url,
                "BFF_REDIS__TIMEOUT": "10",
                "BFF_ADMISSION__LAG": "10",
                "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{shelf.port}",
                "BFF_UPSTREAMS__SHELF__TIMEOUT": "10",
                "BFF_UPSTREAMS__SHELF__HEADERS__X-KEY_FILE": str(key),
                "BFF_CACHE__MAX_BYTES": "0",
                "BFF_WEBHOOKS__CMS__SECRET_FILE": str(hook),
                "BFF_HTTP__FRONTENDS__WEB__SECRETS_FILE": str(frontend),
                "BFF_HTTP__FRONTENDS__WEB__NETWORKS": '["127.0.0.0/8"]',
            }
        )
        gateway = declare(settings)
        async with serving(gateway, sock), httpx.AsyncClient(base_url=url, timeout=GUARD) as client:

            async def sent() -> str:
                assert (await client.get("/api/open/ok")).status_code == 200
                return shelf.last.headers["x-key"]

            async def of_frontend(secret: str) -> int:
                given = {"bff-frontend": secret + "f" * 32}
                return (await client.get("/api/open/ok", headers=given)).status_code

            assert await sent() == "first-key"
            assert [await of_frontend("first-"), await of_frontend("second-")] == [200, 403]
            frontend.write_text("second-" + "f" * 32)
            key.write_text("second-key\n")
            hook.write_text("the second secret of the hook")
            async with asyncio.timeout(GUARD):
                while await sent() != "second-key":
                    await asyncio.sleep(0.05)
            assert settings.webhooks["cms"].secret.get_secret_value() == "the second secret of the hook"
            assert [await of_frontend("first-"), await of_frontend("second-")] == [403, 200]
            await gateway.stop()
