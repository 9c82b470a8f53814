"""TLS with one upstream: whom we believe there, and the certificate by which it knows us (mutual TLS).

Promises that certificates change without a restart: new files make a new context, every connection opened from then on
uses it, and none of the old ones is taken for another call. A half-written pair changes nothing. The host's name is
always checked, and nothing below TLS 1.2 is spoken.
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

# Told in the log when a certificate of ours has less than this left.
SOON = timedelta(days=7)


class TlsTrust:
    """service: whose TLS it is; cert, key: PEM files of our own certificate (with what stands above it) and its key,
    None: we show none; ca: PEM file of the only authorities believed, None: the usual ones; look: seconds between two
    looks at the files, default 1.

    Raises ValueError that names the file and what is wrong with it.
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
        """What the next connection is opened with."""
        self._read()

    def _read(self) -> None:
        context = self._believing()
        if self._cert is not None and self._key is not None:
            self._show(context, self._cert, self._key)
        self.context = context

    def _believing(self) -> ssl.SSLContext:
        if self._ca is None:
            return httpx.create_ssl_context(trust_env=False)
        _readable(self._ca)
        try:
            return ssl.create_default_context(cafile=str(self._ca))
        except ssl.SSLError:
            raise ValueError(f"{self._ca} holds no certificate of an authority") from None

    def _show(self, context: ssl.SSLContext, cert: Path, key: Path) -> None:
        for path in (cert, key):
            _readable(path)
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(cert, key, password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ValueError(f"{key} is not the key of {cert}") from None
            raise ValueError(
                f"{cert} and {key} are no certificate with an unencrypted key in PEM ({error.reason})"
            ) from None
        left = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc - datetime.now(UTC)
        if left < SOON:
            log.warning(
                "a certificate of ours ends soon or has ended",
                extra={"fields": {"upstream": self._service, "file": str(cert), "seconds": int(left.total_seconds())}},
            )  # fmt: skip


def _readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
