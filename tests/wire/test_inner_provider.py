"""Sign-in at a certified provider (npm `oidc-provider`) that is reached inside under another address than its issuer's.

The issuer's host exists nowhere: browsers have it from their proxy, and the gateway from `internal_url`.
"""

from __future__ import annotations

import asyncio
import html
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from bff.cli.connect import connections_of
from bff.edge.access.fetcher import Fetcher
from bff.edge.access.provider import Provider
from bff.edge.app.network import Connections, fetch_targets
from bff.edge.settings import Settings

from ..conftest import ROOT, start_program
from ..waiting import GUARD
from .gateway import declare
from .oidc_provider import CLIENT, SECRET

ISSUER = "https://id.test"
SITE = "https://shop.test"


class Ingress(httpx.AsyncHTTPTransport):
    """What is in front of the provider, for browsers: it keeps the host and says which scheme they use."""

    def __init__(self, inner: str) -> None:
        super().__init__()
        self._inner = httpx.URL(inner)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "id.test", "a browser was sent inside"
        inner = self._inner
        url = request.url.copy_with(scheme=inner.scheme, host=inner.host, port=inner.port)
        headers = {**request.headers, "x-forwarded-proto": "https", "x-forwarded-host": "id.test"}
        passed = httpx.Request(request.method, url, headers=headers, content=await request.aread())
        return await super().handle_async_request(passed)


async def pressed(browser: httpx.AsyncClient, page: httpx.Response, **typed: str) -> httpx.Response:
    """Press the only button of the page's form."""
    action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
    assert action is not None, page.text
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page.text)) | typed
    return await browser.post(html.unescape(action[1]), data=fields)


async def code_of(browser: httpx.AsyncClient, address: str) -> str:
    """Sign in as Ada at the provider; returns the code that the browser brings back."""
    answer = await browser.get(address)
    for _ in range(12):
        if not answer.is_redirect:
            answer = await pressed(browser, answer, login="ada", password="any")
        elif answer.headers["location"].startswith(SITE):
            return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        else:
            answer = await browser.get(answer.headers["location"])
    raise AssertionError("the provider did not send the browser back")


async def test_people_sign_in_and_their_tokens_are_renewed_over_the_inner_address(
    tmp_path: Path, redis_url: str
) -> None:
    node = start_program(
        ["node", str(ROOT / "tests" / "wire" / "oidc" / "provider.mjs")],
        log=tmp_path / "provider.log",
        env={"SITE": SITE, "CLIENT": CLIENT, "SECRET": SECRET, "LIFE": "60", "ISSUER": ISSUER},
    )
    try:
        async with asyncio.timeout(GUARD):
            while not (said := re.search(r"^(http://\S+)\n", node.log.read_text(), re.M)):
                await asyncio.sleep(0.05)
        settings = Settings.model_validate(
            {
                "redis": {"url": redis_url, "timeout": 10},
                "oidc": {
                    "issuer": ISSUER,
                    "internal_url": said[1],
                    "client_id": CLIENT,
                    "client_secret": SECRET,
                    "authorize": {"prompt": "consent"},
                    "scopes": ["openid", "profile", "offline_access"],
                },
            }
        )
        assert settings.oidc is not None
        fetch = Fetcher(timeout=GUARD, targets=fetch_targets(settings, Connections(settings.network)))
        provider = Provider(settings.oidc, fetch, redirect_uri=f"{SITE}/bff/callback")
        async with httpx.AsyncClient(base_url=ISSUER, transport=Ingress(said[1]), timeout=GUARD) as browser:
            verifier, nonce = "v" * 64, "n" * 32
            address = await provider.authorize_url(state="s", nonce=nonce, verifier=verifier)
            assert address.startswith(f"{ISSUER}/auth?")
            record = await provider.exchange(await code_of(browser, address), verifier=verifier, nonce=nonce)
        assert (record.issuer, record.subject) == (ISSUER, "ada")
        assert record.tokens.refresh_token is not None
        assert (await provider.renew(record.tokens.refresh_token)).access_token
        end = await provider.end_session_url(record.tokens.id_token, f"{SITE}/")
        assert end is not None and end.startswith(f"{ISSUER}/session/end?")
        await provider.close()
        await fetch.close()
        tried = await asyncio.to_thread(connections_of, declare(), settings)
        (sign_in,) = [one for one in tried if one.what == "sign-in"]
        assert sign_in.ok, sign_in.mistake
    finally:
        node.kill()
