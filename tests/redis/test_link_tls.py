"""`rediss://`: the connection is encrypted, and only who the certificate names is believed."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bff.stores.link import RedisLink, StoreUnavailable


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secret))
    return paths


@asynccontextmanager
async def encrypted(target: int, chain: tuple[Path, Path]) -> AsyncIterator[int]:
    """TLS before a Redis that has none; gives the port."""
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
    server.close()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)


async def test_commands_go_encrypted_and_only_to_whom_the_certificate_names(
    redis_url: str, tmp_path: Path
) -> None:
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    localhost, stranger = certificate(tmp_path, "localhost"), certificate(tmp_path, "stranger.test")
    async with encrypted(port, localhost) as good, encrypted(port, stranger) as bad:
        trust = f"?ssl_ca_certs={localhost[0]}"
        async with RedisLink(f"rediss://localhost:{good}/0{trust}", timeout=5) as link:
            big = b"x" * 1_000_000
            assert await link.call("SET", "k", big) == b"OK"
            assert await link.call("GET", "k") == big
            apart = link.dedicated(timeout=5)
            assert await apart.get("k") == big
            await apart.aclose()
        for url in (
            f"rediss://localhost:{good}/0",
            f"rediss://localhost:{bad}/0{trust}",
            f"rediss://localhost:{bad}/0?ssl_ca_certs={stranger[0]}",
            f"redis://localhost:{good}/0",
        ):
            async with RedisLink(url, timeout=1) as link:
                with pytest.raises(StoreUnavailable):
                    await link.ping()
