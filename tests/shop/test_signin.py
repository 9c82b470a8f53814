"""A person's session at the demo's own provider: sign-in, refresh, logout."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import httpx

from .system import BrowserSession, Shop


def test_a_session_outlives_its_access_tokens_and_a_logout_ends_it_at_gateway_and_provider(
    shop: Shop,
) -> None:
    shop.world.stop("identity")
    shop.world.start("identity", access_seconds="2")
    try:
        with BrowserSession(shop) as browser:
            assert browser.sign_in("ada", "/orders").status_code == 200
            user = browser.send("GET", f"{shop.url}/bff/user").json()
            assert (user["sub"], user["name"]) == ("ada", "Ada Lovelace")
            end = time.monotonic() + 4.5
            while time.monotonic() < end:
                # The orders service checks the token's expiry itself.
                answer = browser.send("GET", f"{shop.url}/api/screens/orders")
                assert answer.status_code == 200, answer.text
                time.sleep(0.3)
            out = browser.send("POST", f"{shop.url}/bff/logout", headers={"x-bff": "1"}).json()["redirect"]
            left = browser.send("GET", shop.url + out).headers["location"]
            assert left.startswith(f"{shop.world.url('identity')}/logout?")
            assert parse_qs(urlsplit(left).query)["post_logout_redirect_uri"] == [f"{shop.url}/"]
            back = httpx.get(left, trust_env=False)
            assert back.status_code in (302, 303) and back.headers["location"] == f"{shop.url}/"
            assert browser.send("GET", f"{shop.url}/bff/user").status_code == 401
    finally:
        shop.world.stop("identity")
        shop.world.start("identity")
