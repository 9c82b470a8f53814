"""The exporter of traces over gRPC, with the trusted certificates and the proxy of the gateway's network. It needs the
extra `otlp-grpc`, and is imported only where the settings ask for it.

As with OTLP over HTTP, nothing of the environment changes where or how it sends. Headers are those of the moment; when
a certificate has changed, or the password of the proxy, a new channel is opened for the next batch.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ...calls import DeclarationError
from ...network import Network

try:
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
except ImportError as error:
    raise DeclarationError(
        'BFF_TELEMETRY__PROTOCOL: grpc needs a further package: pip install "bff-gateway[otlp-grpc]"'
    ) from error


class _Channel(OTLPSpanExporter):
    """Sends the headers of the moment, whatever the library read from the environment."""

    def __init__(self, sent: Callable[[], Mapping[str, str]], **options: Any) -> None:
        self._sent = sent
        super().__init__(**options)

    @property
    def _headers(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._sent().items())

    @_headers.setter
    def _headers(self, read: object) -> None:
        pass


class GrpcExporter(SpanExporter):
    """address: `http://host:port` in plain text, `https://host:port` with TLS; the other arguments as for OTLP over
    HTTP, in otlp.py."""

    def __init__(
        self,
        address: str,
        *,
        network: Network,
        headers: Callable[[], Mapping[str, str]],
        timeout: float,
    ) -> None:
        self._address = address
        self._network = network
        self._headers = headers
        self._timeout = timeout
        self._lock = threading.Lock()
        self._closed = False
        self._made_for = self._way()
        self._channel = self._open()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._lock:
            if not self._closed and self._made_for != (way := self._way()):
                self._made_for = way
                self._channel.shutdown(timeout_millis=0)
                self._channel = self._open()
            channel = self._channel
        result: SpanExportResult = channel.export(spans)
        return result

    def shutdown(self) -> None:
        with self._lock:
            self._closed = True
            self._channel.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def _way(self) -> tuple[object, str | None]:
        proxy = self._network.proxy_for(urlsplit(self._address).hostname or "")
        return self._network.trust.context, None if proxy is None else proxy.url

    def _open(self) -> _Channel:
        _, proxy = self._made_for
        # Without these gRPC would take the proxy of the environment.
        options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", int(proxy is not None))]
        if proxy is not None:
            options.append(("grpc.http_proxy", proxy))
        parts = urlsplit(self._address)
        secure = parts.scheme == "https"
        return _Channel(
            self._headers,
            endpoint=f"{parts.hostname}:{parts.port or (443 if secure else 80)}",
            insecure=not secure,
            credentials=self._credentials() if secure else None,
            timeout=self._timeout,
            compression=grpc.Compression.Gzip,
            channel_options=tuple(options),
        )

    def _credentials(self) -> grpc.ChannelCredentials:
        trust = self._network.trust
        authorities = "".join(map(ssl.DER_cert_to_PEM_cert, trust.context.get_ca_certs(binary_form=True)))
        certificate, key = trust.client_certificate
        return grpc.ssl_channel_credentials(authorities.encode() or None, key, certificate)


def grpc_exporter(
    address: str, *, network: Network, headers: Callable[[], Mapping[str, str]], timeout: float
) -> GrpcExporter:
    """Sends spans to this address of a collector, as `otlp.exporter` does over HTTP. timeout: seconds for one batch,
    with its repeats."""
    return GrpcExporter(address, network=network, headers=headers, timeout=timeout)
