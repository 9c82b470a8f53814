"""TLS with what the gateway calls: the trusted certificate authorities, and its own client certificate (mutual TLS).

Guarantees that certificates can be replaced without a restart: new files make a new context, which every later
connection uses, and older connections get no further call. A certificate that does not match its key is not used, for
example while the files are being written. The host name is always verified. The lowest version is TLS 1.2.

The usual authorities are those of SSL_CERT_FILE or SSL_CERT_DIR, as OpenSSL has them, else Mozilla's (certifi).
"""

from __future__ import annotations

import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import certifi

from .file_watcher import FileWatcher, fingerprint

log = logging.getLogger("bff.network")

# A client certificate that expires within this time is logged.
SOON = timedelta(days=7)


@lru_cache(maxsize=1)
def usual_trust() -> TlsTrust:
    """The usual authorities, for targets that are given no other trust. One for the process: reading them takes 30
    ms."""
    return TlsTrust("every target")


class TlsTrust:
    """The TLS settings for one target, or for all that have none of their own.

    service    the target's name in the log
    cert, key  PEM files of the client certificate (with its chain) and its key; None: no client certificate
    ca         PEM file of the only trusted authorities; None: the usual ones and those in `also`
    also       PEM file of authorities that are trusted beside the usual ones; without effect where `ca` is given
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
        also: Path | None = None,
        look: float = 1.0,
    ) -> None:
        self._service = service
        self._cert = cert
        self._key = key
        self._ca = ca
        self._also = also if ca is None else None
        usual = os.environ.get("SSL_CERT_FILE") if ca is None else None
        self._usual = Path(usual) if usual else None
        watched = (cert, key, ca, self._also, self._usual)
        paths = [path for path in watched if path is not None]
        self.watch = FileWatcher(f"TLS with {service}", paths, look, self._read, fingerprint(paths))
        self.context: ssl.SSLContext
        """The context of the next connection that is opened."""
        self._read()

    def _read(self) -> None:
        context = self._trusting()
        if self._cert is not None and self._key is not None:
            self._load_certificate(context, self._cert, self._key)
        self.context = context

    @property
    def client_certificate(self) -> tuple[bytes | None, bytes | None]:
        """The client certificate with its chain, and its key, as they are in the files now (PEM); None: there is
        none."""
        if self._cert is None or self._key is None:
            return None, None
        return self._cert.read_bytes(), self._key.read_bytes()

    def _trusting(self) -> ssl.SSLContext:
        if self._ca is not None:
            return _with_authorities(None, self._ca)
        if self._usual is not None:
            context = _with_authorities(None, self._usual, "SSL_CERT_FILE: ")
        else:
            folder = os.environ.get("SSL_CERT_DIR")
            context = (
                ssl.create_default_context(capath=folder)
                if folder
                else ssl.create_default_context(cafile=certifi.where())
            )
        return context if self._also is None else _with_authorities(context, self._also)

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
        from cryptography import x509  # only a gateway with a client certificate reads one

        left = x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc - datetime.now(UTC)
        if left < SOON:
            log.warning(
                "a client certificate expires soon or has expired",
                extra={"fields": {"upstream": self._service, "file": str(cert), "seconds": int(left.total_seconds())}},
            )  # fmt: skip


def _readable(path: Path, setting: str = "") -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ValueError(f"{setting}{path}: {error.strerror}") from None


def _with_authorities(context: ssl.SSLContext | None, file: Path, setting: str = "") -> ssl.SSLContext:
    """The context with the authorities in this file beside its own; None: a new one, which trusts them alone."""
    _readable(file, setting)
    try:
        if context is None:
            return ssl.create_default_context(cafile=str(file))
        context.load_verify_locations(cafile=str(file))
    except ssl.SSLError:
        raise ValueError(f"{setting}{file} contains no certificate of an authority") from None
    return context
