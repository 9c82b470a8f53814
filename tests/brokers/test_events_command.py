"""`bff events publish` and `tail` with NATS and RabbitMQ."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bff.cli.main import main
from bff.live.ingest import Broker, EventDispatcher, Ingester
from bff.live.ingest.nats import NatsJetStream
from bff.live.ingest.rabbitmq import RabbitMq
from bff.stores.dead_letters import DeadLetters
from bff.stores.journal import Journal
from bff.stores.progress import Positions
from bff.stores.redis.client import RedisClient

from .conftest import STREAM, NatsRig, until
from .servers import Nats, Rabbit
from .test_contract import OWNER, event, new_dispatcher

Publish = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_url: str) -> Publish:
    async def run(
        body: bytes, *options: str, command: str = "publish", **settings: str
    ) -> tuple[int, str, str]:
        monkeypatch.setenv("BFF_REDIS__URL", redis_url)
        for name, value in settings.items():
            monkeypatch.setenv(f"BFF_LIVE__{name}", value)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(body)))
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["events", command, *options])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as opened:
        yield opened


def reading(link: RedisClient, dispatcher: EventDispatcher, broker: Broker) -> Ingester:
    return Ingester(link, dispatcher, broker)


async def test_an_event_for_nats_is_read_or_a_dead_letter(
    publish: Publish, link: RedisClient, redis_url: str, nats_server: Nats
) -> None:
    await NatsRig(redis_url, nats_server).prepare()
    settings = {"NATS__URL": nats_server.url, "NATS__STREAM": STREAM}
    code, _, err = await publish(event("o1", 1), **settings)
    assert code == 1 and "name a subject, one of events.>" in err
    broker = NatsJetStream(Positions(link), nats_server.url, STREAM, block=0.1)
    async with reading(link, new_dispatcher(link), broker):
        code, out, err = await publish(event("o1", 1), "--key", "events.orders", **settings)
        assert (code, err) == (0, "") and f"nats:{STREAM} 1 published" in out
        assert await Journal(link).saga(OWNER, "order", "o1") is not None
        code, out, _ = await publish(b"[]", "--key", "events.orders", **settings)
        assert code == 1 and "It is a dead letter, " in out and "not a JSON object" in out


async def test_a_broker_that_is_away_or_takes_no_such_subject_is_named(
    publish: Publish, redis_url: str, nats_server: Nats
) -> None:
    await NatsRig(redis_url, nats_server).prepare()
    settings = {"NATS__URL": nats_server.url, "NATS__STREAM": STREAM}
    code, _, err = await publish(b"{}", "--key", "others.x", **settings)
    assert code == 1 and err.startswith(f"not published: NATS, stream '{STREAM}'")
    settings |= {"NATS__URL": "nats://127.0.0.1:1", "NATS__TIMEOUT": "1"}
    code, _, err = await publish(b"{}", "--key", "events.x", **settings)
    assert code == 1 and err.startswith(f"not published: NATS, stream '{STREAM}'")


async def test_tail_shows_the_last_events_of_nats_and_those_that_arrive(
    publish: Publish, redis_url: str, nats_server: Nats
) -> None:
    rig = NatsRig(redis_url, nats_server)
    await rig.prepare()
    await rig.publish(*(event("o1", version) for version in range(1, 6)))
    settings = {"NATS__URL": nats_server.url, "NATS__STREAM": STREAM}
    code, out, err = await publish(b"", "--last", "2", "--count", "2", command="tail", **settings)
    assert (code, err) == (0, "")
    assert [line.split(" ")[:2] for line in out.splitlines()] == [
        [f"nats:{STREAM}", "4"],
        [f"nats:{STREAM}", "5"],
    ]
    assert out.splitlines()[1].endswith(f"s shop.order.status o1 #5 RUNNING ship of {OWNER}")
    following = asyncio.create_task(publish(b"", "--last", "0", "--count", "1", command="tail", **settings))
    while not following.done():
        # It begins with what arrives after it has started.
        await rig.publish(event("o2", 1))
        await asyncio.wait([following], timeout=0.5)
    assert " o2 #1 " in (await following)[1]


async def test_tail_takes_no_event_of_rabbitmq_from_the_gateway(publish: Publish) -> None:
    settings = {"RABBITMQ__URL": "amqp://127.0.0.1:1/", "RABBITMQ__QUEUES": '["one"]'}
    code, _, err = await publish(b"", command="tail", **settings)
    assert code == 1 and "a queue of RabbitMQ has one reader" in err


@pytest.mark.slow
async def test_an_event_for_rabbitmq_is_confirmed_and_read(
    publish: Publish, link: RedisClient, rabbit_server: Rabbit
) -> None:
    settings = {"RABBITMQ__URL": rabbit_server.url, "RABBITMQ__QUEUES": '["tried"]'}
    async with reading(link, new_dispatcher(link), RabbitMq(rabbit_server.url, ["tried"], block=0.1)):

        async def published() -> bool:
            # The queue exists as soon as the reader has opened it.
            return (await publish(event("o1", 1), **settings))[0] == 0

        await until(published)

        async def arrived() -> bool:
            return await Journal(link).saga(OWNER, "order", "o1") is not None

        await until(arrived)
    code, _, err = await publish(b"{}", "--key", "no-such-queue", **settings)
    assert code == 1 and err.startswith("not published: RabbitMQ")
    assert await DeadLetters(link).page(1) == []
