"""Every route of the shop's gateway, requested by every kind of caller, with tokens signed by the key of the
development sign-in."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bff.cli.dev.sign_in.faults import Faults
from bff.cli.dev.sign_in.settings import SignInSettings
from bff.cli.dev.sign_in.state import State
from bff.cli.dev.sign_in.tokens import TokenIssuer
from bff.edge import settings as settings_file
from bff.edge.app.build import build
from bff.edge.app.extensions import Extensions
from tests.sign_in_flow import CLIENT_SECRET
from tests.unit.edge.access.issuing import sign
from tests.wire.matrix import CALLERS, SIGN_IN, Example, routes, wrongs
from web.shop.gateway import shop as declared

from .system import BrowserSession, Shop, basket, key


class Issuer:
    """Makes tokens as the development sign-in does, and as it never would."""

    def __init__(self, shop: Shop) -> None:
        self._issuer = shop.world.url("identity")
        state = State(shop.world.folder / "identity" / "sign-in.db")
        settings = SignInSettings(self._issuer, shop.url, CLIENT_SECRET)
        self._kid = TokenIssuer(settings, state, Faults()).kid
        pem = state.secret("signing-key", lambda: "")
        state.close()
        self._key: Any = load_pem_private_key(pem.encode(), None)

    def bearer(self, subject: str = "ada", **changes: Any) -> dict[str, str]:
        now = int(time.time())
        good = {"iss": self._issuer, "sub": subject, "aud": "shop", "iat": now, "exp": now + 300}
        good |= {"jti": uuid.uuid4().hex, "client_id": "bff", "scope": "openid shop", **changes}
        return {"authorization": f"Bearer {sign(self._key, good, kid=self._kid)}"}


async def callers(shop: Shop) -> Mapping[str, Mapping[str, str]]:
    issuer, now = Issuer(shop), int(time.time())
    with BrowserSession(shop) as here, BrowserSession(shop) as there:
        assert here.sign_in("ada").status_code == there.sign_in("ada").status_code == 200
        session, ended = (
            {"cookie": f"__Host-bff={one.cookies['__Host-bff']}", "x-bff": "1"} for one in (here, there)
        )
        assert there.send("POST", f"{shop.url}/bff/logout", headers={"x-bff": "1"}).status_code == 200
    return {
        "nobody": {},
        "expired": issuer.bearer(iat=now - 600, exp=now - 300),
        "wrong audience": issuer.bearer(aud="bank"),
        "wrong scope": issuer.bearer(scope="openid profile saga"),
        "wrong role": issuer.bearer(roles=["guest"]),
        "other user": issuer.bearer("grace"),
        "right user": issuer.bearer(),
        "right user's session": session,
        "ended session": ended,
    }


async def test_every_route_of_the_shop_answers_each_caller_as_declared(shop: Shop) -> None:
    who = await callers(shop)
    assert tuple(who) == CALLERS
    async with shop.api("ada") as client:
        placed = await client.post("/api/orders", json=basket(), headers={"idempotency-key": f'"{key()}"'})
        assert placed.status_code == 202, placed.text
        order = placed.json()["saga"]["id"]
    file = next(Path(declared.page.folders["/client"]).glob("*.js")).name if declared.page else ""
    examples = {
        "/api/screens/products/{sku}": Example("/api/screens/products/mug-01"),
        "/api/screens/baskets/{items}": Example("/api/screens/baskets/mug-01:1"),
        "/api/screens/orders/{id}": Example(f"/api/screens/orders/{order}", other=404),
        "/api/orders": Example("/api/orders", good=(202,), json=basket()),
        # The order may have ended by then.
        "/api/orders/{id}/cancel": Example(f"/api/orders/{order}/cancel", good=(202, 409, 422), other=404),
        "/bff/sagas/{type}/{id}": Example(f"/bff/sagas/order/{order}", other=404),
        "/bff/login": Example("/bff/login", good=(303,)),
        **{f"{path}/{{provider}}": Example(f"{path}/oidc") for path in SIGN_IN},
        "/bff/sessions/{id}": Example("/bff/sessions/none"),
        "/products/{sku}": Example("/products/mug-01"),
        "/orders/{id}": Example(f"/orders/{order}"),
        "/assets": Example("/assets/index.html"),
        "/client": Example(f"/client/{file}"),
    }
    # The table of routes is made from the settings with which the gateway was started.
    runtime = build(declared, settings_file.load(shop.environment()), Extensions())
    try:
        async with shop.api(None) as client:
            asks, wrong = await wrongs(runtime, client, who, examples)
        count = len(list(routes(runtime)))
    finally:
        await runtime.stop()
    assert not wrong, "\n".join(wrong)
    print(f"\n{count} routes, {asks} answers as declared")


async def test_the_token_of_a_service_is_not_accepted_as_a_customers(shop: Shop) -> None:
    headers = {"authorization": f"Bearer {shop.world.service_token()}"}
    async with shop.api(None) as client:
        for path in ("/api/screens/orders", "/bff/live/snapshot"):
            answer = await client.get(path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
