"""Work that belongs to no request: tasks that go on when their client has left, and calls that the gateway makes by
itself, to load a live value or to list an owner's sagas."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any

from ... import calls
from ...calls import Call, Deadline, Principal, Refused, Runner, SagaStatus
from ...calls.shutdown import cancel_tasks
from ...live.topics import ValueTopic
from ...stores.redis.client import StoreUnavailable
from ..declared import SagaType, ValueType
from ..problem import Problem
from .identity import Identity

log = logging.getLogger("bff.edge")

FINISH = 5.0
"""Seconds that tasks get to finish when the gateway stops."""

DEADLINE = 2.0
"""Seconds for one background call."""


class BackgroundTasks:
    """`spawn` starts a task, `finish` ends all of them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task. A failure that no caller receives is logged under the task's name."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self) -> None:
        """Wait for the tasks to finish, and cancel those that take longer than `FINISH`."""
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=FINISH)
        except asyncio.CancelledError:
            for task in self._tasks:
                task.cancel()
            raise
        if late := list(self._tasks):
            log.warning("cancelled when the gateway ended: %s", ", ".join(task.get_name() for task in late))
            await cancel_tasks(late, 1.0)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # The Redis client logs once that Redis is away. A Problem is the answer to a request. Any other failure may
        # have no caller, so that this line is its only trace.
        expected = Problem | StoreUnavailable
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, expected):
            log.error("%s failed", task.get_name(), exc_info=error)


class BackgroundCalls:
    """runner: makes the calls; sagas: the declared ones, by name; restores: whether any of them can be listed."""

    def __init__(self, runner: Runner, identity: Identity, sagas: Mapping[str, SagaType]) -> None:
        self._runner = runner
        self._identity = identity
        self._sagas = [(saga, saga.restore) for saga in sagas.values() if saga.restore is not None]
        self.restores = bool(self._sagas)

    async def run(self, call: Call[Any], principal: Principal | None, *, restoring: bool = False) -> Any:
        """Make a call for this principal; None: for no principal. restoring: see `RequestContext`."""
        scope = calls.RequestContext(
            Deadline.after(DEADLINE), self._runner, str(uuid.uuid4()), principal, restoring=restoring
        )
        with calls.use_context(scope):
            return await call

    async def restore(self, principal: Principal) -> list[SagaStatus]:
        """Every saga of the principal, the newest first, requested with a token that is valid now."""
        principal = await self._identity.current(principal)
        found: list[SagaStatus] = []
        for saga, restore in self._sagas:
            found += saga.listed(await self.run(restore(principal.id), principal, restoring=True))
        return sorted(found, key=lambda status: status.at, reverse=True)

    def topic(self, value: ValueType) -> ValueTopic:
        """The live value as the hub has it."""
        load = value.load
        if load is None:
            return ValueTopic(value.template, public=value.public)

        async def fetch(name: str) -> Mapping[str, Any] | None:
            pairs = zip(value.template.split("/"), name.split("/"), strict=True)
            given = {part[1:-1]: segment for part, segment in pairs if part.startswith("{")}
            try:
                found = await self.run(load(**given), None)
            except Refused as error:
                if error.status not in (404, 410):
                    raise
                return None
            return {"version": found.version, "data": found.model_dump(mode="json")}

        return ValueTopic(value.template, public=value.public, load=fetch)
