"""Every method, parameters from headers and cookies, replies with a status, headers and cookies, and redirects."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import pytest
from pydantic import BaseModel

from bff import Cookie, Gateway, Header, Principal, Query, Redirect, Reply, Router, SetCookie
from bff.edge.settings import Settings

from ..waiting import GUARD
from .gateway import World, bearer, keyed, running


class Note(BaseModel):
    text: str


class Filter(BaseModel):
    state: str = "open"
    page: int = 1
    label: list[str] = []


class Heard(BaseModel):
    language: str
    theme: str | None
    formats: list[str]


def declare(settings: Settings) -> Gateway:
    notes = Router(prefix="/api/notes")
    kept: dict[str, str] = {}

    @notes.view("")
    async def search(filter: Filter, text: Annotated[str, Query("q")] = "") -> dict[str, Any]:
        return {"filter": filter.model_dump(), "text": text}

    @notes.view("/{id}")
    async def read(id: str) -> Note:
        return Note(text=kept.get(id, "nothing"))

    @notes.command("/{id}", method="PUT")
    async def write(id: str, note: Note) -> Note:
        kept[id] = note.text
        return note

    @notes.command("/{id}", method="PATCH")
    async def add(id: str, more: list[Note]) -> Note:
        kept[id] = kept.get(id, "") + "".join(note.text for note in more)
        return Note(text=kept[id])

    @notes.command("/{id}", method="DELETE")
    async def remove(id: str) -> None:
        kept[id] = kept.get(id, "") + "-removed"

    @notes.command("/{id}/done")
    async def done(id: str, note: Note | None = None) -> Reply[Note]:
        mark = SetCookie("seen", id, max_age=60)
        return Reply(
            note or Note(text="none"), 201, {"X-Total-Count": "7", "Link": "</x>; rel=next"}, (mark,)
        )

    @notes.command("/{id}/move")
    async def move(id: str, to: str) -> Note | Redirect:
        return Redirect(to) if to else Note(text="stays")

    gateway = Gateway("notes", deadline=GUARD, settings=settings, redirects=("https://pay.example.org",))

    @gateway.view("/api/heard", public=True)
    async def heard(
        language: Annotated[str, Header("Accept-Language")] = "en",
        theme: Annotated[str | None, Cookie()] = None,
        formats: Annotated[list[str], Header("x-formats")] = [],  # noqa: B006
    ) -> Heard:
        return Heard(language=language, theme=theme, formats=formats)

    @gateway.view("/api/who")
    async def who(who: Principal) -> Reply[Note]:
        return Reply(
            Note(text=who.subject), cookies=(SetCookie("hint", "1", readable=True, same_site="Strict"),)
        )

    @gateway.view("/api/old", public=True)
    async def old() -> Redirect:
        return Redirect("/api/heard", 308)

    gateway.include(notes)
    return gateway


async def send(
    world: World, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    return await world.client.request(method, path, headers=bearer() | (headers or {}), **more)


async def test_one_path_takes_several_methods_and_the_others_are_405(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        written = await send(world, "PUT", "/api/notes/a", json={"text": "one"})
        more = await world.client.patch(
            "/api/notes/a", headers=keyed(), json=[{"text": " two"}, {"text": " three"}]
        )
        assert (written.json(), more.json()) == ({"text": "one"}, {"text": "one two three"})
        gone = await send(world, "DELETE", "/api/notes/a")
        assert (gone.status_code, gone.content) == (204, b"")
        assert not {"content-length", "content-type"} & gone.headers.keys()
        assert (await world.get("/api/notes/a")).json() == {"text": "one two three-removed"}
        wrong = await send(world, "POST", "/api/notes/a", json={"text": "x"})
        assert wrong.status_code == 405
        assert wrong.headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"


async def test_a_key_is_required_for_post_and_patch_and_honoured_for_put_and_delete(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        for method, path, body in (
            ("PATCH", "/api/notes/b", []),
            ("POST", "/api/notes/b/done", {"text": "x"}),
        ):
            refused = await send(world, method, path, json=body)
            assert (refused.status_code, refused.json()["code"]) == (400, "idempotency-key-missing")
        key = keyed()
        for replayed in (None, "true"):
            gone = await world.client.delete("/api/notes/b", headers=key)
            assert (gone.status_code, gone.headers.get("idempotency-replayed")) == (204, replayed)
        for _ in range(2):
            again = await send(world, "DELETE", "/api/notes/b")
            assert "idempotency-replayed" not in again.headers
        assert (await world.get("/api/notes/b")).json() == {"text": "-removed" * 3}
        # The same key with another method is another command.
        put = await world.client.put("/api/notes/b", headers=key, json={"text": "new"})
        assert (put.status_code, put.json()) == (200, {"text": "new"})


async def test_models_of_the_query_headers_and_cookies_are_read(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        found = await world.get("/api/notes?page=2&label=a&label=b&q=needle")
        assert found.json() == {"filter": {"state": "open", "page": 2, "label": ["a", "b"]}, "text": "needle"}
        wrong = await world.get("/api/notes?page=two")
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/page")
        headers = {"accept-language": "de", "cookie": "theme=dark; other=1", "x-formats": 'a, "b,c" ,, d'}
        heard = await world.client.get("/api/heard", headers=headers)
        assert heard.json() == {"language": "de", "theme": "dark", "formats": ["a", '"b,c"', "d"]}
        assert heard.headers["vary"].split(", ")[-3:] == ["Accept-Language", "X-Formats", "Cookie"]
        pairs = [("accept-language", "de"), ("accept-language", "en")]
        twice = await world.client.get("/api/heard", headers=pairs)
        assert (twice.status_code, twice.json()["errors"]) == (
            422,
            [{"pointer": "/accept-language", "in": "header", "detail": "It is given twice."}],
        )


async def test_a_reply_has_a_status_headers_and_cookies_and_is_replayed_without_cookies(
    redis_url: str,
) -> None:
    async with running(redis_url, declared=declare) as world:
        key = keyed()
        first = await world.client.post("/api/notes/c/done", headers=key)
        assert (first.status_code, first.json()) == (201, {"text": "none"})
        assert (first.headers["x-total-count"], first.headers["link"]) == ("7", "</x>; rel=next")
        assert first.headers["set-cookie"] == "seen=c; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"
        again = await world.client.post("/api/notes/c/done", headers=key)
        assert (again.status_code, again.content, again.headers["link"]) == (
            201,
            first.content,
            "</x>; rel=next",
        )
        assert not {"set-cookie", "x-total-count"} & again.headers.keys()
        screen = await world.get("/api/who")
        assert (screen.headers["cache-control"], screen.json()) == ("no-store", {"text": "ada"})
        assert screen.headers["set-cookie"] == "hint=1; Path=/; Secure; SameSite=Strict"


async def test_a_redirect_leads_to_this_site_or_a_declared_one_and_nowhere_else(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:

        async def moved(to: str) -> httpx.Response:
            return await world.client.post("/api/notes/d/move", params={"to": to}, headers=keyed())

        for good in ("/api/heard?x=1", "https://pay.example.org/order/7"):
            found = await moved(good)
            assert (found.status_code, found.headers["location"], found.content) == (303, good, b"")
        for bad in (
            "//evil.example",
            "/\\\\evil.example",
            "https://evil.example",
            "https://pay.example.org@evil.example/",
            "https://pay.example.org:444/",
            "http://pay.example.org/",
            "javascript:alert(1)",
            "/x\r\nset-cookie: a=b",
        ):
            refused = await moved(bad)
            assert (refused.status_code, "location" in refused.headers) == (500, False), bad
        assert (await moved("")).json() == {"text": "stays"}
        old = await world.client.get("/api/old")
        assert (old.status_code, old.headers["location"]) == (308, "/api/heard")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_csrf_is_checked_for_every_method_that_writes(redis_url: str, method: str) -> None:
    async with running(redis_url, declared=declare) as world:
        answer = await world.client.request(method, "/api/notes/e", headers={"idempotency-key": "k"}, json={})
        assert answer.status_code == 401


async def test_each_method_of_a_path_is_in_the_description(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        document = (await world.client.get("/openapi.json")).json()
        operations = document["paths"]["/api/notes/{id}"]
        assert set(operations) == {"get", "put", "patch", "delete"}
        keys = {
            method: [
                one["required"]
                for one in operations[method]["parameters"]
                if one["name"] == "Idempotency-Key"
            ]
            for method in ("put", "patch", "delete")
        }
        assert keys == {"put": [False], "patch": [True], "delete": [False]}
        assert (
            "204" in operations["delete"]["responses"]
            and "content" not in operations["delete"]["responses"]["204"]
        )
        heard = {(one["in"], one["name"]) for one in document["paths"]["/api/heard"]["get"]["parameters"]}
        assert heard == {("header", "accept-language"), ("cookie", "theme"), ("header", "x-formats")}


async def test_a_complete_screen_that_the_client_has_is_not_sent_again(redis_url: str) -> None:
    async with running(redis_url, declared=declare) as world:
        first = await world.client.get("/api/heard")
        etag = first.headers["etag"]
        again = await world.client.get("/api/heard", headers={"if-none-match": f'"x", {etag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["cache-control"] == first.headers["cache-control"]
        assert "accept-language" in again.headers["vary"].lower()
        other = await world.client.get("/api/heard", headers={"if-none-match": etag, "accept-language": "de"})
        assert (other.status_code, other.headers["etag"] != etag) == (200, True)
        head = await world.client.head("/api/heard")
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)
        # An answer with cookies is made for this request alone.
        assert "etag" not in (await world.get("/api/who")).headers
