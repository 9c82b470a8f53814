"""A gateway at the development sign-in while faults are switched on: what a person keeps, and what they lose."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from ..conftest import Valkey, free_port, start_program, wait_for_port
from ..sign_in_flow import CLIENT_ID, CLIENT_SECRET, form_of, start_sign_in
from ..waiting import GUARD, until
from .scripted import Scripted, upstream
from .test_signin import Browser

LIFE = 3
"""Seconds for which an access token is valid. It is refreshed when a third of that is left."""

# One provider and one gateway for all tests.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Desk:
    site: str
    provider: str
    upstream: Scripted
    client: httpx.AsyncClient

    async def faults(self, *names: str, **more: float) -> None:
        answer = await self.client.put(f"{self.provider}/faults", json={"faults": names, **more})
        answer.raise_for_status()

    async def sign_in(self) -> tuple[Browser, httpx.Response]:
        """A new browser, and the answer to its callback."""
        here = Browser(self.client, self.site)
        to_provider = await here.get("/bff/login")
        assert to_provider.status_code == 303, to_provider.text
        # The provider's cookies are its own.
        async with httpx.AsyncClient(trust_env=False, timeout=GUARD) as there:
            page = await there.get(to_provider.headers["location"])
            action, csrf = form_of(page.text)
            back = await there.post(f"{self.provider}{action}", data={"csrf": csrf, "person": "ada"})
        return here, await here.ask("GET", back.headers["location"], cross_site=True)

    async def token(self, browser: Browser) -> str:
        """The access token that a service receives now; empty when there is no answer for this person."""
        answer = await browser.get("/api/required/ok")
        return self.upstream.last.headers["authorization"] if answer.status_code == 200 else ""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(valkey_session: Valkey, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    folder, port, provider_port = tmp_path_factory.mktemp("faults"), free_port(), free_port()
    site, issuer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{provider_port}"
    provider = start_sign_in(
        provider_port, folder, log=folder / "provider.log", public_url=site, access_seconds=str(LIFE)
    )
    try:
        wait_for_port(provider_port, process=provider.process)
        async with upstream() as scripted, httpx.AsyncClient(trust_env=False, timeout=GUARD) as client:
            gateway = start_program(
                [sys.executable, "-m", "bff", "serve", "tests.wire.gateway:served"],
                log=folder / "gateway.log",
                env={
                    "BFF_PORT": str(port),
                    "BFF_ADMIN_PORT": str(free_port()),
                    "BFF_PUBLIC_URL": site,
                    "BFF_REDIS__URL": valkey_session.url,
                    "BFF_OIDC__ISSUER": issuer,
                    "BFF_OIDC__CLIENT_ID": CLIENT_ID,
                    "BFF_OIDC__CLIENT_SECRET": CLIENT_SECRET,
                    "BFF_ADMISSION__LAG": "10",
                    "BFF_REDIS__TIMEOUT": "10",
                    "BFF_UPSTREAMS__SHELF__URL": f"http://127.0.0.1:{scripted.port}",
                    "BFF_LIVE__STREAM_KEYS": '["events:jobs:{p}"]',
                },
            )
            try:
                await asyncio.to_thread(wait_for_port, port, process=gateway.process)
                yield Desk(site, issuer, scripted, client)
            finally:
                gateway.kill()
    finally:
        provider.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def desk(running: Desk) -> AsyncIterator[Desk]:
    yield running
    await running.client.delete(f"{running.provider}/faults")


@pytest.mark.parametrize("fault", ["slow", "error", "stalled", "wrong-key", "expired"])
async def test_a_fault_of_the_provider_signs_nobody_out_and_refreshes_go_on_after_it(
    desk: Desk, fault: str
) -> None:
    browser, landed = await desk.sign_in()
    assert landed.status_code == 200
    first = await desk.token(browser)
    await desk.faults(fault, seconds=0.5)
    # Longer than the access token lives: without a new one the answer is 503 for a while, and never 401.
    end = time.monotonic() + 2 * LIFE
    while time.monotonic() < end:
        assert (await browser.get("/bff/user")).status_code in (200, 503)
        await asyncio.sleep(0.2)
    await desk.faults()

    async def refreshed() -> bool:
        return await desk.token(browser) not in ("", first)

    await until(refreshed, "no refresh after the fault")
    assert (await browser.get("/bff/user")).status_code == 200


async def test_a_revoked_sign_in_ends_the_session(desk: Desk) -> None:
    browser, _ = await desk.sign_in()
    await desk.faults("revoked")

    async def ended() -> bool:
        return (await browser.get("/bff/user")).status_code == 401

    await until(ended)


@pytest.mark.parametrize("fault", ["wrong-key", "expired", "error"])
async def test_a_sign_in_with_wrong_tokens_or_none_is_refused(desk: Desk, fault: str) -> None:
    # The gateway knows the provider's endpoints by then.
    await desk.sign_in()
    await desk.faults(fault)
    browser, answer = await desk.sign_in()
    assert answer.status_code in (502, 503)
    assert (await browser.get("/bff/user")).status_code == 401
