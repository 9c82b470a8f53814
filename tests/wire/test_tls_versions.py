"""The version of TLS with a service: the newest that both sides have, and none below 1.2 (RFC 8996, RFC 9325)."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ..waiting import close_listener
from .authority import Authority
from .gateway import running
from .upstream import http


@asynccontextmanager
async def speaking(authority: Authority, newest: ssl.TLSVersion) -> AsyncIterator[tuple[int, list[str]]]:
    """A service that speaks no newer version: its port, and the version of each of its connections."""
    own = authority.pair("stock", host="localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.cert, own.key)
    if newest < ssl.TLSVersion.TLSv1_2:
        # OpenSSL's default security level has no cipher for the old versions.
        context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = min(newest, ssl.TLSVersion.TLSv1_2)
        context.maximum_version = newest
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append(writer.get_extra_info("ssl_object").version())
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(http(200, b'{"name":"x"}'))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    # A refused handshake is for the test to check; it is not logged.
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: None)
    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1], seen
    finally:
        await close_listener(listening)


@pytest.mark.parametrize("wire", ["httpx", "aiohttp"])
async def test_an_old_version_of_tls_is_refused_and_the_newest_is_used(
    redis_url: str, tmp_path: Path, wire: str
) -> None:
    authority = Authority(tmp_path / "authority")
    for newest, used in (
        (ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        (ssl.TLSVersion.TLSv1_1, None),
    ):
        async with speaking(authority, newest) as (port, seen):
            shelf = {"url": f"https://localhost:{port}", "wire": wire, "tls": {"ca": str(authority.file)}}
            async with running(redis_url, shelf_settings=shelf) as world:
                answer = await world.get("/api/required/ok")
                if used is None:
                    assert (answer.status_code, answer.json()["code"], seen) == (502, "unreachable", [])
                else:
                    assert (answer.status_code, set(seen)) == (200, {used}), answer.text
