"""What the gateway knows about a saga: its id, its status, and the browser's mutation that started it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Status = Literal[
    "PENDING", "RUNNING", "COMPENSATING", "COMPLETED", "COMPENSATED", "REJECTED", "NEEDS_ATTENTION"
]
STATUSES: tuple[Status, ...] = get_args(Status)
MAX_MUTATIONS = 32
"""Size limit of the list of commands in one event."""
ENDED: frozenset[Status] = frozenset({"COMPLETED", "COMPENSATED", "REJECTED"})


class SagaStatus(BaseModel):
    """A saga as services report it and browsers see it. Subclass it to give `data` the type of your domain.

    id        1 to 128 characters; type: 1 to 64 characters
    version   counted by the service for this saga, from 1; 0 is set by the gateway before the first event
    step      the name of the current step, None before the first one
    attempt   the number of tries of this step, from 1
    reason    a stable code when something was refused or compensated, otherwise None
    mutation  the Idempotency-Key of the command that started it, None when no command did
    mutations the Idempotency-Keys of later commands that this status contains, for example of a cancellation; at
              most 32
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
    mutations: list[Annotated[str, Field(max_length=255)]] = Field(default=[], max_length=MAX_MUTATIONS)
    at: str
    data: Any = None
