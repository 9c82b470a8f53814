"""Brokers behind TLS of a private authority, and behind a proxy that alone knows their names."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aio_pika
import nats
import pytest

from bff.live.ingest import Broker, BrokerUnavailable
from bff.live.ingest.nats import NatsJetStream
from bff.live.ingest.rabbitmq import RabbitMq
from bff.network import Network, Proxy, TlsTrust
from bff.stores.progress import Positions
from bff.stores.redis.client import RedisClient

from ..conftest import free_port
from ..wire.authority import Authority, Pair
from ..wire.forward_proxy import ForwardProxy, forward_proxy
from .servers import Nats, Rabbit

STREAM = "EVENTS"
USER, PASSWORD = "ada", "s3cret%2F"


async def on_loss(why: str) -> None:
    pass


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("inside"), "inside")


@pytest.fixture(scope="module")
def own(inside: Authority) -> Pair:
    return inside.pair("broker", host="broker.test")


@pytest.fixture(scope="module")
def nats_tls(tmp_path_factory: pytest.TempPathFactory, own: Pair, inside: Authority) -> Iterator[Nats]:
    """It accepts clients with a certificate of the same authority alone."""
    tls = ("--tls", "--tlscert", str(own.cert), "--tlskey", str(own.key), "--tlsverify")
    args = (*tls, "--tlscacert", str(inside.file), "--user", USER, "--pass", "s3cret/")
    server = Nats(tmp_path_factory.mktemp("nats"), args=args)
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def opened(broker: Broker) -> AsyncIterator[None]:
    try:
        await broker.open(on_loss)
        yield
    finally:
        await broker.close()


def network(proxy: ForwardProxy, trust: TlsTrust | None = None) -> Network:
    made = Proxy(proxy.url)
    return Network(proxy=made) if trust is None else Network(trust, made)


async def test_nats_is_read_over_tls_of_a_private_authority_through_the_proxy(
    nats_tls: Nats, inside: Authority, redis_url: str
) -> None:
    mine = inside.pair("gateway")
    trust = TlsTrust("nats", cert=mine.cert, key=mine.key, ca=inside.file)
    async with (
        RedisClient(redis_url, timeout=10) as redis,
        forward_proxy({"broker.test:4222": nats_tls.port}) as proxy,
    ):
        address = f"tls://{USER}:{PASSWORD}@broker.test"
        publisher = await nats.connect(
            f"nats://127.0.0.1:{nats_tls.port}",
            user=USER,
            password="s3cret/",
            tls=trust.context,
            tls_hostname="broker.test",
            allow_reconnect=False,
            max_reconnect_attempts=1,
        )
        with contextlib.suppress(Exception):
            await publisher.jetstream().delete_stream(STREAM)
        await publisher.jetstream().add_stream(name=STREAM, subjects=["events.>"])
        await publisher.jetstream().publish("events.orders", b"one")
        await publisher.close()
        broker = NatsJetStream(Positions(redis), address, STREAM, block=5, network=network(proxy, trust))
        async with opened(broker):
            ((event,),) = (await broker.read()).values()
            assert event.body == b"one"
        assert proxy.asked == ["CONNECT broker.test:4222 HTTP/1.1"]
        until = await broker.check()
        assert until is not None and until > datetime.now(UTC), "the end of the certificate"
        for refused in (network(proxy), network(proxy, TlsTrust("nats", ca=inside.file))):
            untrusting = NatsJetStream(Positions(redis), address, STREAM, network=refused, timeout=2)
            with pytest.raises(BrokerUnavailable) as raised:
                async with opened(untrusting):
                    pass
            assert "s3cret" not in f"{raised.value!r} {raised.value} {raised.value.__cause__!r}"


async def test_nothing_is_sent_to_a_nats_server_without_tls_when_its_address_asks_for_it(
    nats_server: Nats, redis_url: str
) -> None:
    async with RedisClient(redis_url, timeout=10) as redis:
        broker = NatsJetStream(
            Positions(redis), f"tls://{USER}:{PASSWORD}@127.0.0.1:{nats_server.port}", STREAM, timeout=2
        )
        with pytest.raises(BrokerUnavailable, match="the server offers no TLS"):
            async with opened(broker):
                pass


async def test_nats_over_websocket_and_the_proxy_are_refused_with_the_cure(redis_url: str) -> None:
    async with RedisClient(redis_url) as redis:
        with pytest.raises(ValueError, match="use nats:// or tls://"):
            NatsJetStream(
                Positions(redis), "wss://broker.test", STREAM, network=Network(proxy=Proxy("http://p.test"))
            )


@pytest.mark.slow
async def test_rabbitmq_is_read_over_tls_of_a_private_authority_through_the_proxy(
    tmp_path: Path, own: Pair, inside: Authority
) -> None:
    port = free_port()
    config = [
        f"listeners.ssl.default = 127.0.0.1:{port}",
        f"ssl_options.cacertfile = {inside.file}",
        f"ssl_options.certfile = {own.cert}",
        f"ssl_options.keyfile = {own.key}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
    ]
    server = Rabbit(tmp_path, config="\n".join(config) + "\n")
    mine = inside.pair("gateway")
    trust = TlsTrust("rabbitmq", cert=mine.cert, key=mine.key, ca=inside.file)
    try:
        server.start()
        async with await aio_pika.connect(server.url) as connection:
            channel = await connection.channel()
            await channel.declare_queue("events", durable=True)
            await channel.default_exchange.publish(aio_pika.Message(b"one"), "events")
        async with forward_proxy({"broker.test:5671": port}) as proxy:
            address = "amqps://guest:guest@broker.test/"
            broker = RabbitMq(address, ["events"], block=5, network=network(proxy, trust))
            async with opened(broker):
                ((event,),) = (await broker.read()).values()
                assert event.body == b"one"
            assert proxy.asked == ["CONNECT broker.test:5671 HTTP/1.1"]
            until = await broker.check()
            assert until is not None and until > datetime.now(UTC), "the end of the certificate"
            for refused in (network(proxy), network(proxy, TlsTrust("rabbitmq", ca=inside.file))):
                with pytest.raises(BrokerUnavailable):
                    async with opened(RabbitMq(address, ["events"], network=refused, timeout=5)):
                        pass
    finally:
        server.stop()
