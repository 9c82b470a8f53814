"""A gateway behind a proxy that its settings do not name.

Input: `X-Forwarded-For` from a private address while `BFF_HTTP__PROXIES` is empty, or names another network.
Before: all anonymous people counted as one address, and the log did not mention it.
Right: the log says so, once, with the setting to set. The header is still not trusted.
"""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from bff import Gateway
from bff.edge.settings import Settings

gateway = Gateway("case")


@gateway.view("/api/thing", public=True)
async def thing() -> str:
    return "x"


@pytest.mark.parametrize(
    ("peer", "proxies", "headers", "told"),
    [
        ("10.0.0.7", [], {"x-forwarded-for": "192.0.2.1"}, 1),
        ("127.0.0.1", [], {"x-forwarded-for": "192.0.2.1"}, 1),
        ("::ffff:172.17.0.1", [], {"x-forwarded-for": "192.0.2.1"}, 1),
        ("fd00::1", [], {"x-forwarded-for": "192.0.2.1"}, 1),
        ("100.64.0.1", [], {"x-forwarded-for": "192.0.2.1"}, 1),
        ("10.0.0.7", ["10.1.0.0/16"], {"x-forwarded-for": "192.0.2.1"}, 1),
        ("10.0.0.7", ["10.0.0.0/8"], {"x-forwarded-for": "192.0.2.1"}, 0),
        ("10.0.0.7", [], {}, 0),
        ("8.8.8.8", [], {"x-forwarded-for": "192.0.2.1"}, 0),
        ("2606:4700::1", [], {"x-forwarded-for": "192.0.2.1"}, 0),
        ("somebody", [], {"x-forwarded-for": "192.0.2.1"}, 0),
    ],
)
async def test_a_proxy_that_no_setting_names_is_logged_once(
    redis_url: str,
    caplog: pytest.LogCaptureFixture,
    peer: str,
    proxies: list[str],
    headers: dict[str, str],
    told: int,
) -> None:
    caplog.set_level(logging.WARNING, "bff.edge")
    settings: dict[str, Any] = {"redis": {"url": redis_url}, "http": {"proxies": proxies}}
    await gateway.start(Settings.model_validate(settings))
    try:
        transport = httpx.ASGITransport(gateway, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as http:
            for _ in range(3):
                assert (await http.get("/api/thing", headers=headers)).status_code == 200
    finally:
        await gateway.stop()
    lines = [one.getMessage() for one in caplog.records if "PROXIES" in one.getMessage()]
    assert len(lines) == told
    if told:
        assert "BFF_HTTP__PROXIES='[" in lines[0]
