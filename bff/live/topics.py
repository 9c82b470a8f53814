"""What a gateway's live side knows by name: its values, and how to ask for one that nobody has published yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..stores.values import valid_name

Load = Callable[[str], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True, slots=True)
class ValueTopic:
    """A kind of value.

    template  such as ``stock/{sku}``: one `{parameter}` stands for one segment
    public    whoever is signed in may see it
    load      given a name, `{version, data, at?}` or None; called when nobody has published that name yet, and given
              up on after one second
    """

    template: str
    public: bool = False
    load: Load | None = None

    def matches(self, name: str) -> bool:
        """Whether a name is one of this kind."""
        ours, asked = self.template.split("/"), name.split("/")
        return len(ours) == len(asked) and all(
            bool(segment) if part.startswith("{") else segment == part
            for part, segment in zip(ours, asked, strict=True)
        )


def topic_of(topics: Sequence[ValueTopic], name: str) -> ValueTopic | None:
    """The kind a name belongs to, None for one nobody declared."""
    if not valid_name(name):
        return None
    return next((topic for topic in topics if topic.matches(name)), None)
