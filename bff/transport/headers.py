"""The headers of an upstream call, built from nothing: no header of the browser's request is passed on.

Identity comes from the verified principal, ids from the request's scope, the rest is fixed.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ..calls import Call, Scope


def outbound(call: Call[Any], scope: Scope, seconds: float) -> dict[str, str]:
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
    if principal is not None and not call.shared:
        headers["authorization"] = f"Bearer {principal.token}"
    if call.method != "GET" and scope.mutation is not None:
        if principal is not None:
            headers["bff-owner"] = principal.id
        headers["bff-mutation"] = scope.mutation
    key = idempotency_key(call, scope)
    if key is not None:
        headers["idempotency-key"] = f'"{key}"'
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
