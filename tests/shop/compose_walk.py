"""`.ci/engine python -m tests.shop.compose_walk`: runs the whole compose file. An order is placed through the proxy
over HTTP/2 and followed on six streams while one gateway is killed; the last line of output has the measurements as
JSON."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright

from tests.conftest import ROOT
from tests.programs import program
from tests.sign_in_flow import Flow
from tests.upstreams.world import eventually

from .compose import demo_env

ENV = demo_env()
PROJECT = ENV["COMPOSE_PROJECT_NAME"]
SHOP = f"https://localhost:{ENV['PUBLIC_PORT']}"
IDENTITY = "http://127.0.0.1:8101"
STREAMS = 6
GATEWAYS = ("gateway-1", "gateway-2")
COMPOSE = [*os.environ["COMPOSE"].split(), "--env-file", ".docker/demo.env"]


def said(*command: str) -> str:
    """The output of a command; its errors go to our standard error."""
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=600
    ).stdout


def container(service: str) -> str:
    return said(*COMPOSE, "ps", "-q", service).strip()


def inspected(id: str, what: str) -> str:
    return said("docker", "inspect", "-f", what, id).strip()


def streams(gateway: str) -> int:
    """The open streams of a replica, by its metrics."""
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8001/metrics').read().decode())"
    page = said("docker", "exec", container(gateway), "python", "-c", ask)
    return round(
        sum(float(line.split()[1]) for line in page.splitlines() if line.startswith("bff_stream_open "))
    )


def token(person: str) -> str:
    with httpx.Client(trust_env=False, timeout=10) as browser:
        flow = Flow.start(IDENTITY, redirect_uri=f"{SHOP}/bff/callback")
        answer = flow.redeem(browser, flow.code(browser, person)).raise_for_status()
        return str(answer.json()["access_token"])


@dataclass
class Follower:
    """A stream over HTTP/2 that resumes by its last id when its connection ends."""

    curl: list[str]
    events: list[tuple[str, Any]] = field(default_factory=list)
    protocols: list[str] = field(default_factory=list)
    last_id: str = ""
    ended: bool = False
    process: subprocess.Popen[str] | None = None

    def run(self) -> None:
        while not self.ended:
            resume = ["-H", f"Last-Event-ID: {self.last_id}"] if self.last_id else []
            self.process = subprocess.Popen(
                [*self.curl, "-N", "-i", *resume, f"{SHOP}/bff/live"], stdout=subprocess.PIPE, text=True
            )
            name = ""
            for line in self.process.stdout or ():
                word, _, value = line.strip().partition(": ")
                if line.startswith("HTTP/"):
                    self.protocols.append(line.strip())
                elif word == "event":
                    name = value
                elif word == "id":
                    self.last_id = value
                elif word == "data":
                    self.events.append((name, json.loads(value)))
            self.process.wait()

    def stop(self) -> None:
        self.ended = True
        if self.process is not None:
            self.process.kill()

    def steps(self, order: str) -> list[tuple[int, str]]:
        return [
            (one["version"], one["status"])
            for name, one in self.events
            if name == "saga" and one["id"] == order
        ]

    def seen(self, order: str, status: str) -> Callable[[], bool]:
        return lambda: any(found == status for _, found in self.steps(order))


def check_held_tight() -> None:
    """The engine applies what the file says."""
    for id in said(*COMPOSE, "ps", "-q").split():
        name = inspected(id, "{{.Name}}")
        assert inspected(id, "{{.HostConfig.ReadonlyRootfs}}") == "true", name
        assert said("docker", "exec", id, "id", "-u").strip() != "0", name
        wrote = subprocess.run(
            ["docker", "exec", id, "sh", "-c", "echo x > /x || echo x > /usr/x || echo x > /app/x"],
            capture_output=True,
        )
        assert wrote.returncode != 0, f"{name} wrote to its own file system"
    python = container("gateway-1")
    # The image's shell looks for the first of several names only.
    look = "for name in gcc cc ld strip make pip; do command -v $name || true; done"
    tools = said("docker", "exec", python, "sh", "-c", look)
    assert tools == "", f"the image has {tools}"
    out = "import socket; socket.create_connection(('1.1.1.1', 80), 2)"
    assert (
        subprocess.run(["docker", "exec", python, "python", "-c", out], capture_output=True).returncode != 0
    )
    baked = said("docker", "image", "inspect", "bff-shop") + said(
        "docker", "history", "--no-trunc", "bff-shop"
    )
    assert "demo-only" not in baked


def check_a_browser_signs_in() -> None:
    """Cookies, redirects between the two origins and the page's policies are the browser's own rules."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        # A person is asked about the certificate's authority.
        page = chromium.new_context(ignore_https_errors=True).new_page()
        page.goto(SHOP)
        page.locator('[data-test="sign-in"]').first.click()
        page.locator('button[value="grace"]').click()
        page.wait_for_url(f"{SHOP}/**")
        page.locator('[data-test="connection"][data-state="live"]').wait_for(state="attached")
        hops = page.evaluate("performance.getEntries().map((one) => one.nextHopProtocol).filter(Boolean)")
        assert set(hops) == {"h2"}, hops
        chromium.close()


def walk(folder: Path) -> dict[str, Any]:
    began = time.monotonic()
    said("make", "up")
    up_seconds = time.monotonic() - began
    megabytes = int(inspected("bff-shop", "{{.Size}}")) / 1e6
    for name in ("proxy", "gateway-1", "gateway-2", "identity"):
        healthy = partial(inspected, container(name), "{{.State.Health.Status}}")
        eventually(lambda ask=healthy: ask() == "healthy", 60)  # type: ignore[misc]
    check_held_tight()
    check_a_browser_signs_in()

    authority = folder / "root.crt"
    authority.write_text(
        said("docker", "exec", container("proxy"), "cat", "/tmp/data/caddy/pki/authorities/local/root.crt")
    )
    curl = [
        "curl",
        "-sS",
        "--http2",
        "--cacert",
        str(authority),
        "-H",
        f"Authorization: Bearer {token('ada')}",
    ]
    followers: list[Follower] = []
    # A proxy that took one replica for dead when this began sends all to the other one: it gets further streams.
    while len(followers) < STREAMS or min(map(streams, GATEWAYS)) == 0:
        assert len(followers) < 10 * STREAMS, "the proxy does not spread the streams"
        followers.append(follower := Follower(curl))
        threading.Thread(target=follower.run, daemon=True).start()
        # One after the other, so that the proxy spreads them: it sends each to the replica with the fewest.
        eventually(lambda one=follower: bool(one.events))  # type: ignore[misc]

    # As the client does it: again with the same key while the outcome is unknown, for a busy machine is slow.
    place = [*curl, "-i", "-X", "POST", f"{SHOP}/api/orders", "-H", f'Idempotency-Key: "{uuid.uuid4()}"']
    place += ["--json", '{"lines":[{"sku":"mug-01","quantity":1}]}']
    until, placed = time.monotonic() + 60, said(*place)
    while placed.startswith(("HTTP/2 409", "HTTP/2 503", "HTTP/2 504")) and time.monotonic() < until:
        time.sleep(0.5)
        placed = said(*place)
    assert placed.startswith("HTTP/2 202"), placed
    order = json.loads(placed.splitlines()[-1])["saga"]["id"]
    for follower in followers:
        eventually(follower.seen(order, "RUNNING"))
    victim = container("gateway-1")
    os.kill(int(inspected(victim, "{{.State.Pid}}")), signal.SIGKILL)
    for follower in followers:
        eventually(follower.seen(order, "COMPLETED"), 30)
    for follower in followers:
        versions = [version for version, _ in follower.steps(order)]
        # Version 0 is there only where the gateway's answer came before the first event.
        wanted = list(range(1, max(versions) + 1))
        assert [version for version in versions if version] == wanted, f"lost or twice: {versions}"
        assert all(name != "reset" for name, _ in follower.events)
        assert set(follower.protocols) == {"HTTP/2 200"}, follower.protocols
    # All may have seen the end before the kill: those that were cut resume a moment later.
    eventually(lambda: any(len(follower.protocols) > 1 for follower in followers), 30)
    connects = Counter(len(follower.protocols) for follower in followers)
    assert set(connects) == {1, 2}, f"some streams should be cut and resume at once, others not: {connects}"
    eventually(lambda: inspected(victim, "{{.State.Health.Status}}") == "healthy", 60)
    assert inspected(victim, "{{.RestartCount}}") == "1"
    for follower in followers:
        follower.stop()
    return {
        "megabytes": round(megabytes),
        "up_seconds": round(up_seconds),
        "order": followers[0].steps(order),
    }


def check_nothing_left() -> None:
    mine = f"label=com.docker.compose.project={PROJECT}"
    for listed in (("ps", "-a"), ("volume", "ls"), ("network", "ls")):
        left = said("docker", *listed, "-q", "--filter", mine)
        assert left == "", f"{' '.join(listed)}: {left}"


def main() -> None:
    try:
        with tempfile.TemporaryDirectory() as folder:
            told = walk(Path(folder))
    except BaseException:
        with contextlib.suppress(subprocess.SubprocessError):
            print(said(*COMPOSE, "logs", "--no-color", "--tail", "30"))
        raise
    finally:
        said("make", "down")
    check_nothing_left()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
