"""A test's own certificate authority, and a TLS server that requires its certificates."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from ..waiting import close_listener
from .served import no_connections
from .upstream import http


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority. It writes its certificate, and the certificates it issues, below a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.file = folder / f"{name}.pem"
        made = _builder(self._name, self._name, self._key.public_key(), 30)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made = made.add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
        )
        self.file.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def pair(
        self,
        name: str,
        *,
        host: str | None = None,
        days: int = 30,
        password: bytes | None = None,
        into: str | None = None,
    ) -> Pair:
        """Issue a certificate for `name`. host: the DNS name or address it is valid for; into: the files' name."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _builder(_named(name), self._name, key.public_key(), days)
        if host is not None:
            made = made.add_extension(x509.SubjectAlternativeName([_host(host)]), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = made.add_extension(authority, critical=False)
        found = Pair(self._folder / f"{into or name}.crt", self._folder / f"{into or name}.key")
        found.cert.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        secret = BestAvailableEncryption(password) if password else NoEncryption()
        found.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
        return found


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


@dataclass
class TlsServer:
    """Answers every request with JSON. callers: the name in the client certificate of each request (None: no
    certificate); connections: how many were opened."""

    port: int = 0
    connections: int = 0
    callers: list[str | None] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list, repr=False)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            shown = writer.get_extra_info("peercert")
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.callers.append(
                    dict(part[0] for part in shown["subject"])["commonName"] if shown else None
                )
                writer.write(http(200, b'{"name":"x"}'))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def tls_server(own: Pair, callers: Authority | None) -> AsyncIterator[TlsServer]:
    """callers: clients must present a certificate of this authority; None: no client certificate is requested."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.cert, own.key)
    if callers is not None:
        context.load_verify_locations(callers.file)
        context.verify_mode = ssl.CERT_REQUIRED
    server = TlsServer()
    # A refused handshake is for the test to check; it is not logged.
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: None)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        await close_listener(listening)
        for writer in server.writers:
            if not writer.is_closing():
                writer.transport.abort()
        await no_connections(listening)
