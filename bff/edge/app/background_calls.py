"""Calls that belong to no request: loading a live value, and listing an owner's sagas to restore their journal."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from ... import calls
from ...calls import Call, Deadline, Principal, Refused, Runner, SagaStatus
from ...live.topics import ValueTopic
from ..declared import SagaType, ValueType
from .identity import Identity

# Seconds for one such call.
DEADLINE = 2.0


class BackgroundCalls:
    """runner: makes the calls; sagas: whose `restore` lists an owner's sagas."""

    def __init__(self, runner: Runner, identity: Identity, sagas: Mapping[str, SagaType]) -> None:
        self._runner = runner
        self._identity = identity
        self._sagas = [saga for saga in sagas.values() if saga.restore is not None]

    @property
    def restores(self) -> bool:
        """Whether any saga can be listed."""
        return bool(self._sagas)

    async def run(self, call: Call[Any], principal: Principal | None, *, restoring: bool = False) -> Any:
        """Make a call for this principal, or for nobody. restoring: see `RequestContext`."""
        scope = calls.RequestContext(
            Deadline.after(DEADLINE), self._runner, str(uuid.uuid4()), principal, restoring=restoring
        )
        with calls.use_context(scope):
            return await call

    async def restore(self, principal: Principal) -> list[SagaStatus]:
        """Every saga of the principal's, the newest first, asked with a token that is valid now."""
        principal = await self._identity.current(principal)
        found: list[SagaStatus] = []
        for saga in self._sagas:
            if saga.restore is not None:
                found += saga.listed(await self.run(saga.restore(principal.id), principal, restoring=True))
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
