"""The demo's switches (`/faults`, `/edit`, `/demo`) serve this machine alone: no other host name that resolves to it,
no page of another site, no frame."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from upstreams.catalog.app import build
from upstreams.kit.loopback import is_loopback
from web.shop.activity import Activity
from web.shop.embedded import Store
from web.shop.gateway import shop
from web.shop.panel import Panel
from web.shop.processes import Fleet, Service

from .conftest import Serve

FORM = {"name": "Mug", "description": "", "price_cents": "1"}


@pytest.fixture
async def catalog(serve: Serve) -> Any:
    return await serve(build, editing=True, webhook_secret=SecretStr("x" * 24))


@pytest.fixture
async def panel(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    fleet = Fleet((Service("orders", 1),), {}, tmp_path)
    app = Panel(fleet, shop, Store("redis://127.0.0.1:1/0"), "http://localhost:1", "s", Activity())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost:8000"
    ) as client:
        yield client
    await app.close()


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("localhost", True),
        ("LOCALHOST:8102", True),
        ("shop.localhost:8102", True),
        ("127.0.0.1", True),
        ("127.8.9.10:80", True),
        ("[::1]:8102", True),
        ("evil.test", False),
        ("evil.test:8102", False),
        ("localhost.evil.test", False),
        ("evillocalhost", False),
        ("127.0.0.1.evil.test", False),
        ("127.0.0.1@evil.test", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("[::ffff:10.0.0.1]", False),
        ("localhost:x", False),
        ("", False),
    ],
)
def test_only_loopback_names_are_accepted(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one


READS = ["/faults", "/edit"]
WRITES = [
    ("PUT", "/faults", {"content": "{}"}),
    ("DELETE", "/faults", {}),
    ("POST", "/faults/release", {}),
    ("POST", "/edit/mug-01", {"data": FORM}),
]


@pytest.mark.parametrize("path", READS)
async def test_another_host_name_is_refused_and_framing_is_forbidden(catalog: Any, path: str) -> None:
    port = httpx.URL(catalog.url).port
    for host in (f"evil.test:{port}", "evil.test"):
        answer = await catalog.get(path, headers={"host": host})
        assert answer.status_code == 421, host
    for host in (f"localhost:{port}", f"127.0.0.1:{port}"):
        answer = await catalog.get(path, headers={"host": host})
        assert answer.status_code == 200, host
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(("method", "path", "more"), WRITES, ids=[f"{one[0]} {one[1]}" for one in WRITES])
async def test_another_site_cannot_use_a_switch(
    catalog: Any, method: str, path: str, more: dict[str, Any]
) -> None:
    own = {"origin": catalog.url, "sec-fetch-site": "same-origin"}
    for changes in (
        {"host": "evil.test"},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "http://localhost:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.test", "content-type": "text/plain"},
    ):
        answer = await catalog.client.request(method, path, headers=own | changes, **more)
        assert answer.status_code in (403, 421), changes
    assert (await catalog.client.request(method, path, headers=own, **more)).status_code in (200, 303)


async def test_the_panel_serves_only_this_machine_and_pages_of_its_origin(panel: httpx.AsyncClient) -> None:
    state = await panel.get("/demo/state")
    assert state.status_code == 200
    assert state.headers["x-frame-options"] == "DENY"
    assert (await panel.get("/demo/state", headers={"host": "evil.test"})).status_code == 421
    assert (await panel.post("/demo/state")).status_code == 405
    press = {"x-bff": "1", "origin": "http://localhost:8000", "sec-fetch-site": "same-origin"}
    assert (await panel.delete("/demo/scenes", headers=press)).status_code == 200
    for changes in (
        {"host": "evil.test"},
        {"origin": "https://evil.test"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"x-bff": "0"},
    ):
        answer = await panel.delete("/demo/scenes", headers=press | changes)
        assert answer.status_code in (403, 421), changes
    # A program on this machine sends neither Origin nor Sec-Fetch-Site.
    assert (await panel.delete("/demo/scenes", headers={"x-bff": "1"})).status_code == 200
