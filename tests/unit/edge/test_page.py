"""The files of a site: each answer is the file as it is now, from memory or not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from bff.edge import page
from bff.edge.page import assets


def asking(folder: Path) -> httpx.AsyncClient:
    files = assets(folder, {"content-security-policy": "default-src 'self'"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await files(scope, receive, send)
        except HTTPException as error:
            await send({"type": "http.response.start", "status": error.status_code, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://desk")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with asking(tmp_path) as made:
        yield made


def written(file: Path, content: bytes, second: int) -> None:
    file.write_bytes(content)
    os.utime(file, (second, second))


async def test_a_changed_file_is_answered_as_it_is_now(tmp_path: Path, client: httpx.AsyncClient) -> None:
    file, seen = tmp_path / "app.js", []
    for second, content in enumerate((b"one", b"two", b"", b"four and longer")):
        written(file, content, 1_000_000 + second)
        for _ in range(2):
            answer = await client.get("/app.js")
            assert answer.content == content
            assert answer.headers["content-length"] == str(len(content))
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["content-security-policy"] == "default-src 'self'"
            assert answer.headers["content-type"].startswith("text/javascript")
        seen.append(answer.headers["etag"])
    assert len(set(seen)) == 4
    file.unlink()
    assert (await client.get("/app.js")).status_code == 404


async def test_a_known_file_is_answered_304_and_a_head_has_no_body(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    written(tmp_path / "app.css", b"body {}", 1_000_000)
    first = await client.get("/app.css")
    known = await client.get("/app.css", headers={"if-none-match": first.headers["etag"]})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", first.headers["etag"])
    head = await client.head("/app.css")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "7")


async def test_large_files_are_not_held_and_the_rest_is_bounded_in_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page._Files, "SMALL", 100)
    monkeypatch.setattr(page._Files, "MOST", 250)
    made: list[Any] = []
    start = page._Files.__init__

    def remembered(self: Any, folder: Path) -> None:
        made.append(self)
        start(self, folder)

    monkeypatch.setattr(page._Files, "__init__", remembered)
    async with asking(tmp_path) as client:
        for number, size in enumerate((100, 100, 101, 50, 100)):
            written(tmp_path / f"{number}.txt", bytes([65 + number]) * size, 1_000_000)
        for _ in range(2):
            for number in range(5):
                assert set((await client.get(f"/{number}.txt")).content) == {65 + number}
    (files,) = made
    held = {Path(name).name: len(content) for name, (_, content) in files._held.items()}
    assert held == {"1.txt": 100, "3.txt": 50, "4.txt": 100} and files._size == 250


@pytest.mark.parametrize(
    "path", ["/../secret", "/%2e%2e/secret", "/.hidden", "/_private", "/node_modules/x", "/none"]
)
async def test_what_is_outside_hidden_or_not_there_is_404(
    tmp_path: Path, client: httpx.AsyncClient, path: str
) -> None:
    (tmp_path.parent / "secret").write_text("secret")
    for name in (".hidden", "_private"):
        (tmp_path / name).write_text("secret")
    assert (await client.get(path)).status_code == 404
