"""The team that owns an upstream and how to reach it. Every error of an upstream names its owner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """service: the upstream's name in settings; team: a name for people; contact: a channel or address; docs: a URL."""

    service: str
    team: str
    contact: str
    docs: str = ""

    def as_dict(self, *, contacts: bool = True) -> dict[str, str]:
        """The owner as a member of a problem. contacts: False leaves `contact` and `docs` empty."""
        contact, docs = (self.contact, self.docs) if contacts else ("", "")
        return {"service": self.service, "team": self.team, "contact": contact, "docs": docs}
