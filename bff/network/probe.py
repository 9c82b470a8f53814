"""Tries one address and says what is wrong with it: for `bff check --connect`.

A probe goes the way that a connection of the gateway goes: the name, the proxy, TCP, TLS with the trusted authorities,
then one request. It sends no credentials except those that it is given. A certificate that is not accepted is read once
more without being trusted, only to say whose it is and until when it was valid; nothing is sent over that connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from cryptography import x509

from .network import Network
from .proxy import Proxy, ProxyRefused, open_connection

MAX_HEAD = 65_536
"""Bytes of the head of an answer."""

_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21, 24)
_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_NAMES = (62, 64)


class Fault(Exception):
    """The address cannot be used. The message says what is wrong; cure: what to do, with {name} for the setting of the
    address and {section} for its section."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what)
        self.cure = cure


@dataclass(frozen=True, slots=True)
class Probed:
    """latency: seconds from the first packet to the answer; certificate_until: the end of its certificate, None without
    TLS; status: of the answer, None where none was asked for; skew: seconds that its clock is ahead, None where it is
    not known."""

    latency: float
    certificate_until: datetime | None = None
    status: int | None = None
    skew: float | None = None


async def probe_http(
    url: str,
    network: Network,
    *,
    method: str = "HEAD",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    at: str | None = None,
) -> Probed:
    """One request to this address; every status is an answer. at: the IP address to connect to. Has no time limit.
    Raises Fault."""
    parts = urlsplit(url)
    secure, host = parts.scheme == "https", parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    proxy = network.proxy_for(host)
    started = time.monotonic()
    # A request for http:// goes to the proxy itself, with the whole address.
    if proxy is not None and not secure:
        reader, writer = await _connected(None, proxy.host, proxy.port, "proxy")
        target, sent = url, {**(headers or {})}
        if (authorization := proxy.authorization) is not None:
            sent["proxy-authorization"] = authorization
    else:
        reader, writer = await _connected(proxy, at or host, port, "host")
        target, sent = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", {**(headers or {})}
    try:
        until = await _encrypted(writer, network, host, at or host, port) if secure else None
        answered = await _asked(reader, writer, method, target, parts.netloc, sent, body, secure)
    finally:
        writer.transport.abort()
    status, date = answered
    if status == 407 or (proxy is not None and not secure and status in (502, 503, 504)):
        raise _refused_by_proxy(status)
    skew = None if date is None else date.timestamp() - time.time()
    return Probed(time.monotonic() - started, until, status, skew)


async def probe_tcp(host: str, port: int, network: Network, *, tls: bool = False) -> Probed:
    """A connection to this host, with TLS where it is asked for; nothing is sent. Has no time limit. Raises Fault."""
    started = time.monotonic()
    _, writer = await _connected(network.proxy_for(host), host, port, "host")
    try:
        until = await _encrypted(writer, network, host, host, port) if tls else None
    finally:
        writer.transport.abort()
    return Probed(time.monotonic() - started, until)


async def _connected(
    proxy: Proxy | None, host: str, port: int, whose: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with faults(whose if proxy is None else "proxy"):
        return await open_connection(proxy, host, port, limit=MAX_HEAD)


async def _encrypted(
    writer: asyncio.StreamWriter, network: Network, name: str, host: str, port: int
) -> datetime | None:
    """Begin TLS on this connection; returns the end of the certificate."""
    try:
        with faults("host"):
            await writer.start_tls(network.trust.context, server_hostname=name)
    except Fault as fault:
        if isinstance(fault.__cause__, ssl.SSLCertVerificationError):
            seen = await _unverified(network, name, host, port)
            raise Fault(f"{fault}{seen}", fault.cure) from fault.__cause__
        raise
    return certificate_end(writer)


def certificate_end(writer: asyncio.StreamWriter) -> datetime | None:
    """The end of the certificate that the other side has shown; None without TLS."""
    text = (writer.get_extra_info("peercert") or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC) if text else None


async def _unverified(network: Network, name: str, host: str, port: int) -> str:
    """Whose certificate it is and until when it is valid, as the end of a sentence."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(OSError, ValueError):
        _, writer = await open_connection(network.proxy_for(name), host, port)
        try:
            await writer.start_tls(context, server_hostname=name)
            shown = x509.load_der_x509_certificate(
                writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            )
        finally:
            writer.transport.abort()
        issuer, until = shown.issuer.rfc4514_string()[:200], shown.not_valid_after_utc
        return f" (issued by {issuer}, valid until {until:%Y-%m-%d})"
    return ""


async def _asked(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    method: str,
    target: str,
    host: str,
    headers: Mapping[str, str],
    body: bytes,
    secure: bool,
) -> tuple[int, datetime | None]:
    """The status, and the time in `Date`."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"host: {host}",
        "connection: close",
        f"content-length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    no_answer = Fault(
        "it gives no HTTP answer", "{name}: check host and port; another service may listen there"
    )
    try:
        with faults("host"):
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        if secure and isinstance(error, asyncio.IncompleteReadError) and not error.partial:
            # In TLS 1.3 a server refuses a client without a certificate after the handshake.
            raise Fault(
                "it ends the connection instead of answering",
                "it may require our certificate: set {section}__TLS__CERT and {section}__TLS__KEY",
            ) from None
        raise no_answer from None
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})[ \r]", head)
    if found is None:
        raise no_answer
    dated = re.search(rb"\r\ndate:[ \t]*([^\r]+)", head, re.IGNORECASE)
    date = None
    if dated is not None:
        with contextlib.suppress(ValueError):
            date = parsedate_to_datetime(dated[1].decode("latin-1"))
    return int(found[1]), date if date is None or date.tzinfo else date.replace(tzinfo=UTC)


def _refused_by_proxy(status: int | None) -> Fault:
    if status == 407:
        return Fault(
            "the proxy asks for a user and password",
            "set BFF_NETWORK__PROXY_USERNAME and BFF_NETWORK__PROXY_PASSWORD",
        )
    return Fault(
        f"the proxy refuses it ({status or 'no HTTP answer'})",
        "allow the address at the proxy, or name its host in BFF_NETWORK__NO_PROXY",
    )


@contextlib.contextmanager
def faults(whose: str = "host") -> Iterator[None]:
    """Turn what connecting raises into Fault. whose: `proxy` while only the proxy has been spoken to."""
    try:
        yield
    except (OSError, EOFError) as error:
        if isinstance(error, asyncio.IncompleteReadError | TimeoutError):
            raise
        raise fault_of(error, whose) from error


def fault_of(error: BaseException, whose: str = "host") -> Fault:
    """What an error of a connection means, and what to do."""
    of_proxy = whose == "proxy"
    where, setting = ("the proxy", "BFF_NETWORK__PROXY") if of_proxy else ("it", "{name}")
    subject = "the proxy's host" if of_proxy else "its host"
    if isinstance(error, ProxyRefused):
        return _refused_by_proxy(error.status)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if "CERTIFICATE_REQUIRED" in reason or "ALERT" in reason:
            return Fault(
                f"it ends the TLS handshake ({reason or error})",
                "it may require our certificate: set {section}__TLS__CERT and {section}__TLS__KEY",
            )
        return Fault(
            f"it does not speak TLS there ({reason or error})", "{name}: check the scheme and the port"
        )
    if isinstance(error, socket.gaierror):
        return Fault(
            f"{subject} is not known ({error.strerror})", f"{setting}: correct the name, or the DNS here"
        )
    if isinstance(error, ConnectionRefusedError):
        return Fault(f"{where} refuses connections", f"{setting}: start it, or correct host and port")
    if isinstance(error, ConnectionError):
        return Fault(
            f"{where} closes the connection ({type(error).__name__})",
            f"{setting}: check scheme, host and port, and what is between",
        )
    return Fault(
        f"{where} cannot be reached ({getattr(error, 'strerror', None) or type(error).__name__})",
        f"{setting}: check routes and firewalls from here",
    )


def _of_certificate(error: ssl.SSLCertVerificationError) -> Fault:
    code = getattr(error, "verify_code", 0)
    if code in _OTHER_NAMES:
        return Fault(
            "its certificate is for other names",
            "{name}: use a name that it has, or let the certificate be issued for it",
        )
    if code == _EXPIRED:
        return Fault("its certificate has expired", "renew it there; if it is valid, correct the clock here")
    if code == _NOT_YET_VALID:
        return Fault("its certificate is not valid yet", "correct the clock here or there")
    if code in _UNKNOWN_AUTHORITY:
        return Fault(
            "its certificate is of an authority that is not trusted",
            "set {section}__TLS__CA or BFF_NETWORK__CA to the authority's certificate",
        )
    message = getattr(error, "verify_message", "") or str(error)
    return Fault(f"its certificate is not accepted ({message})", "renew it there, with what it lacks")


def timed_out(seconds: float) -> Fault:
    """Nothing came within this time."""
    return Fault(
        f"it does not answer within {seconds:g} s",
        "{name}: check host and port, and firewalls from here; a proxy may be needed (BFF_NETWORK__PROXY)",
    )
