"""The operator API of orders, as the demo's panel uses it: which orders need attention, and what can be done.

Each action uses an operator's token and its own idempotency key. Only the two operations of orders are allowed. Served
only under /demo.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx

OPERATIONS = ("retry", "give-up")
# Seconds by which a token is renewed before it ends.
EARLY = 30.0


class OperatorClient:
    """issuer: the address of the token issuer; secret: of the client `operator`; orders: the service's URL."""

    def __init__(self, client: httpx.AsyncClient, issuer: str, secret: str, orders: str) -> None:
        self._client = client
        self._issuer = issuer
        self._secret = secret
        self._orders = orders
        self._token = ""
        self._ends_at = 0.0

    async def stuck(self) -> list[dict[str, Any]]:
        """Orders that need attention, without their owners. Raises httpx.HTTPError."""
        answer = await self._client.get(f"{self._orders}/operations/stuck", headers=await self._headers())
        answer.raise_for_status()
        shown = ("id", "status", "step", "attempt", "reason", "next_try_at", "last_error")
        return [{name: one[name] for name in shown} for one in answer.json()["stuck"]]

    async def operate(self, order_id: str, operation: str) -> httpx.Response:
        """The answer of orders. Raises KeyError for another operation, httpx.HTTPError."""
        if operation not in OPERATIONS:
            raise KeyError(operation)
        body = {"reason": "Given up on the demo's panel."} if operation == "give-up" else {}
        key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
        return await self._client.post(
            f"{self._orders}/operations/{order_id}/{operation}",
            json=body,
            headers=await self._headers() | key,
        )

    async def _headers(self) -> dict[str, str]:
        if time.monotonic() >= self._ends_at:
            answer = await self._client.post(
                f"{self._issuer}/token",
                data={"grant_type": "client_credentials", "scope": "operator"},
                auth=("operator", self._secret),
            )
            answer.raise_for_status()
            granted = answer.json()
            self._token = granted["access_token"]
            self._ends_at = time.monotonic() + float(granted.get("expires_in", 0)) - EARLY
        return {"Authorization": f"Bearer {self._token}"}
