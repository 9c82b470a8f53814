"""A second person never sees the first one's order, saga, event or stored response, on any route."""

from __future__ import annotations

import asyncio
import re

import aiohttp

from tests.declarations import paths_of
from tests.waiting import GUARD
from web.shop.gateway import shop as declared

from .system import BrowserSession, Follower, Shop, basket, events, following, key, place

PARAMETER = re.compile(r"\{[a-z_]+\}")
PUBLIC = {"/api/screens/products", "/api/screens/products/{sku}", "/api/screens/baskets/{items}"}


async def test_on_every_route_another_person_gets_nothing_of_an_order(shop: Shop) -> None:
    click = key()
    async with shop.api("ada") as ada, shop.api("grace") as grace, following(shop, "grace") as [hers]:
        placed = await place(ada, basket("teapot-01"), click)
        id, cursor = placed.json()["saga"]["id"], placed.json()["cursor"]
        shop.world.ended(id)

        async with asyncio.timeout(GUARD):  # a notification comes a moment after the end of its order
            while id not in (await ada.get("/api/screens/notifications")).text:
                await asyncio.sleep(0.05)

        private = [view.path for view in declared.views if not view.public]
        assert set(paths_of(declared.views)) - set(private) == PUBLIC, (
            "a new public screen needs a check here"
        )
        for template in private:
            path = PARAMETER.sub(id, template)
            mine, theirs = await ada.get(path), await grace.get(path)
            assert mine.status_code == 200 and id in mine.text, path
            assert id not in theirs.text.replace(path, ""), path
            assert theirs.status_code == (404 if "{" in template else 200), path

        for template in paths_of(declared.commands):
            path = PARAMETER.sub(id, template)
            theirs = await grace.post(path, json=basket("teapot-01"), headers={"idempotency-key": click})
            assert "idempotency-replayed" not in theirs.headers, path
            assert id not in theirs.text.replace(path, ""), path
            answers = {"/api/orders": 202, "/api/notifications/read": 200}
            assert theirs.status_code == (404 if "{" in template else answers[template]), path
        unread = (await ada.get("/api/screens/notifications")).json()["unread"]
        assert unread > 0, "read marks of another person do not count here"
        untouched = (await ada.get(f"/api/screens/orders/{id}")).json()["order"]
        assert untouched["status"] == "COMPLETED"

        assert (await ada.get(f"/bff/sagas/order/{id}")).status_code == 200
        assert (await grace.get(f"/bff/sagas/order/{id}")).status_code == 404
        assert id not in (await grace.get("/bff/live/snapshot")).text
        assert id in (await ada.get("/bff/live/snapshot")).text

        # The cursor of another person is not valid for her: she gets her own state, and never his events.
        async with following(shop, "grace", query=f"?after={cursor}") as [stolen]:
            assert stolen.events[0].name == "reset"
            assert id not in str([event.data for event in stolen.events])
        assert id not in str([event.data for event in hers.events])


async def test_without_a_principal_every_private_route_is_401(shop: Shop) -> None:
    async with shop.api(None) as nobody:
        for view in declared.views:
            answer = await nobody.get(PARAMETER.sub("mug-01", view.path.replace("{items}", "mug-01:1")))
            assert answer.status_code == (200 if view.public else 401), view.path
        for template in paths_of(declared.commands):
            answer = await nobody.post(
                PARAMETER.sub("x", template), json=basket(), headers={"idempotency-key": key()}
            )
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), template
        for path in ("/bff/live", "/bff/live/snapshot", "/bff/sagas/order/x", "/bff/user"):
            assert (await nobody.get(path)).status_code == 401, path


async def test_a_cookie_session_can_do_what_a_token_can(shop: Shop) -> None:
    def walk() -> None:
        with BrowserSession(shop) as browser:
            assert browser.send("GET", f"{shop.url}/bff/user").status_code == 401
            done = browser.sign_in("ada", "/orders")
            assert done.status_code == 200 and "/orders" in done.text
            user = browser.send("GET", f"{shop.url}/bff/user").json()
            assert user["sub"] == "ada" and user["name"] == "Ada Lovelace"
            assert "token" not in str(browser.cookies).lower().replace("__host-bff", "")

            order = {"json": basket(), "headers": {"idempotency-key": key()}}
            refused = browser.send("POST", f"{shop.url}/api/orders", **order)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
            order["headers"]["x-bff"] = "1"  # type: ignore[index]
            placed = browser.send("POST", f"{shop.url}/api/orders", **order)
            assert placed.status_code == 202
            shop.world.ended(placed.json()["saga"]["id"])

            out = browser.send("POST", f"{shop.url}/bff/logout", headers={"x-bff": "1"})
            onward = browser.send("GET", shop.url + out.json()["redirect"])
            assert out.status_code == 200
            assert onward.headers["location"].startswith(shop.world.url("identity"))
            assert browser.send("GET", f"{shop.url}/bff/user").status_code == 401

    await asyncio.to_thread(walk)


async def test_a_stream_ends_with_its_session(shop: Shop) -> None:
    with BrowserSession(shop) as browser:
        await asyncio.to_thread(browser.sign_in, "grace")
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        follower = _WithCookie(shop, "grace", cookie)
        task = asyncio.create_task(follower.run())
        await follower.until(lambda one: one.events)
        await asyncio.to_thread(browser.send, "POST", f"{shop.url}/bff/logout", headers={"x-bff": "1"})
        await follower.until(lambda one: any(event.name == "bye" for event in one.events), 2)
        assert follower.events[-1].data["reason"] == "logout"
        task.cancel()


class _WithCookie(Follower):
    def __init__(self, shop: Shop, person: str, cookie: str) -> None:
        super().__init__(shop, person)
        self.cookie = cookie

    async def run(self) -> None:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(f"{self.shop.url}/bff/live", headers={"cookie": self.cookie}) as answer,
        ):
            assert answer.status == 200
            async for event in events(answer.content):
                self._take(event)
