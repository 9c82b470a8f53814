"""The three services, the issuer's keys and the trace collector in one small process: a protocol of its own on uvloop,
one port for each service and one for the collector, bodies made by joining bytes. It is several times as fast as a
framework, so that the contender is what limits a run.

    GET  /{kind}/{sku}    the part; a sku that begins with `f` is a fault: 503 from `stock`
    POST /{kind}/{sku}    a reservation, for the command
    GET  /keys            the issuer's public keys
    POST /v1/traces       OTLP over HTTP in protobuf: the spans are decoded and counted
    GET  /count           {"answered": calls of screens and commands, "spans": those that were exported}
    GET  /last/{kind}     the head of the last call of that service

So a contender's whole work is known, and a run in which answers came without their calls is found.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .bodies import FAULT, KINDS, halves, reserved

_HALVES = {kind.encode(): pair for kind, pair in halves().items()}
_HEAD = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_FAULTY = b"stock"


class Counts:
    """answered: calls of screens and commands so far; spans: exported so far; last: the last head of each service."""

    def __init__(self) -> None:
        self.answered = 0
        self.spans = 0
        self.last: dict[bytes, bytes] = {}


class Service(asyncio.Protocol):
    """One connection. keys: the issuer's public keys as JSON."""

    def __init__(self, counts: Counts, keys: bytes) -> None:
        self._counts = counts
        self._keys = keys
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a TCP server

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head, after = data[:end], end + 4
            if not head.startswith(b"GET "):
                found = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
                after += int(found or 0)
                if len(data) < after:
                    break
            self._transport.write(self._answer(head, data[end + 4 : after]))
            data = data[after:]
        self._rest = data

    def _answer(self, head: bytes, body: bytes) -> bytes:
        method, path = head.split(b" ", 2)[:2]
        _, kind, *rest = path.split(b"/")
        if kind in _HALVES:
            self._counts.answered += 1
            self._counts.last[kind] = head
            sku = rest[0]
            if kind == _FAULTY and sku.startswith(FAULT.encode()):
                return _response(b"{}", 503, b"Service Unavailable")
            if method == b"GET":
                before, after = _HALVES[kind]
                return _response(before + sku + after)
            return _response(reserved(sku.decode()), 201, b"Created")
        if kind == b"v1":
            spans = ExportTraceServiceRequest.FromString(body).resource_spans
            self._counts.spans += sum(len(scope.spans) for one in spans for scope in one.scope_spans)
            return _response(b"")
        if kind == b"count":
            return _response(
                json.dumps({"answered": self._counts.answered, "spans": self._counts.spans}).encode()
            )
        if kind == b"last":
            return _response(json.dumps(self._counts.last[rest[0]].decode("latin-1")).encode())
        return _response(self._keys)


def _response(body: bytes, status: int = 200, reason: bytes = b"OK") -> bytes:
    return _HEAD % (status, reason, len(body)) + body


async def main(ports: list[int]) -> None:
    loop, counts, keys = asyncio.get_running_loop(), Counts(), os.environ["BENCH_JWKS"].encode()
    for port in ports:
        await loop.create_server(lambda: Service(counts, keys), "127.0.0.1", port, backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    given = [int(port) for port in sys.argv[1:]]
    if len(given) != len(KINDS) + 1:
        sys.exit(f"give {len(KINDS) + 1} ports: of {', '.join(KINDS)} and of the collector")
    uvloop.run(main(given))
