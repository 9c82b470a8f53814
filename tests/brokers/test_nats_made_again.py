"""A JetStream stream that was deleted and made again, as after a lost disk: its sequences begin at 1."""

from __future__ import annotations

import contextlib

import nats
import pytest

from bff.calls import SagaStatus
from bff.live.ingest import Ingester, Intake, Registry
from bff.live.ingest.nats import NatsJetStream
from bff.stores.dead_letters import DeadLetters
from bff.stores.journal import Journal
from bff.stores.link import RedisLink
from bff.stores.values import Values

from .conftest import STREAM, NatsRig, until
from .servers import Nats
from .test_contract import event, top


async def test_events_of_a_stream_that_was_made_again_are_read(redis_url: str, nats_server: Nats) -> None:
    rig = NatsRig(redis_url, nats_server)
    await rig.prepare()
    async with RedisLink(redis_url) as link:
        intake = Intake(Journal(link), Values(link), Registry({"order": SagaStatus}, {}), DeadLetters(link))

        def reader() -> Ingester:
            return Ingester(link, intake, NatsJetStream(link, nats_server.url, STREAM, block=0.1))

        async with reader():
            await rig.publish(*(event("before", version) for version in range(1, 21)))

            async def first() -> bool:
                return await top(link) == 20

            await until(first)
        client = await nats.connect(nats_server.url)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(client.close)
            await client.jetstream().delete_stream(STREAM)
            await client.jetstream().add_stream(name=STREAM, subjects=["events.>"])
        await rig.publish(*(event("after", version) for version in range(1, 6)))
        async with reader():

            async def second() -> bool:
                return await top(link) == 25

            try:
                await until(second, seconds=8)
            except TimeoutError:
                pytest.fail(f"{await top(link) - 20} of 5 events of the new stream were read")
