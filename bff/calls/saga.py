"""What the gateway knows of a saga: its id, where it stands, and which of the browser's mutations began it."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Status = Literal[
    "PENDING", "RUNNING", "COMPENSATING", "COMPLETED", "COMPENSATED", "REJECTED", "NEEDS_ATTENTION"
]
STATUSES: tuple[Status, ...] = get_args(Status)
ENDED: frozenset[Status] = frozenset({"COMPLETED", "COMPENSATED", "REJECTED"})


class SagaStatus(BaseModel):
    """A saga as services report it and browsers see it. Extend it to type `data` for your domain.

    version   the service's own count for this saga, from 1; 0 is the gateway's word before the first event
    step      the domain's name of what is being done, None before the first step
    attempt   which try of that step this is, from 1
    reason    a stable code when something was refused or undone, else None
    mutation  the Idempotency-Key of the click that began it, None when it began elsewhere
    at        RFC 3339 time of the change
    """

    model_config = ConfigDict(extra="ignore")

    id: str = Field(min_length=1, max_length=128)
    type: str = Field(min_length=1, max_length=64)
    status: Status
    step: str | None = None
    attempt: int = 1
    version: int = Field(default=0, ge=0)
    reason: str | None = None
    mutation: str | None = None
    at: str
    data: Any = None
