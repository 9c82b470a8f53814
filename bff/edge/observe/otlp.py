"""The exporter of traces: OTLP over HTTP, with the trusted certificates and the proxy of the gateway's network.

The library sends with `requests`, in a thread of its own. Nothing of the environment changes where or how it sends:
neither HTTPS_PROXY nor REQUESTS_CA_BUNDLE nor a .netrc. Certificates and the proxy's password are those of the moment.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from requests.adapters import HTTPAdapter

from ...network import Network, TlsTrust


class _Adapter(HTTPAdapter):
    """Verifies with the trust's current context alone."""

    def __init__(self, trust: TlsTrust) -> None:
        self._trust = trust
        self._used: ssl.SSLContext = trust.context
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._used)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **options, ssl_context=self._used)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        # Without the library's own certificates, which it would add to the context.
        host, options = super().build_connection_pool_key_attributes(request, True, None)
        return host, {name: value for name, value in options.items() if not name.startswith("ca_cert")}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        conn.cert_reqs = "CERT_REQUIRED"

    def send(self, *args: Any, **options: Any) -> requests.Response:
        if self._used is not self._trust.context:
            # Files were changed: connections with older certificates are not used any more.
            self.close()
            self.__init__(self._trust)  # type: ignore[misc]  # the only way to make new pools
        return super().send(*args, **options)


class _Session(requests.Session):
    def __init__(self, network: Network, own_headers: Callable[[], Mapping[str, str]]) -> None:
        super().__init__()
        self._network = network
        self._own_headers = own_headers
        self.trust_env = False
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(network.trust))

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        proxy = self._network.proxy_for(urlsplit(str(url)).hostname or "")
        if proxy is not None:
            # One for each request, because the password may change.
            options["proxies"] = dict.fromkeys(("http", "https"), proxy.url)
        options["headers"] = {**(options.get("headers") or {}), **self._own_headers()}
        return super().request(method, url, *args, **options)


def session(network: Network, headers: Callable[[], Mapping[str, str]]) -> requests.Session:
    """What the exporters of metrics and logs send with. headers: of every request, read for each."""
    return _Session(network, headers)


def exporter(
    address: str, *, network: Network, headers: Callable[[], Mapping[str, str]], timeout: float
) -> OTLPSpanExporter:
    """Sends spans to this address of a collector. headers: of every request, read for each, because a secret may
    change; timeout: seconds for one batch, with its repeats."""
    return OTLPSpanExporter(endpoint=address, timeout=timeout, session=_Session(network, headers))
