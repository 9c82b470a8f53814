"""What Redis had confirmed, nobody had read, and a crash lost was told to open streams only when they were opened anew.

Put in: a service publishes an event, Redis confirms it and is killed before it is on the disk. The journals are found
as they were, so comparing positions finds nothing, and the streams kept the old status until their end (10 minutes).

Right: in a new life of Redis the services are asked for each owner with an open stream within 40 s, spread, as after a
bus that dropped events unread. Where nothing was lost nobody is told anything. Source: docs/contract.md, docs/redis.md.
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
    """What it has said of each owner's one saga: its version."""

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
    """How the stream told of this version."""
    while True:
        event = await stream.next()
        assert event is not None
        rows = [event.data] if event.name == "saga" else event.data.get("sagas", [])
        if version in [row["version"] for row in rows]:
            return event.name


async def test_after_a_crash_of_redis_open_streams_are_told_what_was_lost_unread(
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
        # Published, confirmed, and gone with the crash.
        service.versions["ada"] = 2
        durable.stop(signal.SIGKILL)
        durable.start()
        assert await version_of(ada, 2) in ("saga", "reset")
        await until(lambda: one.hub.restoring == 0 and sorted(set(service.asked)) == ["ada", "bob"])
        assert sorted(service.asked) == ["ada", "bob"], "once for each"
        for _ in range(3):
            event = await bob.next(beats=True)
            assert event is not None and event.name == "beat", "nothing of his was lost"


async def test_streams_hear_of_their_sagas_while_the_services_cannot_be_asked(redis_url: str) -> None:
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
            assert event is not None and event.name == "beat", "who has no state is told none"
        service.away = False
        # What the restore brings is published, too, and may be told before.
        told = await ada.until("reset")
        assert sorted(row["id"] for row in told.data["sagas"]) == ["o1", "o2"]
