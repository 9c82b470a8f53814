"""The port between the chain and what stands before it: the decoded answer together with what came over the wire.

A cache keeps bytes, not objects: each reader decodes its own copy, so that what one view changes no other view sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from ..calls import Call, Scope
from .wire import Answer

NO_CONDITIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Exchanged:
    """answer: status, headers, bytes; value: the answer as the call's model, None for a 304; joined: another caller
    ran it."""

    answer: Answer
    value: Any
    joined: bool = False


class Exchange(Protocol):
    """What runs a call to its end, retries and all."""

    async def exchange(
        self, call: Call[Any], scope: Scope, conditions: Mapping[str, str] = NO_CONDITIONS
    ) -> Exchanged:
        """conditions: further request headers such as `if-none-match`; only with them a 304 is an answer. Notes the
        timing but not the freshness. Raises an UpstreamError."""

    async def run(self, call: Call[Any], scope: Scope) -> Any:
        """`exchange` without conditions, its value alone; notes the freshness."""
