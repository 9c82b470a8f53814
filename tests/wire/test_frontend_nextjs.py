"""A real Next.js with the code of docs/how-to/render-on-the-server.md in front of a gateway."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import BaseModel

from bff import Gateway, Principal, Reply, SetCookie

from ..conftest import ROOT, free_port, start_program, wait_for_port
from ..waiting import GUARD
from .test_frontend import GUIDE, LONG, NEW, PAGE, House, house, shown

PACKAGE = ROOT / "tests" / "wire" / "nextjs"
NEXT = PACKAGE / "node_modules" / "next" / "dist" / "bin" / "next"
FILE = re.compile(r"^```jsx?\n// ([\w/.]+\.(?:mjs|jsx?))\b.*?^```", re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.slow


class Title(BaseModel):
    title: str


def declare() -> Gateway:
    gateway = Gateway("orders", deadline=GUARD)
    kept = 0

    @gateway.view("/api/orders")
    async def orders(who: Principal) -> Title:
        return Title(title=f"<orders> of {who.subject} {LONG}")

    @gateway.command("/api/notes")
    async def note(note: Title, who: Principal) -> Reply[Title]:
        nonlocal kept
        kept += 1
        cookies = (SetCookie("noted", "1"), SetCookie("colour", "red"))
        return Reply(Title(title=f"{who.subject}: {note.title}, {kept}"), status=201, cookies=cookies)

    return gateway


@pytest.fixture(scope="module")
def application() -> Iterator[Path]:
    """The folder of the guide's application, built without a gateway at hand."""
    if not NEXT.exists():
        raise RuntimeError(
            "Next.js is not installed: `make test-slow` installs it (npm ci in tests/wire/nextjs)"
        )
    # Next.js finds its packages in a folder around the application.
    folder = Path(tempfile.mkdtemp(prefix=".app-", dir=PACKAGE))
    try:
        guide = GUIDE.read_text(encoding="utf-8")
        files = {one[1]: one[0] for one in FILE.finditer(guide)}
        assert files.keys() == {
            "gateway.mjs",
            "next.config.mjs",
            "app/layout.jsx",
            "app/orders/page.jsx",
            "app/notes/route.js",
        }
        for name, block in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(block.splitlines()[1:-1]), encoding="utf-8")
        build = subprocess.run(
            ["node", str(NEXT), "build", str(folder)],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "NEXT_TELEMETRY_DISABLED": "1", "CI": "1"},
            capture_output=True,
            text=True,
            timeout=10 * GUARD,
            check=False,
        )
        assert build.returncode == 0, build.stdout + build.stderr
        yield folder
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def served_by_nextjs(
    here: House, application: Path, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the built application."""
    port = free_port()
    node = start_program(
        ["node", str(NEXT), "start", str(application), "--port", str(port), "--hostname", "127.0.0.1"],
        log=tmp_path / "nextjs.log",
        env={"GATEWAY": here.site, "FRONTEND_SECRET": NEW, "NEXT_TELEMETRY_DISABLED": "1"},
    )
    try:
        await asyncio.to_thread(wait_for_port, port, process=node.process)
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=GUARD) as client:
            yield client
    finally:
        node.kill()


async def test_a_page_shows_the_screens_of_the_person_whose_request_it_answers(
    redis_url: str, application: Path, tmp_path: Path
) -> None:
    async with (
        house(redis_url, declared=declare) as here,
        served_by_nextjs(here, application, tmp_path) as pages,
    ):
        ada = await here.person()
        here.provider.subject = "bruno"
        bruno = await here.person()
        for cookie, name in ((ada, "ada"), (bruno, "bruno"), (ada, "ada")):
            page = await pages.get("/orders", headers=cookie | PAGE)
            assert page.status_code == 200, page.text
            assert shown(page)["title"].startswith(f"<orders> of {name} ")
            assert "<orders>" not in page.text
            assert {"private", "no-store"} <= set(page.headers["cache-control"].split(", "))
            # httpx accepts gzip; a page about a person must not be compressed for everybody.
            assert "content-encoding" not in page.headers
        nobody = await pages.get("/orders", headers=PAGE)
        assert (nobody.status_code, nobody.headers["location"]) == (307, "/bff/login?return=/orders")
        assert "orders> of" not in nobody.text


async def test_a_route_sends_one_command_however_often_it_is_asked_and_passes_on_its_cookies(
    redis_url: str, application: Path, tmp_path: Path
) -> None:
    async with (
        house(redis_url, declared=declare) as here,
        served_by_nextjs(here, application, tmp_path) as pages,
    ):
        own = await here.person() | {"origin": here.site, "idempotency-key": str(uuid.uuid4())}
        first, again = [await pages.post("/notes", json={"title": "tea"}, headers=own) for _ in range(2)]
        assert (first.status_code, first.json()) == (201, {"title": "ada: tea, 1"})
        assert first.headers["cache-control"] == "no-store"
        cookies = [line.partition(";")[0] for line in first.headers.get_list("set-cookie")]
        assert cookies == ["noted=1", "colour=red"]
        assert (again.status_code, again.content) == (201, first.content)
        changed = await pages.post("/notes", json={"title": "coffee"}, headers=own)
        assert (changed.status_code, changed.json()["code"]) == (422, "idempotency-mismatch")


async def test_a_route_refuses_what_comes_from_another_site_or_without_a_key(
    redis_url: str, application: Path, tmp_path: Path
) -> None:
    async with (
        house(redis_url, declared=declare) as here,
        served_by_nextjs(here, application, tmp_path) as pages,
    ):
        cookie = await here.person()
        key = {"idempotency-key": str(uuid.uuid4())}
        for sent in ({"origin": "https://evil.test"}, {"sec-fetch-site": "same-site"}, {}):
            refused = await pages.post("/notes", json={"title": "money"}, headers=cookie | key | sent)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf"), sent
        for title in ("one", "two"):
            keyless = await pages.post(
                "/notes", json={"title": title}, headers=cookie | {"origin": here.site}
            )
            assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency-key-missing"), title
