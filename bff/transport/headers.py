"""The headers of an upstream call, built from nothing: no header of the browser's request is passed on, and of an
answer only those are read that are listed here.

Identity comes from the verified principal, ids from the request's scope, the rest is fixed. A trace goes on under its
id; everything else a browser may write of itself (owners, keys, deadlines, forwarded addresses, cookies) ends here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

from ..calls import Call, Principal, Scope

PASSED_ON = frozenset(
    {
        "age",
        "cache-control",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "retry-after",
        "vary",
    }
)
"""The headers of an answer that anything behind the wire gets to see: how to read it, how long it holds, when to come
again. All others are dropped with the bytes they came in."""


class Credentials(Protocol):
    """By what one upstream knows who asks."""

    @property
    def named(self) -> bool:
        """Whether the service learns who asks; a write then also carries `BFF-Owner` and `BFF-Mutation`."""

    @property
    def personal(self) -> bool:
        """Whether the person's own access token is sent."""

    def headers(self, principal: Principal, scope: Scope, *, write: bool) -> Mapping[str, str]:
        """The headers that prove it; lower-case names."""


class UsersToken:
    """The principal's own access token."""

    named = True
    personal = True

    def headers(self, principal: Principal, scope: Scope, *, write: bool) -> Mapping[str, str]:
        return {"authorization": f"Bearer {principal.token}"}


class Nameless:
    """Nothing: for a service that must not know who asks."""

    named = False
    personal = False

    def headers(self, principal: Principal, scope: Scope, *, write: bool) -> Mapping[str, str]:
        return {}


USERS_TOKEN = UsersToken()


def outbound(
    call: Call[Any], scope: Scope, seconds: float, credentials: Credentials = USERS_TOKEN
) -> dict[str, str]:
    """seconds: what this attempt may take; told to the service so that it need not work in vain."""
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
    if write and scope.mutation is not None and credentials.named:
        if principal is not None:
            headers["bff-owner"] = principal.id
        headers["bff-mutation"] = scope.mutation
    key = idempotency_key(call, scope)
    if key is not None:
        # RFC 8941 section 3.3.3: a quote in it would end the string.
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        headers["idempotency-key"] = f'"{escaped}"'
    return headers


def repeatable(call: Call[Any], scope: Scope) -> bool:
    """Whether sending it twice does what sending it once does: a read, or a write under a key its service honours."""
    return call.method == "GET" or call.key is not None or (scope.mutation is not None and scope.safe)


def idempotency_key(call: Call[Any], scope: Scope) -> str | None:
    """The key a service sees: the call's own, else one derived from whose command it is, the client's key and where the
    call goes: two people may choose the same key, and not every service keeps them apart."""
    if call.method == "GET":
        return None
    if call.key is not None:
        return call.key
    if scope.mutation is None:
        return None
    digest = hashlib.sha256()
    who = scope.principal.id if scope.principal else ""
    for part in (who, scope.mutation, call.owner.service, call.method, call.path):
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()
