"""The order saga on one page: what is done for an order, in which service, and what compensates it.

    reserve the stock  →  charge the card  →  ship the parcel  →  COMPLETED
        release        ←      refund       ←  cancel-shipment  →  COMPENSATED

A step that a service refuses for good was not done. A step that failed may have been done, so it is compensated, too.
Until the pivot is done the customer may cancel. Afterwards the order can only be completed.

Where to read on: `execution.py` carries the steps out, tries them again and compensates them; `retry.py` says how
patient that is; `engine.py` makes it durable; `participants.py` has the requests to the services.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict

from upstreams.orders.retry import Policy


@dataclass(frozen=True, slots=True)
class SagaStep:
    """An action at a service, and the action that compensates it. pivot: afterwards there is no way back."""

    action: str
    service: str
    compensate: str
    pivot: bool = False


STEPS: Final = (
    SagaStep("reserve", "inventory", compensate="release"),
    SagaStep("charge", "payments", compensate="refund"),
    SagaStep("ship", "shipping", compensate="cancel-shipment", pivot=True),
)


class Order(TypedDict):
    """A saga's input, as JSON would have it. `data` is the order's content as told to the customer."""

    id: str
    owner: str
    mutation: str | None
    fingerprint: str
    created: float
    data: dict[str, Any]
    traceparent: str
    correlation_id: str
    policy: Policy


class Done(TypedDict):
    """The action is done. `began` and `ended` of an attempt are seconds since the epoch."""

    kind: Literal["done"]
    began: float
    ended: float


class Refused(TypedDict):
    """The service said no for good, and nothing was done; `reason` is a short stable code."""

    kind: Literal["refused"]
    reason: str
    began: float
    ended: float


class Failed(TypedDict):
    """Nobody knows whether it was done."""

    kind: Literal["failed"]
    reason: str
    began: float
    ended: float


Outcome = Done | Refused | Failed
"""What came of one attempt."""


class Change(TypedDict):
    """One thing to record and to tell.

    After a failed attempt it names the next one: `attempt` is its number, `next_try_at` its time (seconds since the
    epoch), `last_error` why the one before failed. `note` is an operator's words.
    """

    version: int
    status: str
    step: str | None
    attempt: int
    reason: str | None
    next_try_at: float | None
    last_error: str | None
    note: str | None


class Continuation(TypedDict):
    """Where a run of a saga ended for a new one to go on: run `run` begins with the first of `compensations`, whose
    attempts have failed since `began` (seconds since the epoch)."""

    run: int
    version: int
    compensations: list[str]
    reason: str | None
    attempt: int
    began: float
