"""`bff serve` with workers that do not start, hang or lose their parent: what is said, and that nothing is left."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from bff.calls import DeclarationError
from bff.cli.workers.process import ending
from bff.cli.workers.supervisor import listeners_of, serve_workers
from bff.cli.workers.worker import prepare
from bff.edge.settings import Settings

from ..programs import parents_of_processes
from ..waiting import GUARD, until
from .served_workers import ServedWorkers, ask, served_workers, streams


def gone(workers: set[int]) -> Callable[[], bool]:
    """Whether none of these processes is there any more."""
    return lambda: not workers & set(parents_of_processes())


async def test_a_mistake_in_the_application_is_said_once_and_ends_the_start(
    redis_url: str, tmp_path: Path
) -> None:
    with served_workers(tmp_path, redis_url, 3) as made:
        made.write(end="def broken(:")
        made.start()
        assert await made.ended() == 1
        said = made.log().splitlines()
        assert len(said) == 1, said
        assert said[0].startswith("worked_app:app: worked_app cannot be imported: ") and "line " in said[0]


async def test_a_worker_that_is_killed_at_its_start_ends_the_start_and_the_log_says_how(
    redis_url: str, tmp_path: Path
) -> None:
    with served_workers(tmp_path, redis_url, 3) as made:
        (tmp_path / "die").touch()
        made.start()
        assert await made.ended() == 1
        assert made.log().count("worker 0 ended by SIGKILL at its start") == 1
        assert "worker 1" not in made.log()


async def test_a_successor_that_is_not_ready_in_time_ends_the_restart_and_two_signals_end_all_at_once(
    redis_url: str, tmp_path: Path
) -> None:
    with served_workers(tmp_path, redis_url, BFF_WORKER_START="1", BFF_HTTP__LINGER="300") as made:
        made.start("--workers", "2")
        made.up()
        workers = made.workers()
        (tmp_path / "hang").touch()
        made.signal(signal.SIGHUP)
        await until(lambda: "worker 0 was not ready within 1 s" in made.log())
        await until(lambda: "the rolling restart ended at worker 0" in made.log())
        await until(lambda: made.workers() == workers)
        assert (await ask(made.port))["pid"] in workers

        opened = await streams(made.port, 8)
        made.signal(signal.SIGTERM)
        await until(lambda: made.get("/readyz").json()["status"] == "draining")
        assert made.get("/readyz").status_code == 503
        assert (await ask(made.port))["pid"] in workers, "it serves during the linger"
        made.signal(signal.SIGTERM)
        assert await made.ended() == 0, "now, not after the linger"
        await asyncio.gather(*opened, return_exceptions=True)
        assert gone(workers)()


async def test_workers_whose_parent_was_killed_end_their_streams_with_bye_and_are_gone(
    redis_url: str, tmp_path: Path
) -> None:
    with served_workers(tmp_path, redis_url) as made:
        made.start()
        made.up()
        workers = made.workers()
        opened = await streams(made.port, 4)
        made.signal(signal.SIGKILL)
        ends = await asyncio.wait_for(asyncio.gather(*opened), GUARD)
        assert all("event: bye" in text for text in ends)
        await until(gone(workers))
        listeners_of("127.0.0.1", made.port, 1)[0].close()


async def test_a_worker_that_is_starting_is_gone_when_its_parent_was_killed(
    redis_url: str, tmp_path: Path
) -> None:
    with served_workers(tmp_path, redis_url) as made:
        made.write(end="HERE.joinpath('importing').touch()\nimport time; time.sleep(1_000)")
        made.start()
        await until((tmp_path / "importing").exists)
        workers = made.workers()
        assert workers
        made.signal(signal.SIGKILL)
        await until(gone(workers))


@pytest.mark.slow
async def test_a_worker_whose_loop_is_blocked_is_gone_when_its_parent_was_killed(
    redis_url: str, tmp_path: Path
) -> None:
    with served_workers(tmp_path, redis_url) as made:
        made.start()
        made.up()
        workers = made.workers()
        blocked = asyncio.create_task(ask(made.port, "/block"))
        await until(lambda: made.get("/livez").json()["status"] == "no answer")
        made.signal(signal.SIGKILL)
        await until(gone(workers))
        await asyncio.gather(blocked, return_exceptions=True)


def test_a_port_on_which_another_gateway_with_workers_listens_is_refused() -> None:
    first = listeners_of("127.0.0.1", 0, 2)
    port = first[0].getsockname()[1]
    try:
        first[1].listen()
        with pytest.raises(DeclarationError, match=f"port {port} on 127.0.0.1 cannot be used"):
            listeners_of("127.0.0.1", port, 2)
    finally:
        for one in first:
            one.close()


def test_sockets_of_workers_share_a_port_that_the_system_chose() -> None:
    opened = listeners_of("127.0.0.1", 0, 3)
    try:
        assert len({one.getsockname() for one in opened}) == 1
        assert all(one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for one in opened)
    finally:
        for one in opened:
            one.close()


def test_workers_where_the_kernel_does_not_spread_connections_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(DeclarationError, match=r"2 workers need Linux.*BFF_WORKERS to 1"):
        serve_workers("worked_app:app", Settings(workers=2), False)


def test_the_local_share_of_a_limit_is_divided_by_the_workers_of_all_gateways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ServedWorkers(tmp_path, {}).write()
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in (("WORKERS", "4"), ("LIMITS__REPLICAS", "3")):
        monkeypatch.setenv(f"BFF_{name}", value)
    gateway, settings = prepare("worked_app:app")
    assert (gateway.name, settings.limits.replicas) == ("worked", 12)


@pytest.mark.parametrize(
    ("code", "said"), [(0, "with code 0"), (3, "with code 3"), (-9, "by SIGKILL"), (-99, "by signal 99")]
)
def test_the_end_of_a_process_is_said_by_code_or_signal(code: int, said: str) -> None:
    assert ending(code) == said
