"""Makes the request that is sent from a call. No header of the browser's request is passed on.

The identity comes from the verified principal, ids come from the request's context, everything else is fixed. A trace
continues with its id, and baggage with the members that the settings allow. Everything else in the browser's request
(owners, keys, deadlines, forwarded addresses, cookies) is dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlencode

from ..calls import Call, Principal, Refused, RequestContext
from .traces import NO_TRACE, CallTrace
from .wire import WireRequest

MAX_TOKEN = 16_384
"""Characters of an access token that is sent to a service. Most servers take headers of 8 to 64 KB in all."""
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
NO_CONDITIONS = NO_HEADERS


class Credentials(Protocol):
    """How the user is identified to one upstream."""

    @property
    def identifies_user(self) -> bool:
        """Whether requests identify the user. A write then also has `BFF-Owner` and `BFF-Mutation`."""

    @property
    def sends_user_token(self) -> bool:
        """Whether the user's access token is sent."""

    def headers(self, principal: Principal, request: RequestContext, *, write: bool) -> Mapping[str, str]:
        """The headers that prove the user's identity; lower-case names."""


class UserToken:
    """Sends the principal's access token."""

    identifies_user = True
    sends_user_token = True

    def headers(self, principal: Principal, request: RequestContext, *, write: bool) -> Mapping[str, str]:
        return {"authorization": f"Bearer {principal.token}"}


class NoCredentials:
    """Sends nothing, for a service that must not know the user."""

    identifies_user = False
    sends_user_token = False

    def headers(self, principal: Principal, request: RequestContext, *, write: bool) -> Mapping[str, str]:
        return {}


USER_TOKEN = UserToken()


def wire_request(
    call: Call[Any],
    request: RequestContext,
    seconds: float,
    credentials: Credentials = USER_TOKEN,
    conditions: Mapping[str, str] = NO_CONDITIONS,
    constant: Mapping[str, str] = NO_HEADERS,
    trace: CallTrace = NO_TRACE,
    span_id: int = 0,
) -> WireRequest:
    """The request of one attempt. seconds: its time limit; conditions: further headers such as `if-none-match`;
    constant: the headers of every request to this upstream; trace: the trace that the call belongs to; span_id: the
    attempt's."""
    headers = request_headers(call, request, seconds, credentials)
    if constant:
        headers.update(constant)
    if conditions:
        headers.update(conditions)
    traced(headers, trace, span_id)
    return WireRequest(call.method, request_target(call), headers, call.body, call.takes)


def request_target(call: Call[Any]) -> str:
    """Path and query, encoded."""
    if not call.query:
        return call.path
    return f"{call.path}?{urlencode(call.query)}"


def request_headers(
    call: Call[Any], request: RequestContext, seconds: float, credentials: Credentials = USER_TOKEN
) -> dict[str, str]:
    """All headers except those of the trace. seconds: the attempt's time limit, which is sent to the service, so that
    it can stop when nobody waits for the answer any more."""
    headers = {
        "accept": "application/json" if call.format is None else call.format.accept,
        "user-agent": "bff",
        "x-correlation-id": request.correlation_id,
        "bff-deadline-ms": str(int(seconds * 1000)),
    }
    headers.update(call.headers)
    if call.body is not None:
        headers["content-type"] = call.body_type
    principal = request.principal
    write = call.is_write
    if principal is not None and not call.shared:
        if credentials.sends_user_token and len(principal.token) > MAX_TOKEN:
            raise Refused(
                call.owner,
                call.name,
                f"was not asked: the person's access token has {len(principal.token)} characters, and a header holds "
                f"{MAX_TOKEN}. Set BFF_UPSTREAMS__{call.owner.service.upper()}__IDENTITY to internal.",
                status=431,
            )
        headers.update(credentials.headers(principal, request, write=write))
    if write and request.mutation is not None and credentials.identifies_user:
        if principal is not None:
            headers["bff-owner"] = principal.header_id
        headers["bff-mutation"] = request.mutation
    key = idempotency_key(call, request)
    if key is not None:
        # RFC 8941 section 3.3.3: an unescaped quote would end the string.
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        headers["idempotency-key"] = f'"{escaped}"'
    return headers


def repeatable(call: Call[Any], request: RequestContext) -> bool:
    """Whether sending the call twice has the same effect as sending it once: a read, or a write with an idempotency key
    that its service honours."""
    return not call.is_write or call.key is not None or (request.mutation is not None and request.safe)


def idempotency_key(call: Call[Any], request: RequestContext) -> str | None:
    """The key that is sent to the service: the call's own, otherwise one derived from the principal, the client's key
    and the call's service, method and path. Two users may choose the same key, and not every service separates the keys
    of users."""
    if not call.is_write:
        return None
    if call.key is not None:
        return call.key
    if request.mutation is None:
        return None
    digest = hashlib.sha256()
    principal = request.principal.id if request.principal else ""
    for part in (principal, request.mutation, call.owner.service, call.method, call.path):
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()


def traced(headers: dict[str, str], trace: CallTrace, span_id: int) -> None:
    """Add the trace that an attempt belongs to (W3C Trace Context level 2, section 4.3), and the baggage that is passed
    on. Each attempt is a separate parent, also in a trace that is not recorded: a service then tells them apart."""
    span = trace.context
    if span.is_valid:
        headers["traceparent"] = f"00-{span.trace_id:032x}-{span_id:016x}-{span.trace_flags:02x}"
        if span.trace_state:
            headers["tracestate"] = span.trace_state.to_header()
    if trace.baggage:
        headers["baggage"] = trace.baggage
