"""The whole gateway for `bff.testing.gateway_client`: on a real port, with an embedded Valkey and stand-ins of its
services that speak HTTP.

Everything between the client's request and the service's answer is the gateway's own: sign-in, limits, idempotency,
retries, breakers, deadlines, the cache, the stream. A stand-in answers what the test says and 404 to everything else.
Bounded: a stand-in reads at most `MOST_BODY` bytes of a request, and holds a call that never gets an answer until the
block ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic_core import to_json

from ..calls import Call, DeclarationError, Principal, Upstream
from ..cli.dev.processes import ProcessGroup, end
from ..edge.gateway import Gateway
from ..edge.server import admin_server
from ..edge.settings import Settings
from .failures import fails

MOST_BODY = 16 * 1024 * 1024
AUDIENCE = "tests"
KEY_ID = "tests"
"""Of the key that signs the token of the test's principal."""
GUARD = 60.0
"""Seconds that one request may take; a guard against hanging."""

Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""Method, path and sorted query of a call."""


class StandIn(ThreadingHTTPServer):
    """A service on loopback. answers: by method, path and query; others: the answer to every other call, None: 404."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answers: Mapping[Key, Any], others: Any = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.others = answers, others
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        """End it, with the calls that it holds."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that has left, as after its timeout, is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        size = int(self.headers.get("content-length", 0))
        if size > MOST_BODY:
            self.send_error(413)
            return
        self.rfile.read(size)
        parts = urlsplit(self.path)
        key = (self.command, parts.path, tuple(sorted(parse_qsl(parts.query, keep_blank_values=True))))
        answer = self.server.answers.get(key, self.server.others)
        if isinstance(answer, fails):
            self._fail(answer)
        elif key in self.server.answers:
            body = answer if isinstance(answer, bytes) else to_json(answer)
            self._send(200, body)
        else:
            self._send(404, b'{"detail":"the test gave no answer for this call"}', "application/problem+json")

    def _fail(self, failure: fails) -> None:
        match failure.reason:
            case "timeout":
                self.server.closing.wait()
                self.close_connection = True
            case "unreachable":
                # Without a word: the connection is reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.close_connection = True
            case "refused":
                problem = json.dumps(dict(failure.problem or {})).encode()
                self._send(failure.status or 404, problem, "application/problem+json")
            case "overloaded":
                wait = {"retry-after": str(max(1, round(failure.retry_after or 1)))}
                self._send(503, b"{}", headers=wait)
            case "invalid":
                self._send(200, b"not JSON")
            case _:
                self._send(failure.status or 500, b"{}")

    def _send(
        self,
        status: int,
        body: bytes,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response_only(status)
        for name, value in {"content-type": media_type, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _by_service(
    answers: Mapping[Call[Any] | Upstream, Any],
) -> tuple[dict[str, dict[Key, Any]], dict[str, Any]]:
    """The answers of each service, and of each service as a whole."""
    calls: dict[str, dict[Key, Any]] = {}
    whole: dict[str, Any] = {}
    for key, answer in answers.items():
        if isinstance(answer, fails) and answer.reason == "circuit-open":
            raise ValueError("a breaker opens by itself: let the call fail, and ask as often as it takes")
        if isinstance(key, Upstream):
            if not isinstance(answer, fails):
                raise ValueError(
                    f"{key.owner.service}: only fails(…) can be the answer to every call of a service"
                )
            whole[key.owner.service] = answer
        elif isinstance(key, Call):
            calls.setdefault(key.owner.service, {})[key.method, key.path, tuple(sorted(key.query))] = answer
        else:
            raise ValueError(
                f"answers go by a Call, such as desk.ticket('7'), or by an Upstream, not by {key!r}"
            )
    return calls, whole


def _token(principal: Principal, key: ec.EllipticCurvePrivateKey) -> str:
    now = int(time.time())
    claims = {
        **principal.claims,
        "iss": principal.issuer,
        "sub": principal.subject,
        "aud": AUDIENCE,
        "client_id": "tests",
        "scope": " ".join(sorted(principal.scopes)),
        "roles": sorted(principal.roles),
        "iat": now,
        "exp": now + 3600,
        "jti": str(uuid.uuid4()),
    }
    return jwt.encode(claims, key, algorithm="ES256", headers={"typ": "at+jwt", "kid": KEY_ID})


async def _with_key(request: httpx.Request) -> None:
    if request.method in ("POST", "PATCH"):
        request.headers.setdefault("idempotency-key", str(uuid.uuid4()))


@contextlib.asynccontextmanager
async def client_of(
    gateway: Gateway,
    answers: Mapping[Call[Any] | Upstream, Any],
    principal: Principal | None,
    settings: Mapping[str, Any],
) -> AsyncIterator[httpx.AsyncClient]:
    """See `bff.testing.gateway_client`."""
    if gateway.runtime is not None:
        raise DeclarationError(f"{gateway.name} runs already; one block of gateway_client at a time")
    calls, whole = _by_service(answers)
    key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": KEY_ID}
    async with contextlib.AsyncExitStack() as stack:
        keys = StandIn({("GET", "/keys", ()): {"keys": [public]}})
        stack.callback(keys.close)
        upstreams: dict[str, dict[str, Any]] = {}
        for upstream in gateway.upstreams():
            name = upstream.owner.service
            stand_in = StandIn(calls.get(name, {}), whole.get(name))
            stack.callback(stand_in.close)
            upstreams[name] = {"url": stand_in.url}
        group = stack.enter_context(ProcessGroup())
        valkey, redis = await asyncio.to_thread(group.start_valkey)
        stack.callback(end, valkey)
        listener = socket.create_server(("127.0.0.1", 0))
        stack.callback(listener.close)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        base: dict[str, Any] = {
            "public_url": url,
            "redis": {"url": redis},
            "upstreams": upstreams,
            "issuers": [
                {
                    "issuer": principal.issuer if principal else "https://login.example.org",
                    "audience": AUDIENCE,
                    "jwks_uri": f"{keys.url}/keys",
                    "roles": "roles",
                }
            ],
            # The test and the gateway share one loop.
            "admission": {"lag": 10.0},
            "live": {"drain": 0.0},
        }
        runtime = await gateway.start(Settings.model_validate(_merged(base, settings)))
        stack.push_async_callback(gateway.stop)
        server = admin_server(runtime.admission, runtime.settings)
        # The socket listens already: a request waits until the server accepts it.
        serving = asyncio.create_task(server.serve_on(listener), name=f"{gateway.name} under test")
        stack.push_async_callback(_ended, server, serving)
        headers = {"authorization": f"Bearer {_token(principal, key)}"} if principal else {}
        client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            trust_env=False,
            timeout=GUARD,
            event_hooks={"request": [_with_key]},
        )
        yield await stack.enter_async_context(client)


async def _ended(server: Any, serving: asyncio.Task[None]) -> None:
    server.should_exit = server.force_exit = True
    await serving


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for name, value in changes.items():
        before = found.get(name)
        found[name] = (
            _merged(before, value) if isinstance(before, dict) and isinstance(value, Mapping) else value
        )
    return found
