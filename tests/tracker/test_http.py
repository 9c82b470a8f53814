"""Everything that the tracker shows, over HTTP. The table in its README names the same things."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from ..waiting import GUARD, until
from .world import World, bearer

pytestmark = pytest.mark.asyncio(loop_scope="session")

# ---- writes --------------------------------------------------------------------------------------------------


async def test_one_path_has_several_methods_and_a_command_without_a_result_is_204(tracker: World) -> None:
    assigned = await tracker.call("PUT", "/api/tickets/1/assignee", json={"name": "bo"})
    assert (assigned.status_code, assigned.json()["assignee"]) == (200, "bo")
    released = await tracker.call("DELETE", "/api/tickets/1/assignee")
    assert (released.status_code, released.content) == (204, b"")
    assert (await tracker.get("/api/tickets/1")).json()["ticket"]["assignee"] is None
    wrong = await tracker.call("POST", "/api/tickets/1/assignee", json={"name": "bo"})
    assert (wrong.status_code, set(wrong.headers["allow"].split(", "))) == (405, {"PUT", "DELETE"})
    assert (await tracker.call("DELETE", "/api/tickets/1")).status_code == 204
    assert (await tracker.get("/api/tickets/1")).status_code == 404


async def test_post_and_patch_need_a_key_and_put_and_delete_may_have_one(tracker: World) -> None:
    for method, path, body in (
        ("POST", "/api/tickets", {"project": "apollo", "title": "It glows"}),
        ("PATCH", "/api/tickets/1", {"title": "It sings"}),
    ):
        refused = await tracker.client.request(method, path, headers=bearer(), json=body)
        assert refused.status_code == 400, method
    keyed = {"idempotency-key": "once"}
    first = await tracker.call("PUT", "/api/tickets/1/assignee", headers=keyed, json={"name": "cy"})
    again = await tracker.call("PUT", "/api/tickets/1/assignee", headers=keyed, json={"name": "cy"})
    assert (again.headers["idempotency-replayed"], again.content) == ("true", first.content)
    assert len(tracker.standin.to("/tickets/1/assignee")) == 1


async def test_a_new_ticket_is_201_with_its_address_and_a_repeat_says_the_same(tracker: World) -> None:
    new = {"project": "apollo", "title": "It glows"}
    made = await tracker.call("POST", "/api/tickets", headers={"idempotency-key": "new"}, json=new)
    again = await tracker.call("POST", "/api/tickets", headers={"idempotency-key": "new"}, json=new)
    assert made.status_code == again.status_code == 201
    assert made.headers["location"] == again.headers["location"] == f"/api/tickets/{made.json()['id']}"
    screen = await tracker.get(made.headers["location"])
    assert screen.json()["ticket"]["title"] == "It glows"


async def test_a_list_is_a_body_and_each_member_is_done_or_says_why_not(tracker: World) -> None:
    moves = [{"id": "1", "state": "done"}, {"id": "none", "state": "done"}]
    moved = await tracker.call("PATCH", "/api/tickets", json=moves)
    assert [part["state"] for part in moved.json()] == ["ready", "missing"]
    assert moved.json()[1]["owner"]["team"] == "Tracking"
    wrong = await tracker.call("PATCH", "/api/tickets", json=[{"id": "1", "state": "gone"}])
    assert wrong.status_code == 422
    assert [(one["pointer"], one["in"]) for one in wrong.json()["errors"]] == [("/0/state", "body")]


# ---- parameters ----------------------------------------------------------------------------------------------


async def test_a_model_is_the_query_with_lists_aliases_and_defaults(tracker: World) -> None:
    found = await tracker.get("/api/tickets?state=open&state=done&per-page=1&page=2")
    assert (found.headers["x-total-count"], len(found.json()["rows"])) == ("2", 1)
    (asked,) = tracker.standin.to("/tickets")
    assert asked.target == "/tickets?state=open&state=done&page=2&per_page=1"
    mine = await tracker.get("/api/tickets?assignee=me&state=open")
    assert [row["ticket"]["id"] for row in mine.json()["rows"]] == ["1"]
    wrong = await tracker.get("/api/tickets?state=gone&per-page=101&page=0")
    pointers = {(one["pointer"], one["in"]) for one in wrong.json()["errors"]}
    assert (wrong.status_code, pointers) == (
        422,
        {("/state/0", "query"), ("/per-page", "query"), ("/page", "query")},
    )


async def test_a_header_is_a_parameter_and_is_in_vary_and_in_the_key_of_the_cache(tracker: World) -> None:
    for language, word in (("de-CH, en;q=0.5", "Offen"), ("en", "Open"), ("de", "Offen")):
        found = await tracker.get("/api/tickets", **{"accept-language": language})
        assert found.json()["states"]["data"]["open"] == word
        assert "Accept-Language" in found.headers["vary"]
    # German was asked for once: the second time it came from the cache.
    assert [one.headers["accept-language"] for one in tracker.standin.to("/states")] == ["de", "en"]


async def test_a_cookie_is_a_parameter_and_a_command_sets_it_once(tracker: World) -> None:
    plain = await tracker.client.get("/api/preferences")
    assert plain.json() == {"theme": "light", "language": "en"}
    assert {"Cookie", "Accept-Language"} <= set(plain.headers["vary"].split(", "))
    keyed = {"idempotency-key": "dark"}
    kept = await tracker.call("PUT", "/api/preferences", headers=keyed, json={"theme": "dark"})
    assert kept.headers["set-cookie"].startswith("tracker-theme=dark; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert kept.headers["cache-control"] == "no-store"
    again = await tracker.call("PUT", "/api/preferences", headers=keyed, json={"theme": "dark"})
    assert again.headers["idempotency-replayed"] == "true" and "set-cookie" not in again.headers
    dark = await tracker.client.get("/api/preferences", headers={"cookie": "tracker-theme=dark"})
    assert dark.json()["theme"] == "dark"
    wrong = await tracker.client.get("/api/preferences", headers={"cookie": "tracker-theme=pink"})
    assert wrong.status_code == 422
    assert [(one["pointer"], one["in"]) for one in wrong.json()["errors"]] == [("/tracker-theme", "cookie")]


async def test_a_dependency_is_resolved_once_for_each_request(tracker: World) -> None:
    taken = await tracker.call("POST", "/api/tickets/2/take")
    assert taken.json()["assignee"] == "ada"
    assert len(tracker.standin.to("/people/ada")) == 1


# ---- answers -------------------------------------------------------------------------------------------------


async def test_a_redirect_leads_to_this_site_or_to_the_declared_one(tracker: World) -> None:
    for ticket, location in (("1", "/#ticket-1"), ("2", "https://old.example.org/tickets/77")):
        found = await tracker.get(f"/api/tickets/{ticket}/origin")
        assert (found.status_code, found.headers["location"]) == (303, location)


async def test_an_export_is_a_file_that_is_written_while_it_is_sent(tracker: World) -> None:
    found = await tracker.get("/api/exports/tickets.csv?project=hermes")
    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    assert found.headers["content-disposition"].startswith('attachment; filename="hermes.csv"')
    lines = found.text.splitlines()
    assert (lines[0], len(lines)) == ("id,project,title,state,assignee", 61)
    assert len(tracker.standin.to("/tickets")) == 3, "sixty tickets in pages of twenty"


async def test_a_download_comes_from_a_call(tracker: World) -> None:
    none = await tracker.get("/api/tickets/1/newest-file")
    assert (none.status_code, none.json()["code"]) == (404, "no-files")
    body = b"%PDF-1.7 " + b"x" * 100_000
    assert (await tracker.call("PUT", "/api/tickets/1/files/plan.pdf", content=body)).status_code == 201
    found = await tracker.get("/api/tickets/1/newest-file")
    assert (found.content, found.headers["content-length"]) == (body, str(len(body)))
    assert found.headers["content-disposition"].startswith('attachment; filename="plan.pdf"')


async def test_a_complete_screen_has_an_etag_and_is_304_for_who_knows_it(tracker: World) -> None:
    path = "/api/tickets?project=hermes&per-page=60"
    plain = await tracker.get(path, **{"accept-encoding": "identity"})
    packed = await tracker.get(path, **{"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and packed.content == plain.content
    assert packed.num_bytes_downloaded * 4 < len(plain.content)
    assert packed.headers["etag"] != plain.headers["etag"], "one for each coding"
    for answer, coding in ((plain, "identity"), (packed, "gzip")):
        known = {"if-none-match": answer.headers["etag"], "accept-encoding": coding}
        same = await tracker.get(path, **known)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", answer.headers["etag"])
    head = await tracker.call("HEAD", path, headers={"accept-encoding": "identity"})
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type", "vary"):
        assert head.headers[name] == plain.headers[name]


# ---- calls ---------------------------------------------------------------------------------------------------


async def test_sixty_tickets_of_five_people_are_one_request_to_their_service(tracker: World) -> None:
    found = await tracker.get("/api/tickets?project=hermes&per-page=60")
    rows = found.json()["rows"]
    assert len(rows) == 60 and found.headers["bff-complete"] == "true"
    names = {row["assignee"]["data"]["full_name"] for row in rows}
    assert len(names) == 5
    (asked,) = tracker.standin.to("/people")
    assert sorted(asked.target.partition("?")[2].split("&")) == [
        f"name={name}" for name in ("ada", "bo", "cy", "di", "ed")
    ]


async def test_pages_are_linked_by_our_own_addresses(tracker: World) -> None:
    at, seen = "/api/tickets?project=hermes&per-page=25", []
    while at:
        found = await tracker.get(at)
        assert found.headers["x-total-count"] == "60"
        seen += [row["ticket"]["id"] for row in found.json()["rows"]]
        at = found.headers.get("link", "").partition("<")[2].partition(">")[0]
    assert sorted(seen) == sorted(f"h{number}" for number in range(60))


async def test_a_search_by_post_is_a_read_with_the_key_of_the_service(tracker: World) -> None:
    for _ in range(2):
        found = await tracker.get("/api/search?text=hum")
        assert [hit["title"] for hit in found.json()["tickets"]["data"]] == ["It hums"]
    asked = tracker.standin.to("/search")
    assert len(asked) == 3, "one for each kind; the second time from the cache"
    assert {(one.method, one.headers["x-api-key"], one.headers["x-api-version"]) for one in asked} == {
        ("POST", "only-for-development", "2")
    }
    assert not any("idempotency-key" in one.headers for one in asked)


async def test_a_form_is_sent_and_lines_of_json_are_read(tracker: World) -> None:
    begun = await tracker.call(
        "POST", "/api/projects/apollo/imports", json={"url": "https://old.example.org/?a=b&c"}
    )
    assert begun.status_code == 202, begun.text
    (sent,) = tracker.standin.to("/projects/apollo/imports")
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"
    assert sent.body == b"source=https%3A%2F%2Fold.example.org%2F%3Fa%3Db%26c"
    history = await tracker.get("/api/tickets/1/history")
    assert [change["text"] for change in history.json()["changes"]] == ["Created.", "Opened."]


# ---- forwards ------------------------------------------------------------------------------------------------


async def test_an_attachment_is_put_read_in_ranges_and_removed(tracker: World) -> None:
    path, body = "/api/tickets/1/files/noise.wav", bytes(range(256)) * 4_000
    put = await tracker.call("PUT", path, headers={"content-type": "audio/wav"}, content=body)
    assert (put.status_code, put.json()) == (
        201,
        {"name": "noise.wav", "size": len(body), "type": "audio/wav"},
    )
    whole = await tracker.get(path)
    assert whole.content == body and whole.headers["accept-ranges"] == "bytes"
    part = await tracker.get(path, range="bytes=1000-1999", **{"if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, body[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(body)}"
    changed = await tracker.get(path, range="bytes=1000-1999", **{"if-range": '"another"'})
    assert (changed.status_code, changed.content) == (200, body)
    beyond = await tracker.get(path, range=f"bytes={len(body)}-")
    assert beyond.status_code == 416
    assert (await tracker.call("HEAD", path)).headers["content-length"] == str(len(body))
    assert (await tracker.call("DELETE", path)).status_code == 204
    assert (await tracker.get(path)).status_code == 404


async def test_a_form_of_files_passes_and_its_location_is_ours(tracker: World) -> None:
    files = [("file", ("a b.txt", b"one", "text/plain")), ("file", ("c.png", b"two", "image/png"))]
    made = await tracker.call("POST", "/api/tickets/1/files", files=files)
    assert (made.status_code, made.headers["location"]) == (201, "/api/tickets/1/files/a%20b.txt")
    assert (await tracker.get(made.headers["location"])).content == b"one"
    listed = await tracker.get("/api/tickets/1/files")
    assert {(one["name"], one["type"]) for one in listed.json()} == {
        ("a b.txt", "text/plain"),
        ("c.png", "image/png"),
    }


async def test_more_than_an_upload_may_have_is_413_and_nothing_is_kept(tracker: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(tracker.site).port)
    token = bearer()["authorization"]
    head = f"PUT /api/tickets/1/files/x HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n"
    writer.write(head.encode() + b"content-length: 250000001\r\n\r\n")
    assert b" 413 " in await reader.readline()
    writer.close()
    assert tracker.files.whole("1") == []


async def test_the_event_stream_of_the_service_passes_as_it_comes(tracker: World) -> None:
    told: list[str] = []

    async def follow() -> None:
        async with tracker.client.stream("GET", "/api/tickets/1/events", headers=bearer()) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            async for line in stream.aiter_lines():
                told.append(line)

    following = asyncio.create_task(follow())
    try:
        await until(lambda: ": following" in told)
        await tracker.call("PUT", "/api/tickets/1/files/a.txt", content=b"x")
        await until(lambda: any(line.startswith("data: ") for line in told))
        data = next(line for line in told if line.startswith("data: "))
        assert json.loads(data.removeprefix("data: "))["name"] == "a.txt"
    finally:
        following.cancel()
        await asyncio.wait([following])


async def test_each_write_of_a_session_needs_the_proof_of_this_sites_page_forms_of_files_too(
    tracker: World,
) -> None:
    async with httpx.AsyncClient(base_url=tracker.site, trust_env=False, timeout=GUARD) as browser:
        # httpx does not return a `Secure` cookie to http://localhost by itself.
        session = await _session(browser)
        cookie = {"cookie": session, "sec-fetch-site": "same-origin"}
        assert (await browser.get("/api/tickets/1/files", headers=cookie)).status_code == 200
        writes = {
            "PUT": ("/api/tickets/1/files/x.txt", {"content": b"x"}),
            "DELETE": ("/api/tickets/1/files/x.txt", {}),
            "POST": ("/api/tickets/1/files", {"files": [("file", ("x.txt", b"x", "text/plain"))]}),
            "PATCH": ("/api/tickets/1", {"json": {"title": "It sings"}}),
        }
        for method, (path, more) in writes.items():
            keyed = cookie | {"idempotency-key": method}
            for lacks in (keyed, keyed | {"x-bff": "1", "sec-fetch-site": "cross-site"}):
                refused = await browser.request(method, path, headers=lacks, **more)  # type: ignore[arg-type]
                assert (refused.status_code, refused.json()["code"]) == (403, "csrf"), method
        assert tracker.files.whole("1") == []
        for method in ("PUT", "POST", "PATCH", "DELETE"):
            path, more = writes[method]
            proven = cookie | {"x-bff": "1", "idempotency-key": f"{method}-again"}
            done = await browser.request(method, path, headers=proven, **more)  # type: ignore[arg-type]
            assert done.is_success, f"{method}: {done.text}"


async def _session(browser: httpx.AsyncClient) -> str:
    """The session cookie after a sign-in."""
    begun = await browser.get("/bff/login?return=/")
    state = begun.headers["set-cookie"].partition(";")[0]
    back = await browser.get(begun.headers["location"])
    ended = await browser.get(back.headers["location"], headers={"cookie": state})
    found = [value.partition(";")[0] for value in ended.headers.get_list("set-cookie")]
    return next(value for value in found if value.startswith("__Host-bff="))
