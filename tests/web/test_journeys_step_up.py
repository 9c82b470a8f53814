"""A command that needs a recent sign-in (RFC 9470), in a real Chromium with the browser client: the page is refused,
the person proves who they are at the provider, which is another site, and the same command is carried out once."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, Request, async_playwright, expect
from pydantic import BaseModel

from bff import Gateway, Principal
from bff.edge.settings import Settings
from tests.conftest import ROOT
from tests.programs import program
from tests.waiting import GUARD
from tests.wire.gateway import serving
from tests.wire.oidc_provider import CLIENT, SECRET, OidcProvider
from tests.wire.served import listening

expect.set_options(timeout=GUARD * 1000)

HTML = """<!doctype html><html lang="en"><title>Vault</title><link rel="icon" href="data:,">
<p id="who"></p>
<form><input name="to"><input name="amount"><button>Pay</button></form>
<p id="told"></p>
<script type="module" src="/assets/vault.js"></script></html>"""

SCRIPT = """
import { createClient, createSession } from '/client/index.js';

const show = (id, text) => (document.getElementById(id).textContent = text);
const form = document.querySelector('form');
const client = createClient();
const session = createSession(client);

const pay = client.define('pay', {
  request: (payment) => ({ url: '/api/vault/pay', body: payment }),
  apply() {},
});
client.onRestored(({ input }) => {
  for (const [name, value] of Object.entries(input)) form.elements[name].value = value;
});
client.onSettled(({ outcome }) => {
  show('told', outcome.kind === 'rejected' ? `refused: ${outcome.problem.code}` : outcome.kind);
});
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const operation = pay(Object.fromEntries(new FormData(form)));
  const { problem } = await operation.outcome;
  if (problem?.code === 'step-up-required') session.stepUp(problem, { operation });
});
session.subscribe(({ status, user }) => {
  if (status === 'signed-out') location.assign(session.signInUrl());
  else show('who', `${user.sub} ${status}`);
});
await session.start();
"""


class Payment(BaseModel):
    to: str
    amount: str


@dataclass
class House:
    site: str
    provider: OidcProvider
    paid: list[Payment] = field(default_factory=list)

    def proved(self, *, ago: float) -> None:
        """From now on the provider says that the person proved who they are this many seconds ago."""
        self.provider.authenticated = {"auth_time": int(time.time() - ago)}


@asynccontextmanager
async def house_at(redis_url: str, folder: Path) -> AsyncIterator[House]:
    """The gateway at localhost and the provider at 127.0.0.1, which are different sites."""
    ours, theirs = listening(), listening()
    site = f"http://localhost:{ours.getsockname()[1]}"
    provider = OidcProvider(f"{site}/bff/callback")
    provider.issuer = f"http://127.0.0.1:{theirs.getsockname()[1]}"
    provider.asks = True
    house = House(site, provider)
    (folder / "index.html").write_text(HTML)
    (folder / "vault.js").write_text(SCRIPT)
    gateway = Gateway("vault")

    @gateway.command("/api/vault/pay", fresh=300)
    async def pay(payment: Payment, who: Principal) -> int:
        house.paid.append(payment)
        return len(house.paid)

    folders = {"/assets": folder, "/client": ROOT / "web" / "client"}
    gateway.site(folder / "index.html", paths=("/vault",), folders=folders)
    settings = {
        "redis": {"url": redis_url, "timeout": 10},
        "public_url": site,
        "oidc": {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET},
        "admission": {"lag": 10, "standing": 10},
    }
    await gateway.start(Settings.model_validate(settings))
    async with serving(gateway, ours), serving(provider.app, theirs):
        yield house


@pytest.fixture
async def house(redis_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_at(redis_url, tmp_path) as house:
        yield house


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        context = await browser.new_context()
        context.set_default_timeout(GUARD * 1000)
        yield await context.new_page()
        await browser.close()


async def sign_in(page: Page, house: House) -> dict[str, list[str]]:
    """Sign in at the provider, to which the page has gone; returns what it was asked for."""
    await page.wait_for_url(f"{house.provider.issuer}/authorize*")
    asked = parse_qs(urlsplit(page.url).query)
    await page.get_by_text("Sign in as Ada").click()
    await page.wait_for_url(f"{house.site}/vault")
    await expect(page.locator("#who")).to_have_text("ada signed-in")
    return asked


def sent_by(page: Page) -> list[tuple[str, Any]]:
    """Fills with the key and the body of each command that the page sends."""
    sent: list[tuple[str, Any]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/api/vault/pay"):
            sent.append((request.headers["idempotency-key"], json.loads(request.post_data or "null")))

    page.on("request", note)
    return sent


async def test_a_refused_command_is_carried_out_after_the_person_has_signed_in_again(
    house: House, page: Page
) -> None:
    house.proved(ago=1000)
    await page.goto(f"{house.site}/vault")
    assert "max_age" not in await sign_in(page, house)
    sent = sent_by(page)
    refusals: list[str] = []
    page.on("response", lambda one: refusals.append(one.headers.get("www-authenticate", "")))
    await page.fill("[name=to]", "Grace Höpper")
    await page.fill("[name=amount]", "42.50")
    await page.get_by_role("button", name="Pay").click()
    await page.wait_for_url(f"{house.provider.issuer}/authorize*")
    assert house.paid == [], "nothing was done without a recent sign-in"
    [challenge] = [one for one in refusals if one]
    assert 'error="insufficient_user_authentication"' in challenge and 'max_age="300"' in challenge

    house.proved(ago=1)
    assert (await sign_in(page, house))["max_age"] == ["300"]
    await expect(page.locator("#told")).to_have_text("confirmed")
    assert house.paid == [Payment(to="Grace Höpper", amount="42.50")]
    first, second = sent
    assert first == second and first[1] == {"to": "Grace Höpper", "amount": "42.50"}
    assert await page.input_value("[name=to]") == "Grace Höpper"
    assert await page.input_value("[name=amount]") == "42.50"

    # It was taken up once: a reload sends nothing.
    await page.reload()
    await expect(page.locator("#who")).to_have_text("ada signed-in")
    assert len(sent) == 2 and len(house.paid) == 1


async def test_a_person_who_turns_back_at_the_provider_has_what_they_entered_and_nothing_is_done(
    house: House, page: Page
) -> None:
    house.proved(ago=1000)
    await page.goto(f"{house.site}/vault")
    await sign_in(page, house)
    sent = sent_by(page)
    await page.fill("[name=to]", "Grace")
    await page.fill("[name=amount]", "7")
    await page.get_by_role("button", name="Pay").click()
    await page.wait_for_url(f"{house.provider.issuer}/authorize*")
    await page.goto(f"{house.site}/vault")
    # The command is sent once more, refused again, and given up.
    await expect(page.locator("#told")).to_have_text("refused: step-up-required")
    assert await page.input_value("[name=amount]") == "7"
    assert len(sent) == 2 and sent[0] == sent[1] and house.paid == []
    await page.reload()
    await expect(page.locator("#who")).to_have_text("ada signed-in")
    assert len(sent) == 2
