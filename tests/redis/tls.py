"""Certificates, and servers that use TLS with clients, with their replicas and with each other."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..conftest import Valkey, free_port
from ..programs import program


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, for a host's name or address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    host: x509.GeneralName = (
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    )
    signed = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secret))
    return paths


def tls_binary() -> str:
    """The server of the system, which supports TLS; the embedded one does not."""
    return program("redis-server")


@dataclass
class Encrypted(Valkey):
    """Accepts only clients with a certificate. chain: its certificate, which all share here."""

    chain: tuple[Path, Path] = (Path(), Path())
    program: str = field(default_factory=tls_binary)

    @property
    def trust(self) -> str:
        """The query of a URL with which it is trusted and accepts the client."""
        return f"ssl_ca_certs={self.chain[0]}&ssl_certfile={self.chain[0]}&ssl_keyfile={self.chain[1]}"

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0?{self.trust}"

    @property
    def tls(self) -> list[str]:
        certificate, key = map(str, self.chain)
        return [
            *("--port", "0", "--tls-port", str(self.port), "--bind", "127.0.0.1", "--tls-replication", "yes"),
            *("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate),
        ]

    def command(self) -> list[str]:
        return [*self.tls, "--save", "", "--dir", str(self.folder), *self.args]


@dataclass
class EncryptedNode(Encrypted):
    """A cluster node that also listens without TLS; no client may be redirected there."""

    @property
    def tls(self) -> list[str]:
        announced = ("--tls-cluster", "yes", "--cluster-announce-tls-port", str(self.port))
        return [*super().tls, *announced, "--port", str(free_port())]
