"""`make demo` as a person runs it: one command, one address, Ctrl-C, and no process left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.conftest import ROOT, free_port
from tests.programs import parents_of_processes
from tests.waiting import GUARD

PORTS = (8000, 8001, 8101, 8102, 8103, 8104, 8105, 8106, 8107)


def free_offset() -> int:
    """An offset at which all ports of the demo are free."""
    for _ in range(50):
        offset = free_port() % 10_000 + 12_000
        with contextlib.ExitStack() as stack:
            try:
                for port in PORTS:
                    probe = stack.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", offset + port))
            except OSError:
                continue
            return offset
    raise RuntimeError("no free range of ports")


@contextlib.contextmanager
def demo(home: Path, offset: int) -> Iterator[subprocess.Popen[str]]:
    # As on a machine whose proxy cannot reach its loopback.
    proxy = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    env = {**os.environ, **proxy, "DEMO_HOME": str(home), "DEMO_OFFSET": str(offset)}
    env.pop("REDIS_URL", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "web.shop.demo"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(GUARD)
        if process.stdout is not None:
            process.stdout.close()


def until_open(process: subprocess.Popen[str]) -> list[str]:
    lines = []
    if process.stdout is None:
        raise RuntimeError("no output")
    for line in process.stdout:
        lines.append(line)
        if "Open http" in line:
            return lines
    raise AssertionError("the demo ended instead: " + "".join(lines))


def children(pid: int) -> list[int]:
    return [child for child, parent in parents_of_processes().items() if parent == pid]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False


def test_the_demo_shows_progress_serves_the_page_and_leaves_no_process_after_ctrl_c(tmp_path: Path) -> None:
    offset = free_offset()
    with demo(tmp_path / "home", offset) as process:
        lines = until_open(process)
        assert sum("ready" in line for line in lines) == 8
        url = f"http://localhost:{offset + 8000}"
        with httpx.Client(base_url=url, trust_env=False) as client:
            page = client.get("/")
            assert page.status_code == 200 and "<html" in page.text
            assert "default-src 'self'" in page.headers["content-security-policy"]
            assert client.get("/client/index.js").headers["content-type"].startswith("text/javascript")
            assert client.get("/client/node_modules/.package-lock.json").status_code == 404
            assert client.get("/api/screens/products").json()["products"]
            state = client.get("/demo/state").json()["services"]
            assert all(service["up"] for service in state)

            assert client.post("/demo/kill/orders").status_code == 403, "not from a page of another site"
            killed = client.post("/demo/kill/orders", headers={"x-bff": "1"}).json()["killed"]
            end = time.monotonic() + GUARD
            while True:
                orders = next(
                    one for one in client.get("/demo/state").json()["services"] if one["name"] == "orders"
                )
                if orders["up"] and orders["pid"] != killed:
                    break
                assert time.monotonic() < end, "a killed service is started again"
                time.sleep(0.1)
            slow = client.post("/demo/faults/catalog", json={"latency_ms": 30}, headers={"x-bff": "1"})
            assert slow.status_code == 200
            # Ctrl-C comes while Valkey is frozen: a stopped process is continued and ends like the others.
            assert client.post("/demo/scenes/stop-redis", headers={"x-bff": "1"}).status_code == 200
            assert client.get("/demo/state").json()["redis"]["state"] == "stopped"
        started = children(process.pid)
        assert len(started) == 8
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) == 0
        assert not [pid for pid in started if alive(pid)]
        for port in PORTS:
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", offset + port)) != 0, f"{port} is still taken"


def test_a_port_in_use_is_named_with_what_to_do_and_nothing_is_started(tmp_path: Path) -> None:
    offset = free_offset()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", offset + 8104))
        squatter.listen()
        with demo(tmp_path / "home", offset) as process:
            out, _ = process.communicate(timeout=GUARD)
    assert process.returncode == 1
    assert f"{offset + 8104} (for payments)" in out
    assert "try again" in out
    assert not (tmp_path / "home").exists()


def test_the_valkey_of_an_earlier_start_is_used_again_only_when_it_is_ours(tmp_path: Path) -> None:
    from web.shop import embedded

    first = embedded.start(tmp_path / "a", None)
    try:
        again = embedded.start(tmp_path / "a", None)
        assert (again.url, again.process) == (first.url, None)
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "port").write_text((tmp_path / "a" / "port").read_text())
        other = embedded.start(tmp_path / "b", None)
        try:
            assert other.url != first.url, "a server on the recorded port with another folder is not ours"
        finally:
            other.stop()
    finally:
        first.stop()
    assert embedded.start(tmp_path / "c", "redis://elsewhere:1/0").url == "redis://elsewhere:1/0"


def test_without_a_redis_server_program_the_message_says_what_to_do(tmp_path: Path) -> None:
    import pytest

    from web.shop import embedded

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "binary", lambda: None)
        with pytest.raises(embedded.CannotStart, match="set REDIS_URL"):
            embedded.start(tmp_path / "x", None)
