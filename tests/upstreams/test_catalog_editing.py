"""The catalog as a content source: copies are revalidated by ETag, and edits are announced with a signature until they
are received."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from tests.upstreams.conftest import Serve
from upstreams.catalog.app import build
from upstreams.catalog.settings import CatalogSettings

from ..waiting import close_listener

SECRET = "a-secret-for-this-test-alone"


def edited(url: str | None = None) -> dict[str, Any]:
    """The settings of a catalog that is edited, and told of at that address."""
    return {"editing": True, "webhook_url": url, "webhook_secret": SecretStr(SECRET) if url else None}


class Listener:
    """Accepts messages when `taking`; otherwise answers 503."""

    def __init__(self) -> None:
        self.taking = True
        self.messages: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = [line.partition(":") for line in head.split("\r\n")[1:]]
                headers = {name.lower(): value.strip() for name, _, value in lines}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.messages.append((headers, body))
                status = b"204 No Content" if self.taking else b"503 Away"
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.messages) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/told"
    try:
        yield listener
    finally:
        await close_listener(server)


FORM = {"name": "Harbour <mug>", "description": "New & better.", "price_cents": "1990"}


async def test_a_copy_may_be_cached_for_a_while_and_is_revalidated_by_its_etag(serve: Serve) -> None:
    catalog = await serve(build, **edited())
    first = await catalog.get("/products/mug-01")
    assert first.headers["cache-control"] == "public, max-age=30"
    tag = first.headers["etag"]
    for known in (tag, f'"x", W/{tag}', "*"):
        again = await catalog.get("/products/mug-01", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = await catalog.get("/products/mug-01", headers={"if-none-match": '"x"'})
    assert (other.status_code, other.json()) == (200, first.json())
    assert "etag" not in (await catalog.get("/products/none")).headers


async def test_an_edit_is_visible_at_once_and_announced_with_a_signature(serve: Serve) -> None:
    async with listening() as listener:
        catalog = await serve(build, **edited(listener.url))
        tag = (await catalog.get("/products/mug-01")).headers["etag"]
        saved = await catalog.post("/edit/mug-01", data=FORM, headers={"origin": catalog.url})
        assert saved.status_code == 303
        page = await catalog.get(saved.headers["location"])
        assert "Harbour &lt;mug&gt;" in page.text
        assert "<mug>" not in page.text
        answer = await catalog.get("/products/mug-01", headers={"if-none-match": tag})
        assert (answer.json()["name"], answer.json()["price_cents"]) == ("Harbour <mug>", 1990)

        await listener.until(1)
        headers, body = listener.messages[0]
        told = json.loads(body)
        assert (told["event"], told["model"], told["entry"]["sku"]) == ("entry.update", "product", "mug-01")
        stamp = headers["webhook-timestamp"]
        assert abs(time.time() - int(stamp)) < 10
        signed = f"{headers['webhook-id']}.{stamp}.".encode() + body
        mac = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{mac}"


async def test_a_message_that_is_not_received_is_sent_again_with_the_same_id_and_in_order(
    serve: Serve,
) -> None:
    async with listening() as listener:
        listener.taking = False
        catalog = await serve(build, **edited(listener.url))
        for price in ("1", "2"):
            await catalog.post(
                "/edit/pen-01", data=FORM | {"price_cents": price}, headers={"origin": catalog.url}
            )
        await listener.until(2)
        listener.taking = True
        refused = len(listener.messages)
        await listener.until(refused + 2)
        ids = [headers["webhook-id"] for headers, _ in listener.messages]
        prices = [json.loads(body)["entry"]["price_cents"] for _, body in listener.messages]
        assert prices == [1] * (len(prices) - 1) + [2]
        assert len(set(ids)) == 2


@pytest.mark.parametrize("origin", [None, "http://evil.test", "null"])
async def test_a_form_from_another_site_changes_nothing(serve: Serve, origin: str | None) -> None:
    catalog = await serve(build, **edited())
    headers = {"origin": origin} if origin else {}
    assert (await catalog.post("/edit/mug-01", data=FORM, headers=headers)).status_code == 403
    assert (await catalog.get("/products/mug-01")).json()["name"] == "Harbour mug"


async def test_an_invalid_field_is_refused_by_name(serve: Serve) -> None:
    catalog = await serve(build, **edited())
    for change, field in (({"name": " "}, "name"), ({"price_cents": "-1"}, "price_cents"), ({"x": "1"}, "x")):
        headers = {"origin": catalog.url}
        refused = await catalog.post("/edit/mug-01", data=FORM | change, headers=headers)
        assert refused.status_code == 422
        assert refused.json()["detail"].startswith(f"{field}: ")
    assert (await catalog.post("/edit/none", data=FORM, headers={"origin": catalog.url})).status_code == 404


async def test_editing_is_off_by_default(serve: Serve) -> None:
    catalog = await serve(build)
    assert (await catalog.get("/edit")).status_code == 404
    with pytest.raises(ValidationError, match="WEBHOOK_SECRET"):
        CatalogSettings(webhook_url="http://x", webhook_secret=SecretStr("short"))
