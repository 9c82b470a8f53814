"""An event that Redis had confirmed, and lost in a crash before it was read, reached open streams only when they were
opened again.

Input: a service publishes an event; Redis confirms it and is killed before it is on the disk. The journals are
unchanged, so comparing positions finds nothing, and the streams had the old status until their end (10 minutes).

Right: after a new replication id of Redis the services are asked for each owner with an open stream, within 40 s and
spread, as after a broker that dropped unread events. Where nothing was lost, streams receive nothing. Source:
docs/contract.md, docs/redis.md.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bff.calls import Principal, SagaStatus

from ..conftest import Valkey
from ..waiting import until
from ..wire.test_stream import AT, Client, client, world


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Valkey]:
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = Valkey(folder, args=("--appendonly", "yes", "--appendfsync", "always")).start()
    yield server
    server.stop()


class Service:
    """The version that the service has published of each owner's one saga."""

    def __init__(self) -> None:
        self.versions = {"ada": 1, "bob": 1}
        self.asked: list[str] = []
        self.away = False

    async def __call__(self, principal: Principal) -> Sequence[SagaStatus]:
        self.asked.append(principal.subject)
        if self.away:
            raise RuntimeError("away")
        version = self.versions[principal.subject]
        return [SagaStatus(id="o1", type="order", status="RUNNING", version=version, at=AT)]


async def version_of(stream: Client, version: int) -> str:
    """How the stream received this version."""
    while True:
        event = await stream.next()
        assert event is not None
        rows = [event.data] if event.name == "saga" else event.data.get("sagas", [])
        if version in [row["version"] for row in rows]:
            return event.name


async def test_after_a_crash_of_redis_open_streams_receive_events_that_were_lost_unread(
    durable: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.live.restore.SPREAD", 1.0)
    service = Service()
    async with (
        world(durable.url, restore=service, beat=0.1) as one,
        client(one) as ada,
        client(one, who="bob") as bob,
    ):
        for stream in (ada, bob):
            assert await version_of(stream, 1) == "snapshot"
        service.asked.clear()
        # Published, confirmed, and lost in the crash.
        service.versions["ada"] = 2
        durable.stop(signal.SIGKILL)
        durable.start()
        assert await version_of(ada, 2) in ("saga", "reset")
        await until(lambda: one.hub.restoring == 0 and sorted(set(service.asked)) == ["ada", "bob"])
        assert sorted(service.asked) == ["ada", "bob"], "once for each"
        for _ in range(3):
            event = await bob.next(beats=True)
            assert event is not None and event.name == "beat", "none of his events was lost"


async def test_streams_receive_events_of_their_sagas_while_the_services_are_away(redis_url: str) -> None:
    service = Service()
    async with world(redis_url, restore=service, beat=0.1) as one, client(one) as ada:
        assert await version_of(ada, 1) == "snapshot"
        place = ada.cursor
        service.away = True
        await one.redis.call("FLUSHALL")
        one.hub._recovery.check_soon()
        await until(lambda: service.asked.count("ada") > 1)
        async with client(one, who="ada") as new:
            await one.tell("o2", 1)
            told = await ada.next()
            assert told is not None
            assert (told.name, told.id, told.data["id"]) == ("saga", None, "o2")
            assert ada.cursor == place
            event = await new.next(beats=True)
            assert event is not None and event.name == "beat", "a stream without a state receives none"
        service.away = False
        # The events of the restore are published, too, and may arrive before.
        told = await ada.until("reset")
        assert sorted(row["id"] for row in told.data["sagas"]) == ["o1", "o2"]
