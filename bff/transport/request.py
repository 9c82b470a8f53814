"""From a call to the request that is sent. Its headers are built from nothing: no header of the browser's request is
passed on.

Identity comes from the verified principal, ids come from the request's scope, the rest is fixed. A trace continues
under its id. Everything else that a browser may claim (owners, keys, deadlines, forwarded addresses, cookies) is
dropped.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlencode

from opentelemetry.trace import get_current_span

from ..calls import Call, Principal, RequestContext
from .wire import WireRequest

NO_CONDITIONS: Mapping[str, str] = MappingProxyType({})


class Credentials(Protocol):
    """How one upstream learns who asks."""

    @property
    def identifies_user(self) -> bool:
        """Whether the service learns who asks. A write then also carries `BFF-Owner` and `BFF-Mutation`."""

    @property
    def sends_user_token(self) -> bool:
        """Whether the user's own access token is sent."""

    def headers(self, principal: Principal, scope: RequestContext, *, write: bool) -> Mapping[str, str]:
        """The headers that prove who asks; lower-case names."""


class UserToken:
    """The principal's own access token."""

    identifies_user = True
    sends_user_token = True

    def headers(self, principal: Principal, scope: RequestContext, *, write: bool) -> Mapping[str, str]:
        return {"authorization": f"Bearer {principal.token}"}


class NoCredentials:
    """Nothing: for a service that must not learn who asks."""

    identifies_user = False
    sends_user_token = False

    def headers(self, principal: Principal, scope: RequestContext, *, write: bool) -> Mapping[str, str]:
        return {}


USER_TOKEN = UserToken()


def wire_request(
    call: Call[Any],
    scope: RequestContext,
    seconds: float,
    credentials: Credentials = USER_TOKEN,
    conditions: Mapping[str, str] = NO_CONDITIONS,
) -> WireRequest:
    """seconds: what this attempt may take; conditions: further headers such as `if-none-match`."""
    headers = request_headers(call, scope, seconds, credentials)
    if conditions:
        headers.update(conditions)
    _add_trace(headers)
    return WireRequest(call.method, request_target(call), headers, call.body)


def request_target(call: Call[Any]) -> str:
    """Path and query as they are sent."""
    if not call.query:
        return call.path
    return f"{call.path}?{urlencode(call.query)}"


def request_headers(
    call: Call[Any], scope: RequestContext, seconds: float, credentials: Credentials = USER_TOKEN
) -> dict[str, str]:
    """All headers but those of the trace. seconds: what this attempt may take; the service is told it, so that it need
    not work on what nobody waits for."""
    headers = {
        "accept": "application/json",
        "user-agent": "bff",
        "x-correlation-id": scope.correlation_id,
        "bff-deadline-ms": str(int(seconds * 1000)),
    }
    if call.body is not None:
        headers["content-type"] = "application/json"
    principal = scope.principal
    write = call.method != "GET"
    if principal is not None and not call.shared:
        headers.update(credentials.headers(principal, scope, write=write))
    if write and scope.mutation is not None and credentials.identifies_user:
        if principal is not None:
            headers["bff-owner"] = principal.id
        headers["bff-mutation"] = scope.mutation
    key = idempotency_key(call, scope)
    if key is not None:
        # RFC 8941 section 3.3.3: an unescaped quote would end the string.
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        headers["idempotency-key"] = f'"{escaped}"'
    return headers


def repeatable(call: Call[Any], scope: RequestContext) -> bool:
    """Whether sending it twice has the effect of sending it once: a read, or a write under an idempotency key that its
    service honours."""
    return call.method == "GET" or call.key is not None or (scope.mutation is not None and scope.safe)


def idempotency_key(call: Call[Any], scope: RequestContext) -> str | None:
    """The key a service sees: the call's own, else one derived from the principal, the client's key and where the call
    goes. Two people may choose the same key, and not every service keeps their keys apart."""
    if call.method == "GET":
        return None
    if call.key is not None:
        return call.key
    if scope.mutation is None:
        return None
    digest = hashlib.sha256()
    principal = scope.principal.id if scope.principal else ""
    for part in (principal, scope.mutation, call.owner.service, call.method, call.path):
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()


def _add_trace(headers: dict[str, str]) -> None:
    """Add the trace this call belongs to (W3C Trace Context level 2, section 4.3). Each call is a parent of its own: in
    a trace that is not recorded the call has no span, and a random id stands for one."""
    span = get_current_span().get_span_context()
    if not span.is_valid:
        return
    parent = span.span_id if span.trace_flags.sampled else random.getrandbits(64) or 1
    headers["traceparent"] = f"00-{span.trace_id:032x}-{parent:016x}-{span.trace_flags:02x}"
    if span.trace_state:
        headers["tracestate"] = span.trace_state.to_header()
