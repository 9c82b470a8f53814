"""TLS with one upstream: the trusted certificate authorities, and the gateway's client certificate (mutual TLS).

Guarantees that certificates can be replaced without a restart: new files make a new context, which every later
connection uses, and older connections get no further call. A certificate that does not match its key is not used, for
example while the files are being written. The host name is always verified. The lowest version is TLS 1.2.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509

from .file_watcher import FileWatcher, fingerprint

log = logging.getLogger("bff.transport")

# A client certificate that expires within this time is logged.
SOON = timedelta(days=7)


class TlsTrust:
    """The TLS settings of one upstream.

    service    the upstream's name
    cert, key  PEM files of the client certificate (with its chain) and its key; None: no client certificate
    ca         PEM file of the only trusted authorities; None: the usual ones
    look       seconds between two checks of the files, default 1

    Raises a ValueError that names the file and the reason.
    """

    def __init__(
        self,
        service: str,
        *,
        cert: Path | None = None,
        key: Path | None = None,
        ca: Path | None = None,
        look: float = 1.0,
    ) -> None:
        self._service = service
        self._cert = cert
        self._key = key
        self._ca = ca
        paths = [path for path in (cert, key, ca) if path is not None]
        self.watch = FileWatcher(f"TLS with {service}", paths, look, self._read, fingerprint(paths))
        self.context: ssl.SSLContext
        """The context of the next connection that is opened."""
        self._read()

    def _read(self) -> None:
        context = self._trusting()
        if self._cert is not None and self._key is not None:
            self._load_certificate(context, self._cert, self._key)
        self.context = context

    def _trusting(self) -> ssl.SSLContext:
        if self._ca is None:
            return httpx.create_ssl_context(trust_env=False)
        _readable(self._ca)
        try:
            return ssl.create_default_context(cafile=str(self._ca))
        except ssl.SSLError:
            raise ValueError(f"{self._ca} contains no certificate of an authority") from None

    def _load_certificate(self, context: ssl.SSLContext, cert: Path, key: Path) -> None:
        for path in (cert, key):
            _readable(path)
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(cert, key, password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ValueError(f"{key} is not the key of {cert}") from None
            raise ValueError(
                f"{cert} and {key} are not a certificate and its unencrypted key in PEM ({error.reason})"
            ) from None
        left = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc - datetime.now(UTC)
        if left < SOON:
            log.warning(
                "a client certificate expires soon or has expired",
                extra={"fields": {"upstream": self._service, "file": str(cert), "seconds": int(left.total_seconds())}},
            )  # fmt: skip


def _readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
