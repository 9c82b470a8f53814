"""The values that a gateway declares: their names, who may see them, and how to load one that was not published yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..calls import Principal
from ..stores.values import valid_name

# The parameter of a private value's template: its owner, as `Principal.pseudonym`.
OWNER = "{owner}"

Load = Callable[[str], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True, slots=True)
class ValueTopic:
    """A kind of value.

    template  for example ``stock/{sku}``; a `{parameter}` matches one segment
    public    True: every signed-in user may see it; False: only the principal whose pseudonym is in place of `{owner}`
    load      gets a name and returns `{version, data, at?}`, or None when there is no such value; called when no value
              of that name was published yet, and given up after one second
    """

    template: str
    public: bool = False
    load: Load | None = None

    def matches(self, name: str) -> bool:
        """Whether a value with this name is of this kind."""
        parts, segments = self.template.split("/"), name.split("/")
        return len(parts) == len(segments) and all(
            bool(segment) if part.startswith("{") else segment == part
            for part, segment in zip(parts, segments, strict=True)
        )

    def open_to(self, principal: Principal, name: str) -> bool:
        """Whether this principal may see the value with this name, which is of this kind."""
        if self.public:
            return True
        owners = [
            segment
            for part, segment in zip(self.template.split("/"), name.split("/"), strict=True)
            if part == OWNER
        ]
        return owners == [principal.pseudonym]


def topic_of(topics: Sequence[ValueTopic], name: str) -> ValueTopic | None:
    """The declared kind of the value with this name, None when it is not declared."""
    if not valid_name(name):
        return None
    return next((topic for topic in topics if topic.matches(name)), None)
