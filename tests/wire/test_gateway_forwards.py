"""Forwards over real sockets: what passes in each direction, what never does, and what a failure is answered with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from bff import Gateway, Router, Upstream
from bff.edge.settings import Settings

from ..waiting import GUARD, until
from .gateway import World, bearer, running
from .scripted import Asked
from .upstream import http


class Shelf(Upstream, team="Shelf team", contact="#shelf"):
    """The upstream of these tests, whose name is in the settings."""


shelf = Shelf()


def declare(settings: Settings) -> Gateway:
    files = Router(prefix="/api/files")
    files.forward(
        "/{path:path}", shelf, "/v1/files/{path}", methods=("GET", "PUT", "POST", "DELETE"), upload=100_000
    )
    gateway = Gateway("files", deadline=GUARD, settings=settings, routers=(files,))
    gateway.forward(
        "/api/public/{name}", shelf, "/v1/files/open/{name}", public=True, answer_headers=("X-Kind",)
    )
    gateway.forward(
        "/api/pdf/{name}", shelf, "/v1/files/pdf/{name}", public=True, inline=("application/pdf",)
    )
    gateway.forward("/api/shelves", shelf, "/v1/shelves", methods=("POST",))
    gateway.forward("/api/shelves/{name}", shelf, "/v1/shelves/{name}")
    gateway.forward(
        "/api/assets/{name}", shelf, "/v1/assets/{name}", public=True, inline=("text/javascript",)
    )
    gateway.forward("/api/quick/{name}", shelf, "/v1/files/{name}", public=True, deadline=0.3)

    @gateway.view("/api/files/special", public=True)
    async def special() -> dict[str, str]:
        return {"from": "the view"}

    return gateway


Answer = bytes | Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


def answers(world: World, path: str, answer: Answer) -> None:
    world.upstream.answers[path] = answer


async def test_an_exchange_passes_whole_and_nothing_of_the_session_or_the_gateway_does(
    redis_url: str,
) -> None:
    async with running(redis_url, declared=declare) as world:
        sent = (
            'content-type: image/png\r\netag: "v1"\r\naccept-ranges: bytes\r\nx-kind: a\r\nset-cookie: a=b\r\n'
            "server: secret/1.0\r\naccess-control-allow-origin: *\r\nx-correlation-id: theirs\r\n"
        )
        answers(world, "/v1/files/a/b%20c.png", http(200, b"picture", sent))
        headers = {
            "cookie": "other=1",
            "x-forwarded-for": "6.6.6.6",
            "x-forwarded-host": "evil.test",
            "accept": "image/*",
            "range": "bytes=0-6",
            "if-range": '"v1"',
            "x-own": "dropped",
            "te": "trailers",
        }
        found = await world.get("/api/files/a/b%20c.png?size=2&x=%2F", **headers)
        assert (found.status_code, found.content) == (200, b"picture")
        assert (found.headers["content-type"], found.headers["etag"]) == ("image/png", '"v1"')
        assert found.headers["content-length"] == "7"
        assert (
            found.headers["content-security-policy"]
            == "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["cache-control"] == "private, no-cache"
        assert not {
            "set-cookie",
            "server",
            "access-control-allow-origin",
            "x-kind",
            "content-disposition",
        } & set(found.headers)
        (asked,) = world.upstream.asked
        assert asked.target == "/v1/files/a/b%20c.png?size=2&x=%2F"
        assert (asked.headers["accept"], asked.headers["range"], asked.headers["if-range"]) == (
            "image/*",
            "bytes=0-6",
            '"v1"',
        )
        assert asked.headers["authorization"].startswith("Bearer ")
        assert asked.headers["x-correlation-id"] == found.headers["x-correlation-id"] != "theirs"
        assert not {"cookie", "x-own", "te", "x-bff"} & set(asked.headers)
        assert not [name for name in asked.headers if name.startswith("x-forwarded")]


async def test_the_service_of_a_public_forward_is_not_told_who_asks(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        answers(world, "/v1/files/open/a", http(200, b"same", "cache-control: public, max-age=60\r\n"))
        found = await world.get("/api/public/a")
        assert (found.content, found.headers["cache-control"]) == (b"same", "public, max-age=60")
        ended = await world.client.get("/api/public/a", headers={"authorization": "Bearer expired"})
        assert ended.status_code == 200
        for asked in world.upstream.asked:
            assert not {"authorization", "bff-owner", "cookie"} & set(asked.headers)


async def test_a_body_is_passed_on_with_its_type_and_key_and_in_our_framing(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        answers(
            world,
            "/v1/files/new",
            http(201, b"{}", "content-type: application/json\r\nlocation: /v1/files/7?x=1\r\n"),
        )
        headers = bearer() | {"content-type": "image/png", "idempotency-key": "k1"}
        made = await world.client.post("/api/files/new", headers=headers, content=b"picture")
        assert (made.status_code, made.headers["location"]) == (201, "/api/files/7?x=1")
        (asked,) = world.upstream.asked
        assert (asked.body, asked.headers["content-type"], asked.headers["content-length"]) == (
            b"picture",
            "image/png",
            "7",
        )
        assert asked.headers["idempotency-key"] == "k1"
        none = await world.client.delete("/api/files/new", headers=bearer())
        assert none.status_code == 201
        assert "transfer-encoding" not in world.upstream.asked[-1].headers


async def test_an_address_of_another_forward_to_the_same_service_is_rewritten(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        for address, expected in (
            ("/v1/shelves/a%20b", "/api/shelves/a%20b"),
            ("/v1/files/x/y", "/api/files/x/y"),
            ("/v1/other/a", None),
            ("https://evil.test/v1/shelves/a", None),
        ):
            head = f"content-type: application/json\r\nlocation: {address}\r\n"
            answers(world, "/v1/shelves", http(201, b"{}", head))
            made = await world.client.post("/api/shelves", headers=bearer(), content=b"{}")
            assert (made.status_code, made.headers.get("location")) == (201, expected)


async def test_a_body_beyond_the_bound_is_413_and_is_not_complete_at_the_service(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        large = await world.client.put("/api/files/x", headers=bearer(), content=b"a" * 100_001)
        assert (large.status_code, large.json()["code"], world.upstream.asked) == (413, "body-too-large", [])

        async def pieces() -> object:
            for _ in range(30):
                yield b"a" * 10_000

        unknown = await world.client.put("/api/files/x", headers=bearer(), content=pieces())  # type: ignore[arg-type]
        assert (unknown.status_code, unknown.json()["code"]) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("media", "disposition", "expected"),
    [
        ("text/html", "", "attachment"),
        ("image/svg+xml", "", "attachment"),
        ("text/html", 'inline; filename="a.html"', 'attachment; filename="a.html"'),
        ("text/html", "INLINE", "attachment"),
        ("application/xhtml+xml", "", "attachment"),
        ("text/html;charset=utf-8", 'attachment; filename="a"', 'attachment; filename="a"'),
        ("", "", "attachment"),
        ("application/pdf", "", "attachment"),
        ("image/png", "", None),
        ("video/mp4", 'inline; filename="a.mp4"', 'inline; filename="a.mp4"'),
        ("text/plain", "", None),
    ],
)
async def test_what_a_browser_could_run_is_offered_for_saving(
    redis_url: str, media: str, disposition: str, expected: str | None
) -> None:
    async with running(redis_url, declared=declare) as world:
        head = f"content-type: {media}\r\n" if media else ""
        head += f"content-disposition: {disposition}\r\n" if disposition else ""
        answers(world, "/v1/files/open/x", http(200, b"<script>alert(1)</script>", head))
        found = await world.client.get("/api/public/x")
        assert (found.status_code, found.headers.get("content-disposition")) == (200, expected)
        assert found.headers["content-security-policy"].startswith("sandbox;")


@pytest.mark.parametrize(
    "destination", ["script", "serviceworker", "sharedworker", "worker", "style", "xslt"]
)
async def test_a_page_runs_only_what_a_forward_declares(redis_url: str, destination: str) -> None:
    async with running(redis_url, declared=declare) as world:
        code = http(200, b"alert(1)", "content-type: text/javascript; charset=utf-8\r\n")
        answers(world, "/v1/files/open/x", code)
        answers(world, "/v1/assets/x", code)
        asked = {"sec-fetch-dest": destination}
        refused = await world.client.get("/api/public/x", headers=asked)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "alert(1)" not in refused.text
        declared = await world.client.get("/api/assets/x", headers=asked)
        assert (declared.status_code, declared.text) == (200, "alert(1)")
        # It is offered for saving, and no cache gives this answer to a page that wants a script.
        saved = await world.client.get("/api/public/x", headers={"sec-fetch-dest": "document"})
        assert saved.status_code == 200 and saved.headers["content-disposition"] == "attachment"
        assert "Sec-Fetch-Dest" in saved.headers["vary"]
        same = http(304, b"").replace(b"content-type: application/json\r\ncontent-length: 0\r\n", b"")
        for path, expected in (("public", 403), ("assets", 304)):
            answers(world, "/v1/files/open/x" if path == "public" else "/v1/assets/x", same)
            known = await world.client.get(f"/api/{path}/x", headers=asked | {"if-none-match": '"v1"'})
            assert known.status_code == expected


async def test_of_two_media_types_the_one_that_was_decided_on_passes(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        for first, last, disposition in (
            ("text/html", "image/png", None),
            ("image/png", "text/html", "attachment"),
        ):
            head = f"content-type: {first}\r\ncontent-type: {last}\r\n"
            answers(world, "/v1/files/open/x", http(200, b"<script>alert(1)</script>", head))
            found = await world.client.get("/api/public/x")
            assert found.headers.get_list("content-type") == [last]
            assert found.headers.get("content-disposition") == disposition


async def test_declared_types_are_shown_and_declared_headers_pass(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        answers(world, "/v1/files/pdf/x", http(200, b"%PDF", "content-type: application/pdf\r\n"))
        assert "content-disposition" not in (await world.client.get("/api/pdf/x")).headers
        links = "link: </v1/files/open/y>; rel=next, <https://evil.test/>; rel=prev\r\n"
        links += "x-kind: a\r\ncache-control: max-age=60\r\n"
        answers(world, "/v1/files/open/x", http(200, b"{}", links))
        found = await world.client.get("/api/public/x")
        assert (found.headers["link"], found.headers["x-kind"]) == ("</api/public/y>; rel=next", "a")
        assert found.headers["cache-control"] == "max-age=60"


async def test_failures_name_the_owner_and_4xx_pass_whole(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        for status, expected, code in (
            (500, 502, "failed"),
            (503, 503, "overloaded"),
            (429, 503, "overloaded"),
            (401, 502, "refused"),
            (302, 502, "failed"),
        ):
            answers(world, "/v1/files/x", http(status, b"secret insides", "location: https://evil.test/\r\n"))
            found = await world.get("/api/files/x")
            assert (found.status_code, found.json()["code"]) == (expected, code), status
            assert found.json()["owner"]["team"] == "Shelf team"
            assert "secret" not in found.text and "location" not in found.headers
        answers(world, "/v1/files/x", http(404, b'{"own":"words"}', "content-type: application/json\r\n"))
        found = await world.get("/api/files/x")
        assert (found.status_code, found.json()) == (404, {"own": "words"})
        answers(world, "/v1/files/x", http(304, b"", 'etag: "v1"\r\n').replace(b"content-length: 0\r\n", b""))
        same = await world.get("/api/files/x", **{"if-none-match": '"v1"'})
        assert (same.status_code, same.headers["etag"]) == (304, '"v1"')


async def test_a_view_at_a_more_exact_address_answers_first_and_an_unlisted_method_is_405(
    redis_url: str,
) -> None:
    async with running(redis_url, declared=declare) as world:
        assert (await world.client.get("/api/files/special")).json() == {"from": "the view"}
        wrong = await world.client.patch("/api/files/x", headers=bearer())
        assert (wrong.status_code, set(wrong.headers["allow"].split(", "))) == (
            405,
            {"GET", "HEAD", "PUT", "POST", "DELETE"},
        )
        assert (await world.client.get("/api/files/x")).status_code == 401
        assert world.upstream.asked == []


@pytest.mark.parametrize(
    "path", ["", "..", "a/../b", "a//b", "a%2Fb", "a/./b", "a%5Cb", "%2e%2e/x", "a/..;x/b"]
)
async def test_a_path_in_another_form_is_404_and_nothing_is_sent(redis_url: str, path: str) -> None:
    async with running(redis_url, declared=declare) as world:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(world.url).port)
        head = (
            f"GET /api/files/{path} HTTP/1.1\r\nhost: x\r\nauthorization: {bearer()['authorization']}\r\n\r\n"
        )
        writer.write(head.encode())
        status = await reader.readline()
        writer.close()
        assert b" 404 " in status
        assert world.upstream.asked == []


async def test_no_answer_in_time_is_504_and_a_cut_answer_is_no_whole_one(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:

        async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(GUARD)

        async def cut(asked: Asked, writer: asyncio.StreamWriter) -> None:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
            )
            await writer.drain()
            writer.close()

        answers(world, "/v1/files/late", silent)
        late = await world.client.get("/api/quick/late")
        assert (late.status_code, late.json()["code"]) == (504, "timeout")
        answers(world, "/v1/files/open/cut", cut)
        with pytest.raises(httpx.RemoteProtocolError):
            await world.client.get("/api/public/cut")


async def test_an_event_stream_passes_as_it_comes_and_ends_at_the_service_when_the_client_leaves(
    redis_url: str,
) -> None:
    async with running(redis_url, declared=declare) as world:
        closed, more = asyncio.Event(), asyncio.Event()

        async def events(asked: Asked, writer: asyncio.StreamWriter) -> None:
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            writer.write(b"9\r\ndata: 1\n\n\r\n")
            await more.wait()
            writer.write(b"9\r\ndata: 2\n\n\r\n")
            try:
                while True:
                    writer.write(b"3\r\n:\n\n\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            finally:
                closed.set()

        answers(world, "/v1/files/open/events", events)
        async with world.client.stream("GET", "/api/public/events") as stream:
            pieces = stream.aiter_raw()
            assert await anext(pieces) == b"data: 1\n\n"
            more.set()
            assert (await anext(pieces)).startswith(b"data: 2\n\n")
        await asyncio.wait_for(closed.wait(), GUARD)


async def test_every_exchange_gives_its_permit_back(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        answers(world, "/v1/files/open/x", http(200, b"x" * 1000))
        await asyncio.gather(*(world.client.get("/api/public/x") for _ in range(20)))
        runtime = world.gateway.runtime
        assert runtime is not None
        client = runtime.calls.pipeline.clients["shelf"]

        await until(lambda: client.permits.bulkhead.used == 0)
        assert [backend.pending for backend in client.backends] == [0]


async def test_the_service_says_no_before_it_has_read_everything(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        answers(
            world,
            "/v1/files/x",
            http(409, json.dumps({"no": 1}).encode(), "content-type: application/json\r\n"),
        )
        refused = await world.client.put("/api/files/x", headers=bearer(), content=b"a" * 90_000)
        assert (refused.status_code, refused.json()) == (409, {"no": 1})
