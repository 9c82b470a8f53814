"""`rediss://`: the connection is encrypted, and only the host in the certificate is trusted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bff.stores.redis.client import RedisClient, StoreUnavailable

from ..waiting import close_listener
from .tls import certificate


@asynccontextmanager
async def encrypted(target: int, chain: tuple[Path, Path]) -> AsyncIterator[int]:
    """A TLS proxy in front of a Redis without TLS; yields the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*chain)
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_redis = await asyncio.open_connection("127.0.0.1", target)
        for ends in ((reader, to_redis), (behind, writer)):
            tasks.add(asyncio.create_task(pump(*ends)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    await close_listener(server)
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)


async def test_commands_are_encrypted_and_go_only_to_the_host_in_the_certificate(
    redis_url: str, tmp_path: Path
) -> None:
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    localhost, stranger = certificate(tmp_path, "localhost"), certificate(tmp_path, "stranger.test")
    async with encrypted(port, localhost) as good, encrypted(port, stranger) as bad:
        trust = f"?ssl_ca_certs={localhost[0]}"
        async with RedisClient(f"rediss://localhost:{good}/0{trust}", timeout=5) as redis:
            big = b"x" * 1_000_000
            assert await redis.call("SET", "k", big) == b"OK"
            assert await redis.call("GET", "k") == big
            apart = redis.dedicated(timeout=5)
            assert await apart.get("k") == big
            await apart.aclose()
        for url in (
            f"rediss://localhost:{good}/0",
            f"rediss://localhost:{bad}/0{trust}",
            f"rediss://localhost:{bad}/0?ssl_ca_certs={stranger[0]}",
            f"redis://localhost:{good}/0",
        ):
            async with RedisClient(url, timeout=1) as redis:
                with pytest.raises(StoreUnavailable):
                    await redis.ping()


def test_certificates_that_cannot_be_read_are_refused_by_name_at_the_start(tmp_path: Path) -> None:
    nothing, rubbish = tmp_path / "nothing.pem", tmp_path / "rubbish.pem"
    rubbish.write_text("this is no certificate")
    for scheme, path in (("rediss", "/0"), ("rediss+cluster", ""), ("rediss+sentinel", "/shop")):
        for file in (nothing, rubbish):
            with pytest.raises(ValueError, match=f"ssl_ca_certs={file}"):
                RedisClient(f"{scheme}://a:1{path}?ssl_ca_certs={file}")


async def test_a_host_name_that_the_certificate_lacks_is_named_in_the_error(
    redis_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    stranger = certificate(tmp_path, "stranger.test")
    async with encrypted(port, stranger) as bad:
        for scheme, path in (("rediss", ""), ("rediss+cluster", ""), ("rediss+sentinel", "/shop")):
            async with RedisClient(f"{scheme}://localhost:{bad}{path}", timeout=5) as redis:
                with pytest.raises(StoreUnavailable, match="certificate verify failed"):
                    await redis.call("GET", "k")
    errors = [
        record.getMessage() for record in caplog.records if "certificate verify failed" in record.message
    ]
    assert len(errors) == 3 and f"localhost:{bad}" in errors[0] and "the master shop" in errors[2]
