"""What a written file defines: types, members of models, models and aliases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Type:
    """A Python type: its alternatives in order, such as `("Pet", "None")`."""

    alternatives: tuple[str, ...]

    @classmethod
    def of(cls, *alternatives: str) -> Type:
        if "Any" in alternatives:
            return cls(("Any",))
        found = dict.fromkeys(alternatives)
        none = found.pop("None", "absent") is None
        return cls((*found, "None") if none else tuple(found))

    @classmethod
    def union(cls, types: Iterable[Type]) -> Type:
        return cls.of(*(one for each in types for one in each.alternatives))

    @property
    def has_none(self) -> bool:
        return self.alternatives in (("Any",), ("None",)) or "None" in self.alternatives

    def or_none(self) -> Type:
        return Type.of(*self.alternatives, "None")

    def __str__(self) -> str:
        return " | ".join(self.alternatives)


ANY = Type(("Any",))
NONE = Type(("None",))


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object. default: its source, None for a member that has to be there."""

    name: str
    type: Type
    default: str | None
    notes: str = ""


@dataclass(slots=True)
class Definition:
    """A model or an alias. alias: what an alias stands for; extra: the type of further members, None without them."""

    name: str
    notes: list[str] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    extra: Type | None = None
    alias: Type | None = None
    uses: set[str] = field(default_factory=set)
    """Names of the definitions that it uses."""
