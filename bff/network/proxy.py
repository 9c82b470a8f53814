"""The proxy for outgoing connections: which hosts it is for, and tunnels through it (CONNECT, RFC 9110 section 9.3.6).

Guarantees that a host that is excepted is never asked of the proxy, and that no other host is reached around it. The
password is read for each connection, so a changed one is used at once. It appears in no error and no representation.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import quote, urlsplit

HOST_PATTERN = re.compile(r"\.?[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|[0-9a-f:]*:[0-9a-f:.]*")
"""A host in lower case, or a suffix that begins with a dot."""
LOCAL = ("localhost", ".localhost", "127.0.0.0/8", "::1/128")
"""This machine, which no proxy leads to."""
MAX_HEAD = 16_384
"""Bytes of the head of the proxy's answer to CONNECT."""

Login = Callable[[], tuple[str, str] | None]
"""The user and password at the proxy now; None: it asks for none."""


class ProxyRefused(OSError):
    """The proxy answered CONNECT with another status than 2xx, or not with HTTP. status: None where it is not HTTP."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Proxy:
    """url: `http://host:port`; exceptions: hosts, suffixes that begin with a dot and networks that are reached without
    it, beside this machine; login: see `Login`."""

    def __init__(self, url: str, exceptions: Sequence[str] = (), login: Login = lambda: None) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or 80
        self._login = login
        every = [one.lower() for one in (*LOCAL, *exceptions)]
        self._networks = [ip_network(one) for one in every if "/" in one]
        self._hosts = {one for one in every if "/" not in one and not one.startswith(".")}
        self._suffixes = tuple(one for one in every if one.startswith("."))

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"

    def applies_to(self, host: str) -> bool:
        """Whether this host is reached through the proxy. host: a name or an IP address, without a port."""
        host = host.lower().rstrip(".").strip("[]")
        if host in self._hosts or host.endswith(self._suffixes):
            return False
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return True
        mapped = getattr(address, "ipv4_mapped", None) or address
        return not any(mapped in network for network in self._networks)

    @property
    def url(self) -> str:
        """Its address with user and password as they are now. A secret: never shown, never logged."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        pair = self._login()
        login = "" if pair is None else ":".join(quote(one, safe="") for one in pair) + "@"
        return f"http://{login}{host}:{self.port}"

    @property
    def authorization(self) -> str | None:
        """The value of Proxy-Authorization now (RFC 7617); None where the proxy asks for none."""
        pair = self._login()
        return (
            None if pair is None else "Basic " + base64.b64encode(":".join(pair).encode("latin-1")).decode()
        )


async def open_connection(
    proxy: Proxy | None, host: str, port: int, *, tls: ssl.SSLContext | None = None, limit: int = 65_536
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to this host, through the proxy where it applies. tls: encrypts it and verifies the host; limit:
    bytes that the reader buffers.

    Has no time limit of its own. Raises OSError, and ProxyRefused, which is one.
    """
    if proxy is None or not proxy.applies_to(host):
        return await asyncio.open_connection(host, port, limit=limit, ssl=tls)
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port, limit=max(limit, MAX_HEAD))
    try:
        await _connect(proxy, reader, writer, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        if tls is not None:
            await writer.start_tls(tls, server_hostname=host)
    except BaseException:
        writer.close()
        raise
    return reader, writer


async def _connect(
    proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str
) -> None:
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if (authorization := proxy.authorization) is not None:
        head += f"Proxy-Authorization: {authorization}\r\n"
    writer.write(f"{head}\r\n".encode("latin-1"))
    await writer.drain()
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise ProxyRefused("the proxy gave no HTTP answer to CONNECT") from None
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})[ \r]", answer)
    if found is None or len(answer) > MAX_HEAD:
        raise ProxyRefused("the proxy gave no HTTP answer to CONNECT")
    if not 200 <= (status := int(found[1])) < 300:
        raise ProxyRefused(f"the proxy answered CONNECT with {status}", status)
