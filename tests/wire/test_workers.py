"""`bff serve` with two workers: connections, health, metrics, and restarts: one after the other, and after a death."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Valkey
from ..programs import parents_of_processes
from ..waiting import GUARD, until
from .served_workers import Connection, ServedWorkers, ask, pids, served_workers, streams

ANSWERED = {
    "http_request_method": "GET",
    "http_route": "/process",
    "http_response_status_code": "200",
    "error_type": "",
    "bff_kind": "screen",
}


@pytest.fixture(scope="module")
def served(valkey_session: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedWorkers]:
    """Two workers; a test leaves both ready. They end their last connections in any time that a busy machine needs."""
    with served_workers(tmp_path_factory.mktemp("worked"), valkey_session.url, BFF_HTTP__LINGER="60") as made:
        made.start()
        made.up()
        yield made


async def test_connections_that_are_kept_are_spread_over_the_workers(served: ServedWorkers) -> None:
    answered = await pids(served.port, 64)
    counts = [answered.count(pid) for pid in served.workers()]
    # Each of 64 connections goes to one of two at random: fewer than 8 for one come once in 10^10 runs.
    assert len(counts) == 2 and sum(counts) == 64 and min(counts) >= 8


async def test_health_is_that_of_all_workers_each_by_its_number(served: ServedWorkers) -> None:
    ready, live = served.get("/readyz"), served.get("/livez")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert set(ready.json()["workers"]) == {"0", "1"}
    assert ready.json()["workers"]["1"]["dependencies"]["redis"]["state"] == "up"
    assert live.json() == {"status": "alive", "workers": {"0": {"status": "alive"}, "1": {"status": "alive"}}}
    other = served.get("/process")
    assert (other.status_code, other.json()["code"]) == (404, "not-found")
    assert served.get("/.well-known/jwks.json").status_code == 404


async def test_metrics_are_the_sum_of_all_workers_and_states_have_the_workers_number(
    served: ServedWorkers,
) -> None:
    labels = ANSWERED
    before = served.value("http_server_request_duration_seconds_count", **labels) or 0.0
    answered = await pids(served.port, 40)
    assert len(set(answered)) == 2
    assert served.value("http_server_request_duration_seconds_count", **labels) == before + 40
    assert (served.value("http_server_request_duration_seconds_bucket", **labels, le="+Inf") or 0) >= 40
    opened = await streams(served.port, 6)
    assert served.value("bff_stream_open") == 6
    for task in opened:
        task.cancel()
    await asyncio.gather(*opened, return_exceptions=True)
    other = served.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert other.headers["content-type"].startswith("application/openmetrics-text")
    assert other.text.endswith("# EOF\n") and "\nbff_worker_up{" in other.text
    page = served.samples()
    for name in ("bff_loop_lag_seconds", "process_resident_memory_bytes", "bff_worker_up"):
        assert {labels for found, labels in page if found == name} == {
            frozenset({("worker", "0")}),
            frozenset({("worker", "1")}),
        }


async def test_a_rolling_restart_loses_no_request_serves_the_new_code_and_ends_streams_with_bye(
    served: ServedWorkers,
) -> None:
    before, counted = served.workers(), served.counters()
    opened = await streams(served.port, 6)
    clients = [Connection(served.port) for _ in range(20)]
    versions: list[int] = []
    complete = asyncio.Event()

    async def ask_on(client: Connection) -> None:
        while not (complete.is_set() and len(versions) >= 1_000 and client.closed):
            # Any failure fails the test.
            versions.append((await client.get())["version"])
            await asyncio.sleep(0.01)

    served.write(version=2)
    asking = [asyncio.create_task(ask_on(client), name=f"client {n}") for n, client in enumerate(clients)]
    served.signal(signal.SIGHUP)
    await served.rolled()
    complete.set()
    await asyncio.wait_for(asyncio.gather(*asking), GUARD)
    assert versions[0] == 1 and len(versions) >= 1_000
    # Each client was asked to connect again by the worker it had. Until that one has read that it has a successor, it
    # may accept the new connection, and asks again.
    latest: list[int] = []

    async def renewed() -> bool:
        versions.extend(latest)
        latest[:] = [(await client.get())["version"] for client in clients]
        return latest == [2] * len(clients)

    await until(renewed)
    ends = await asyncio.wait_for(asyncio.gather(*opened), GUARD)
    assert all("event: bye" in text for text in ends), ends
    for client in clients:
        client.close()
    labels = frozenset(ANSWERED.items())
    while len(served.workers()) > 2 or before & served.workers():
        after = served.counters()
        assert {key: value for key, value in counted.items() if after[key] < value} == {}
        await asyncio.sleep(0.01)
    # The last figures of a worker are read just after its end.
    asked = counted["http_server_request_duration_seconds_count", labels] + len(versions) + len(clients)
    await until(lambda: served.counters()["http_server_request_duration_seconds_count", labels] == asked)


async def test_a_killed_worker_is_started_again_and_meanwhile_the_others_take_its_connections(
    served: ServedWorkers,
) -> None:
    killed, other, counted = served.pid_of(0), served.pid_of(1), served.counters()
    hang = served.folder / "hang"
    hang.touch()
    try:
        os.kill(killed, signal.SIGKILL)
        await until(lambda: served.get("/readyz").json()["workers"]["0"] == {"status": "starting"})
        # The kernel still gives every second connection to the dead worker's socket.
        assert set(await pids(served.port, 40)) == {other}
        unready = served.get("/readyz")
        assert (unready.status_code, unready.json()["status"]) == (503, "starting")
        assert served.get("/livez").status_code == 200, "it is being started already"
    finally:
        hang.unlink()
    await asyncio.to_thread(served.up)
    assert f"worker 0 (process {killed}) ended by SIGKILL; it is started again in 1 s" in served.log()
    assert set(await pids(served.port, 64)) == {served.pid_of(0), other} == served.workers()
    after = served.counters()
    assert {key: value for key, value in counted.items() if after[key] < value} == {}
    assert served.value("bff_worker_restarts_total", worker="0") == 1


async def test_a_worker_that_does_not_answer_is_named_and_its_counters_stay(served: ServedWorkers) -> None:
    frozen, counted = served.pid_of(1), served.counters()
    os.kill(frozen, signal.SIGSTOP)
    try:
        ready, live = served.get("/readyz"), served.get("/livez")
        page = served.samples()
    finally:
        os.kill(frozen, signal.SIGCONT)
    assert (ready.status_code, ready.json()["status"]) == (503, "no answer")
    assert (live.status_code, live.json()["status"]) == (503, "no answer")
    states = {index: one["status"] for index, one in ready.json()["workers"].items()}
    assert states == {"0": "ready", "1": "no answer"}
    assert page["bff_worker_up", frozenset({("worker", "1")})] == 0
    assert ("bff_loop_lag_seconds", frozenset({("worker", "1")})) not in page
    assert {key: value for key, value in counted.items() if page[key] < value} == {}
    await asyncio.to_thread(served.up)


async def test_a_rolling_restart_ends_at_a_mistake_and_the_old_workers_go_on(served: ServedWorkers) -> None:
    before = served.workers()
    served.write(version=3, end="def broken(:")
    served.signal(signal.SIGHUP)
    await until(lambda: "the rolling restart ended at worker 0" in served.log(), seconds=2 * GUARD)
    assert "worked_app cannot be imported" in served.log()
    assert served.workers() == before
    assert set(await pids(served.port, 64)) == before
    assert served.get("/readyz").status_code == 200


async def test_a_process_without_a_parent_is_reaped_when_it_ends(served: ServedWorkers) -> None:
    left = (await ask(served.port, "/leave"))["pid"]
    await until(lambda: parents_of_processes()[left] == served.process.pid)
    os.kill(left, signal.SIGKILL)
    # A zombie would still be a process.
    await until(lambda: left not in parents_of_processes())


async def test_after_sigterm_to_every_process_streams_end_with_bye_and_the_exit_code_is_0(
    redis_url: str, tmp_path: Path
) -> None:
    with served_workers(tmp_path, redis_url) as made:
        made.start()
        made.up()
        workers = made.workers()
        opened = await streams(made.port, 6)
        made.signal(signal.SIGTERM)
        for pid in workers:
            # As systemd does: a worker must not take it for a second signal.
            os.kill(pid, signal.SIGTERM)
        ends = await asyncio.wait_for(asyncio.gather(*opened), GUARD)
        assert all("event: bye" in text for text in ends)
        assert await made.ended() == 0
        assert not workers & set(parents_of_processes())
        assert "Traceback" not in made.log()
