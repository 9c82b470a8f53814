"""A page with the client, built by each bundler as docs/how-to/build-the-page.md says, in a real Chromium: the shared
worker starts, and two windows share its stream. The package is the one that npm packs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from bff.cli import new

from ..conftest import ROOT, free_port, start_program, wait_for_port
from ..programs import program
from ..waiting import GUARD, eventually

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

CLIENT = ROOT / "web" / "client"
BUNDLERS = ROOT / "tests" / "web" / "bundlers"
NEXTJS = ROOT / "tests" / "wire" / "nextjs"
SERVE = "from bff.cli import main; sys.exit(main(['serve', 'help_desk:app']))"
IN_FOLDER = f"import os, sys; os.chdir(sys.argv[1]); {SERVE}"
REACT = ("react-router", "next")
STATE = {
    "cursor": "e-1",
    "sagas": [],
    "values": [{"name": "desk/support", "version": 1, "data": {"open": 7}}],
}


def node(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    ran = subprocess.run(
        ["node", *words],
        cwd=cwd,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=20 * GUARD,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as npm installs it."""
    folder = tmp_path_factory.mktemp("packed")
    subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", str(folder)],
        cwd=CLIENT,
        check=True,
        timeout=GUARD * 5,
    )
    (archive,) = folder.glob("bff-client-*.tgz")
    shutil.unpack_archive(archive, folder, filter="data")
    return folder / "package"


def build(bundler: str, packed: Path, out: Path) -> None:
    """Build the page into the folder. The project is below the folder that has the bundler's packages."""
    home = NEXTJS if bundler == "next" else BUNDLERS
    if not (home / "node_modules").exists():
        raise RuntimeError(f"{home} has no packages: `make test-slow` installs them (npm ci)")
    project = Path(tempfile.mkdtemp(prefix=".app-", dir=home))
    try:
        shutil.copytree(packed, project / "node_modules" / "bff-client")
        # React Router would install isbot, and remove the client.
        about = {"private": True, "type": "module", "dependencies": {"isbot": "^5.1.0"}}
        (project / "package.json").write_text(json.dumps(about))
        source = "Screen.jsx" if bundler in REACT else "main.js"
        shutil.copy(BUNDLERS / "app" / source, project / source)
        env = {"NEXT": str(NEXTJS / "node_modules" / "next" / "dist" / "bin" / "next")}
        node(BUNDLERS / "build.mjs", bundler, project, out, cwd=BUNDLERS, env=env)
    finally:
        shutil.rmtree(project)


class Site(ThreadingHTTPServer):
    """The built page, and a stream with one value. streams: those that are open."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), lambda *given: Handler(*given, directory=str(folder)))
        self.streams: set[object] = set()


class Handler(SimpleHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        if urlsplit(self.path).path != "/bff/live":
            super().do_GET()
            return
        self.server.streams.add(self)
        self.send_response(200)
        for name, value in {"content-type": "text/event-stream", "bff-user": "a"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(f"event: snapshot\nid: e-1\ndata: {json.dumps(STATE)}\n\n".encode())
        self.wfile.flush()
        # Open until the browser leaves.
        with contextlib.suppress(OSError):
            while self.connection.recv(1):
                pass
        self.server.streams.discard(self)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module", params=["vite", "webpack", "rspack", "esbuild", "react-router", "next"])
def site(
    request: pytest.FixtureRequest, packed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    out = tmp_path_factory.mktemp(request.param) / "out"
    build(request.param, packed, out)
    assert (out / "index.html").is_file()
    with Site(out) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        yield browser
        await browser.close()


async def test_the_shared_worker_starts_and_two_windows_share_its_stream(
    site: Site, browser: Browser
) -> None:
    expect.set_options(timeout=GUARD * 1000)
    context = await browser.new_context()
    address = f"http://127.0.0.1:{site.server_port}/"
    first, second = await context.new_page(), await context.new_page()
    problems: list[str] = []
    for page in (first, second):
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(address)
        await expect(page.locator("output")).to_have_text("live 7")
    session = await context.new_cdp_session(first)
    found = (await session.send("Target.getTargets", {"filter": [{}]}))["targetInfos"]
    workers = [
        one["url"] for one in found if one["type"] == "shared_worker" and one["url"].startswith(address)
    ]
    assert len(workers) == 1, f"one shared worker with a script of this site: {found}"
    # A stream of a tab alone, or of the tab that leads, would be a request of a page.
    timing = "performance.getEntriesByType('resource').filter(({name}) => name.includes('/bff/live')).length"
    assert [await page.evaluate(timing) for page in (first, second)] == [0, 0]
    await asyncio.to_thread(eventually, lambda: len(site.streams) == 1)
    await context.close()
    assert problems == []


async def test_the_package_has_no_fault_that_linters_of_packages_find(packed: Path) -> None:
    bin_ = BUNDLERS / "node_modules" / ".bin"
    ran = subprocess.run(
        [bin_ / "publint", packed, "--strict"], capture_output=True, text=True, timeout=GUARD, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "All good!" in ran.stdout
    archive = next(packed.parent.glob("*.tgz"))
    # ES modules only, for bundlers and Node 20: no CommonJS, and no resolution of Node 10.
    ran = subprocess.run(
        [bin_ / "attw", archive, "--profile", "esm-only", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=5 * GUARD,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


async def test_the_page_that_bff_new_writes_for_vite_is_checked_and_built(
    packed: Path, tmp_path: Path, browser: Browser, redis_url: str
) -> None:
    folder = Path(tempfile.mkdtemp(prefix=".app-", dir=BUNDLERS))
    try:
        project = new.create("help-desk", folder, page="vite")
        page = project / "page"
        shutil.copytree(packed, page / "node_modules" / "bff-client")
        # The scripts of its package.json, with the programs that npm would find.
        tools = [str(home / "node_modules" / ".bin") for home in (BUNDLERS, CLIENT)]
        bff = tmp_path / "bff"
        bff.write_text(f'#!/bin/sh\ncd .. && exec "{sys.executable}" -m bff "$@"\n')
        bff.chmod(0o755)
        path = ":".join([str(tmp_path), *tools, os.environ["PATH"]])
        env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "CI": "1"}
        for script in ("check", "build"):
            ran = subprocess.run(
                ["npm", "run", script],
                cwd=page,
                env=env,
                capture_output=True,
                text=True,
                timeout=20 * GUARD,
                check=False,
            )
            assert ran.returncode == 0, ran.stdout + ran.stderr
        # A mistake is found: a value that the gateway does not have.
        source = page / "src" / "main.ts"
        source.write_text(source.read_text().replace("'desk/support'", "'desk-support'"))
        ran = subprocess.run(
            ["npm", "run", "check"],
            cwd=page,
            env=env,
            capture_output=True,
            text=True,
            timeout=20 * GUARD,
            check=False,
        )
        assert ran.returncode != 0 and "main.ts" in ran.stdout
        # The gateway serves what was built.
        port, admin = free_port(), free_port()
        serving = {"BFF_PORT": str(port), "BFF_ADMIN_PORT": str(admin), "BFF_SETTINGS": "bff.toml"}
        serving |= {"BFF_PUBLIC_URL": f"http://localhost:{port}", "BFF_REDIS__URL": redis_url}
        oidc = {"ISSUER": "https://login.example.org", "CLIENT_ID": "desk", "CLIENT_SECRET": "a-secret"}
        serving |= {f"BFF_OIDC__{name}": value for name, value in oidc.items()}
        serving["BFF_ISSUERS"] = '[{"issuer": "https://login.example.org", "audience": "desk"}]'
        gateway = start_program(
            [sys.executable, "-c", IN_FOLDER, str(project)], log=tmp_path / "gateway.log", env=env | serving
        )
        try:
            await asyncio.to_thread(wait_for_port, port, process=gateway.process)
            shown = await browser.new_page()
            problems: list[str] = []
            shown.on("pageerror", lambda error: problems.append(str(error)))
            await shown.goto(f"http://localhost:{port}/")
            await expect(shown.locator("h1")).to_have_text("Help desk", timeout=GUARD * 1000)
            await expect(shown.get_by_role("link", name="Sign in")).to_be_visible(timeout=GUARD * 1000)
            await shown.close()
            assert problems == []
        finally:
            gateway.kill()
    finally:
        shutil.rmtree(folder)


# Runs `bff dev` in the project, and the journey of the tutorial at the address of Vite, in a network of their own,
# where the ports of the project are free.
DEV = """
import os, signal, subprocess, sys
sys.path.insert(0, sys.argv[1])
from tests.tutorial.walk import READY, start_loopback
start_loopback()
dev = subprocess.Popen([sys.executable, "-m", "bff", "dev"], cwd=sys.argv[2], stdout=subprocess.PIPE, text=True)
printed = []
try:
    waited = {READY, "Local:"}
    for line in dev.stdout:
        printed.append(line)
        waited = {text for text in waited if text not in line}
        if not waited:
            break
    assert not waited, printed
    journey = [sys.executable, f"{sys.argv[1]}/tests/tutorial/journey.py", sys.argv[3], "http://localhost:5173"]
    code = subprocess.run(journey).returncode
finally:
    dev.send_signal(signal.SIGINT)
    dev.stdout.read()
    dev.wait(60)
sys.exit(code)
"""


async def test_with_vite_s_development_server_the_tutorial_s_page_works_too(
    packed: Path, tmp_path: Path
) -> None:
    folder = Path(tempfile.mkdtemp(prefix=".app-", dir=BUNDLERS))
    try:
        project = new.create("help-desk", folder, page="vite")
        shutil.copytree(packed, project / "page" / "node_modules" / "bff-client")
        env = {
            **os.environ,
            "PATH": f"{BUNDLERS / 'node_modules' / '.bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        words = ["unshare", *user, "--net", sys.executable, "-c", DEV, str(ROOT), str(project), str(tmp_path)]
        ran = subprocess.run(
            words, env=env, capture_output=True, text=True, timeout=20 * GUARD, check=False, cwd=tmp_path
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    finally:
        shutil.rmtree(folder)
