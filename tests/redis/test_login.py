"""Passwords of Redis with any characters, those that change, and tokens that are valid for minutes; certificates that
change; and a server that tells nothing about itself."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bff.calls import SagaStatus
from bff.edge.app.network import Connections
from bff.edge.app.redis import redis_client
from bff.edge.settings import Settings, SettingsError, load
from bff.stores.journal import Entry, Journal
from bff.stores.redis.client import RedisClient, StoreUnavailable
from bff.stores.redis.connection import pack
from bff.stores.redis.health import RedisHealth
from bff.stores.redis.login import FetchedLogin, RedisLogin, StoredLogin
from bff.stores.redis.node import Node
from bff.stores.redis.subscriptions import Subscriptions

from ..conftest import Valkey, free_port
from ..waiting import GUARD
from ..wire.authority import Authority
from .conftest import cluster_client
from .test_sentinel import Sentinel
from .tls import Encrypted, certificate

ODD = 'p@ss:w/rd?#%2F [1] é {"a"}\''
RIGHTS = ["~bff:*", "~events:*", "&bff:*", "+@all", "-@admin", "-@dangerous", "+info"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    one = Valkey(folder).start()
    yield one
    one.stop()


async def allow(server: Valkey, user: str, *passwords: str) -> None:
    """These passwords of the user, and no others. The default user stays without one, for the test."""
    async with Redis.from_url(server.url) as admin:
        rules = ["reset", "on", *(f">{one}" for one in passwords), *RIGHTS]
        await admin.execute_command("ACL", "SETUSER", user, *rules)  # type: ignore[no-untyped-call]  # redis-py's is


async def kill(server: Valkey, user: str) -> None:
    async with Redis.from_url(server.url) as admin:
        await admin.execute_command("CLIENT", "KILL", "USER", user)  # type: ignore[no-untyped-call]


async def until(holds: Any) -> None:
    async with asyncio.timeout(GUARD):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def everything(redis: RedisClient) -> AsyncIterator[list[bytes]]:
    """The client with all kinds of connections: commands, pub/sub, blocking reads. Yields what is received."""
    received: list[bytes] = []
    async with redis, Subscriptions(redis, beat=0.05) as subscriptions:
        subscriptions.subscribe("bff:1:x", lambda channel, data: received.append(data))
        await subscriptions.wait_confirmed("bff:1:x", timeout=GUARD)
        await redis.call("SET", "bff:1:k", "v")
        apart = redis.dedicated(timeout=GUARD)
        assert await apart.get("bff:1:k") == b"v"
        await apart.aclose()
        await redis.call("PUBLISH", "bff:1:x", "one")
        await until(lambda: received == [b"one"])
        yield received


async def test_user_and_password_may_have_any_characters(server: Valkey) -> None:
    user = "ada:lovelace@x/y"
    await allow(server, user, ODD)
    settings = Settings.model_validate(
        {"redis": {"url": server.url, "username": user, "password": ODD, "timeout": 10}}
    )
    assert ODD not in repr(settings) + settings.model_dump_json()
    redis = redis_client(settings, Connections(settings.network))
    async with everything(redis):
        assert (await redis.call("ACL", "WHOAMI")).decode() == user


async def test_a_password_from_a_file_is_followed_on_open_connections_and_by_new_ones(
    server: Valkey, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    await allow(server, "app", "first", "second")
    settings = load(
        {
            "BFF_REDIS__URL": server.url,
            "BFF_REDIS__USERNAME": "app",
            "BFF_REDIS__PASSWORD_FILE": str(file),
            "BFF_REDIS__TIMEOUT": "10",
        }
    )
    files = settings.secret_files
    assert files is not None
    async with everything(redis_client(settings, Connections(settings.network))) as received:
        redis = redis_client(settings, Connections(settings.network))
        async with redis:
            await redis.ping()
            before = await acl_successes(server)
            file.write_text("second\n")
            await files.watch.check()
            async with asyncio.timeout(GUARD):
                while await acl_successes(server) == before:
                    await redis.ping()
                    await asyncio.sleep(0.05)
            # Only the new one from now on; connections that are opened again use it.
            await allow(server, "app", "second")
            await kill(server, "app")
            async with asyncio.timeout(GUARD):
                while True:
                    try:
                        await redis.ping()
                        break
                    except StoreUnavailable:
                        await asyncio.sleep(0.02)
            assert received


async def acl_successes(server: Valkey) -> int:
    """How often AUTH succeeded at this server."""
    async with Redis.from_url(server.url) as admin:
        found = (await admin.info("commandstats")).get("cmdstat_auth", {})
        return int(found.get("calls", 0)) - int(found.get("failed_calls", 0))


class Cloud:
    """Issues tokens and lets the server accept each for a while, as a cloud's IAM does."""

    def __init__(self, server: Valkey, **times: float | None) -> None:
        self.server = server
        self.times = times
        self.issued = 0
        self.stuck: asyncio.Event | None = None

    async def __call__(self) -> RedisLogin:
        if self.stuck is not None:
            await self.stuck.wait()
        self.issued += 1
        await allow(self.server, "iam", f"token-{self.issued}")
        return RedisLogin(f"token-{self.issued}", "iam", **self.times)


async def test_each_new_connection_gets_a_token_of_its_own_from_the_function(server: Valkey) -> None:
    cloud = Cloud(server)
    redis = RedisClient(server.url, timeout=10, login=FetchedLogin(cloud))
    async with everything(redis) as received:
        assert cloud.issued == 3, "for commands, pub/sub and the blocking reads"
        await kill(server, "iam")
        async with asyncio.timeout(GUARD):
            # The connection for commands is opened again by the next command. Both may wait for the same fetch.
            while cloud.issued < 4 or b"two" not in received:
                with suppress(StoreUnavailable):
                    await redis.call("PUBLISH", "bff:1:x", "two")
                await asyncio.sleep(0.02)


async def test_a_token_serves_new_connections_as_long_as_it_is_valid(server: Valkey) -> None:
    cloud = Cloud(server, valid_for=900.0)
    async with everything(RedisClient(server.url, timeout=10, login=FetchedLogin(cloud))):
        assert cloud.issued == 1


async def test_open_connections_authenticate_again_before_the_server_ends_them(server: Valkey) -> None:
    now = [1000.0]
    cloud = Cloud(server, valid_for=60.0, connection_for=120.0)
    source = FetchedLogin(cloud, clock=lambda: now[0])
    redis = RedisClient(server.url, timeout=10, login=source)
    before = redis.generation
    async with everything(redis) as received:
        assert cloud.issued == 1
        generation = redis.generation
        assert generation == before, "a connection that waited for the first login stays"
        now[0] += 10_000
        assert redis.generation != generation, "subscribed connections are replaced"
        await until(lambda: cloud.issued >= 2)

        async def heard() -> bool:
            await redis.call("PUBLISH", "bff:1:x", "two")
            return b"two" in received

        async with asyncio.timeout(GUARD):
            while not await heard():
                await asyncio.sleep(0.05)


async def test_many_connections_wait_for_one_fetch_that_is_slower_than_redis_may_be(server: Valkey) -> None:
    cloud = Cloud(server, valid_for=900.0)
    cloud.stuck = asyncio.Event()
    source = FetchedLogin(cloud)
    async with RedisClient(server.url, timeout=0.2, login=source) as redis:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await redis.ping()
        cloud.stuck.set()
        async with asyncio.timeout(GUARD):
            while True:
                try:
                    await redis.ping()
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.01)
        assert cloud.issued == 1


async def test_a_function_that_fails_is_named_without_what_it_says(
    server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers: list[Any] = [RuntimeError("token=hunter2"), "hunter2", RedisLogin("")]

    async def fetch() -> Any:
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with RedisClient(server.url, timeout=10, login=FetchedLogin(fetch)) as redis:
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="the login for Redis cannot be fetched") as raised:
                await redis.ping()
            assert "hunter2" not in str(raised.value)
    assert "hunter2" not in json.dumps([vars(record) for record in caplog.records], default=str)


def test_a_login_shows_no_password() -> None:
    assert "hunter2" not in repr(RedisLogin("hunter2", "me"))


async def test_a_refused_new_password_leaves_the_open_connection_as_it_was(server: Valkey) -> None:
    await allow(server, "app", "right")
    password = ["right"]
    source = StoredLogin(lambda: RedisLogin(password[0], "app"))
    async with RedisClient(server.url, timeout=10, login=source) as redis:
        await redis.ping()
        password[0] = "wrong"
        await until(lambda: redis.outage.current is not None)
        assert "WRONGPASS" in redis.outage.current.refusals  # type: ignore[union-attr]
        await redis.ping()
        assert await redis.call("ACL", "WHOAMI") == b"app"


# ---- managed services --------------------------------------------------------------------------------------------


async def test_a_server_that_refuses_info_and_config_is_used_and_its_risk_is_named(server: Valkey) -> None:
    async with Redis.from_url(server.url) as admin:
        rules = ["on", ">x", "~bff:*", "&bff:*", "+@all", "-@admin", "-@dangerous", "-info", "-config"]
        await admin.execute_command("ACL", "SETUSER", "managed", *rules)  # type: ignore[no-untyped-call]
    login = StoredLogin(lambda: RedisLogin("x", "managed"))
    async with RedisClient(server.url, timeout=10, login=login) as redis:
        health = RedisHealth(redis, once_only=True)
        assert await health.probe_failure() is None
        saga = SagaStatus(id="o1", type="order", status="RUNNING", version=1, at="2026-01-01T00:00:00Z")
        await Journal(redis).append("ada", Entry.of(saga, now_ms=1))
        warnings = await health.inspect()
        assert any("replication id" in warning for warning in warnings)
        assert any("refuses CONFIG GET" in warning for warning in warnings)
        assert (await health.report())["state"] == "up"


async def test_a_server_that_has_no_info_and_no_config_at_all_is_used(tmp_path: Path) -> None:
    """As some services rename them away."""
    folder = tmp_path / "renamed"
    folder.mkdir()
    one = Valkey(folder, args=("--rename-command", "INFO", "", "--rename-command", "CONFIG", "")).start()
    try:
        async with RedisClient(one.url, timeout=10) as redis:
            health = RedisHealth(redis, once_only=True)
            assert await health.probe_failure() is None
            assert len(await health.inspect()) == 2
    finally:
        one.stop()


# ---- TLS ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_settings_certificates_are_used_and_followed_by_every_connection(tmp_path: Path) -> None:
    """The server asks for a certificate of the client; both are replaced while the client is connected."""
    (tmp_path / "server").mkdir()
    chain = certificate(tmp_path, "127.0.0.1")
    one = Encrypted(tmp_path / "server", port=free_port(), chain=chain)
    one.start()
    mine = tmp_path / "mine"
    mine.mkdir()
    for name, file in (("ca.pem", chain[0]), ("me.pem", chain[0]), ("me.key", chain[1])):
        (mine / name).write_bytes(file.read_bytes())
    tls = {"ca": str(mine / "ca.pem"), "cert": str(mine / "me.pem"), "key": str(mine / "me.key")}
    settings = Settings.model_validate(
        {"redis": {"url": f"rediss://127.0.0.1:{one.port}", "tls": tls, "timeout": 10}}
    )
    connections = Connections(settings.network)
    try:
        redis = redis_client(settings, connections)
        async with everything(redis):
            other = Authority(tmp_path / "other", "other")
            (mine / "ca.pem").write_bytes(other.file.read_bytes())
            await connections.trusts[-1].watch.check()
            apart = redis.dedicated(timeout=5)
            with pytest.raises(Exception, match="certificate verify failed"):
                await apart.get("k")
            await apart.aclose()
        for url in (f"rediss://127.0.0.1:{one.port}", f"redis://127.0.0.1:{one.port}"):
            async with RedisClient(url, timeout=2) as untrusting:
                with pytest.raises(StoreUnavailable):
                    await untrusting.ping()
    finally:
        one.stop()


@pytest.mark.slow
async def test_the_authority_for_all_is_trusted_for_redis_too(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    chain = certificate(tmp_path, "127.0.0.1")
    one = Encrypted(tmp_path / "server", port=free_port(), chain=chain)
    one.args = ("--tls-auth-clients", "no")
    one.start()
    try:
        settings = Settings.model_validate(
            {
                "network": {"ca": str(chain[0])},
                "redis": {"url": f"rediss://127.0.0.1:{one.port}", "timeout": 10},
            }
        )
        async with everything(redis_client(settings, Connections(settings.network))):
            pass
    finally:
        one.stop()


@pytest.mark.parametrize(
    ("redis", "said"),
    [
        ({"URL": "redis://:x@h", "PASSWORD": "y"}, "set one of the two"),
        ({"URL": "redis://h/0?password=x", "PASSWORD": "y"}, "set one of the two"),
        ({"USERNAME": "me"}, "username needs a password"),
        ({"URL": "redis://h", "TLS__CA": "ca.pem"}, "the url does not begin with rediss"),
        ({"URL": "rediss://h?ssl_ca_certs=a", "TLS__CA": "ca.pem"}, "ssl_ options; set one of the two"),
    ],
)
def test_settings_of_redis_that_contradict_each_other_are_refused(redis: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load({f"BFF_REDIS__{name}": value for name, value in redis.items()})


# ---- Sentinels and clusters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.slow
async def test_the_sentinels_and_the_master_have_passwords_and_certificates_of_their_own(
    tmp_path: Path, tls: bool
) -> None:
    for name in ("master", "guard"):
        (tmp_path / name).mkdir()
    secured = ("--requirepass", ODD)
    if tls:
        chain = certificate(tmp_path, "127.0.0.1")
        master: Valkey = Encrypted(tmp_path / "master", args=secured, chain=chain).start()
    else:
        master = Valkey(tmp_path / "master", args=secured).start()
    guard = Sentinel(tmp_path / "guard", program=master.program).over(master)
    config = tmp_path / "guard" / "sentinel.conf"
    # The Sentinel itself asks the master, too.
    own = f"sentinel auth-pass shop {json.dumps(ODD, ensure_ascii=False)}"
    config.write_text(f'{config.read_text()}{own}\nrequirepass "sentinel secret"\n')
    if isinstance(master, Encrypted):
        guard.extra = replace(master, port=guard.port).tls
    redis: dict[str, Any] = {
        "url": f"{'rediss' if tls else 'redis'}+sentinel://127.0.0.1:{guard.port}/shop",
        "password": ODD,
        "sentinel_password": "sentinel secret",
        "timeout": 10,
    }
    if tls:
        redis["tls"] = {"ca": str(chain[0]), "cert": str(chain[0]), "key": str(chain[1])}
    settings = Settings.model_validate({"redis": redis})
    try:
        guard.start()
        async with everything(redis_client(settings, Connections(settings.network))):
            pass
        wrong = settings.model_copy(
            update={"redis": settings.redis.model_copy(update={"sentinel_password": None})}
        )
        async with redis_client(wrong, Connections(settings.network)) as refused:
            with pytest.raises(StoreUnavailable, match=r"NOAUTH|Authentication"):
                await refused.ping()
    finally:
        guard.stop()
        master.stop()


async def test_every_node_of_a_cluster_gets_the_login(nodes: list[Valkey]) -> None:
    async with cluster_client(nodes):
        for node in nodes:
            await allow(node, "app", ODD)
            async with Redis.from_url(node.url) as admin:
                more = ("+cluster|slots", "+ssubscribe", "+spublish")
                await admin.execute_command("ACL", "SETUSER", "app", *more)  # type: ignore[no-untyped-call]
        login = StoredLogin(lambda: RedisLogin(ODD, "app"))
        url = f"redis+cluster://127.0.0.1:{nodes[0].port}"
        async with RedisClient(url, timeout=10, login=login) as redis:
            for number in range(20):
                assert await redis.call("SET", f"bff:1:{number}", number) == b"OK"
            assert {await one for one in map(_whoami, await redis._nodes.all_nodes())} == {b"app"}  # type: ignore[union-attr]


async def _whoami(node: Node) -> bytes:
    answer: bytes = await node.submit(pack(("ACL", "WHOAMI")), None)
    return answer
