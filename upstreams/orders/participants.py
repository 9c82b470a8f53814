"""The requests of the saga to other services. Guarantees one bounded call for each attempt, under one key for each
action of an order, and an outcome as a value whatever happens. Refuses to try again by itself. Knows no engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from bff_service import ServiceToken, TraceContext, set_trace, span

from upstreams.orders.saga import Done, Failed, Order, Outcome, Refused

_log = logging.getLogger(__name__)

# Refused for good, and nothing done: these answers are stored under the action's key by the participant.
_FINAL = frozenset({"out-of-stock", "card-declined", "no-carrier", "cancelled", "order-differs"})


class _CallFailed(Exception):
    """The service answered, and it may have done it or not."""


@dataclass(frozen=True, slots=True)
class Action:
    """One request: where it goes and what it carries."""

    service: str
    path: str
    body: Callable[[Order], dict[str, Any]]


def _nothing(order: Order) -> dict[str, Any]:
    return {}


def _lines(order: Order) -> list[dict[str, Any]]:
    return [{"sku": line["sku"], "quantity": line["quantity"]} for line in order["data"]["lines"]]


def _reservation(order: Order) -> dict[str, Any]:
    return {"order_id": order["id"], "lines": _lines(order)}


def _charge(order: Order) -> dict[str, Any]:
    data = order["data"]
    return {
        "order_id": order["id"],
        "owner": order["owner"],
        "amount_cents": data["total_cents"],
        "currency": data["currency"],
        "card": data.get("card", "first"),
    }


def _shipment(order: Order) -> dict[str, Any]:
    return {"order_id": order["id"], "owner": order["owner"], "lines": _lines(order)}


ACTIONS: Mapping[str, Action] = {
    "reserve": Action("inventory", "/reservations", _reservation),
    "release": Action("inventory", "/reservations/{id}/release", _nothing),
    "charge": Action("payments", "/charges", _charge),
    "refund": Action("payments", "/charges/{id}/refund", _nothing),
    "ship": Action("shipping", "/shipments", _shipment),
    "cancel-shipment": Action("shipping", "/shipments/{id}/cancel", _nothing),
}


class Participants:
    """The services a saga works with; `clients` has one for each of their names."""

    def __init__(
        self,
        clients: Mapping[str, httpx.AsyncClient],
        token: ServiceToken,
        *,
        call_seconds: float,
        pause_seconds: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clients = clients
        self._token = token
        self._call_seconds = call_seconds
        self._pause_seconds = pause_seconds
        self._clock = clock

    async def act(self, action: str, order: Order) -> Outcome:
        """One attempt. Never raises for what the other side does or fails to do."""
        # Each attempt is a span of its own under the click's trace; logs of this task carry it, too.
        trace = TraceContext.continued(
            {"traceparent": order["traceparent"], "x-correlation-id": order["correlation_id"]}
        )
        set_trace(trace)
        if self._pause_seconds:
            await asyncio.sleep(self._pause_seconds)
        about = {"shop.order.action": action, "shop.order.id": order["id"]}
        with span(f"order {action}", attributes=about, context=trace) as made:
            outcome = await self._attempt(action, order)
            made.error = None if outcome["kind"] == "done" else outcome["reason"]
            return outcome

    async def _attempt(self, action: str, order: Order) -> Outcome:
        began = self._clock()
        try:
            async with asyncio.timeout(self._call_seconds):
                refused = await self._call(action, order)
        except Exception as error:
            # All of them: what nobody foresaw must not strand an order half way. It shows as one more attempt.
            foreseen = isinstance(error, _CallFailed | httpx.HTTPError | OSError | TimeoutError)
            _log.warning(
                "a call failed",
                extra={"action": action, "order": order["id"], "reason": repr(error)},
                exc_info=not foreseen,
            )
            reason = f"{ACTIONS[action].service}-unavailable"
            return Failed(kind="failed", reason=reason, began=began, ended=self._clock())
        if refused is not None:
            return Refused(kind="refused", reason=refused, began=began, ended=self._clock())
        return Done(kind="done", began=began, ended=self._clock())

    async def _call(self, action: str, order: Order) -> str | None:
        """None: it is done; else the code of a refusal for good. Raises what leaves open whether it was done."""
        asked = ACTIONS[action]
        answer = await self._clients[asked.service].post(
            asked.path.replace("{id}", order["id"]),
            json=asked.body(order),
            headers={
                "Idempotency-Key": f'"{order["id"]}:{action}"',
                # Values that change name the customer's command, so that the customer's page recognises its own change.
                **({"BFF-Mutation": order["mutation"]} if order["mutation"] else {}),
                **await self._token.headers(),
            },
        )
        if answer.is_success:
            return None
        if answer.status_code == 401:
            self._token.forget()
        code = _code(answer)
        _log.info(
            "a participant said no",
            extra={"action": action, "order": order["id"], "status": answer.status_code, "code": code},
        )
        if code in _FINAL and answer.status_code in (402, 409):
            return code
        raise _CallFailed(f"{answer.status_code} {code}")


def _code(answer: httpx.Response) -> str | None:
    try:
        document = answer.json()
    except ValueError:
        return None
    code = document.get("code") if isinstance(document, dict) else None
    return code if isinstance(code, str) else None
