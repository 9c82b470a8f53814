"""Who owns an upstream and how to reach them: every error that comes from elsewhere carries one of these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """service: the upstream's name in settings; team: a human name; contact: a channel or address; docs: a URL."""

    service: str
    team: str
    contact: str
    docs: str = ""

    def as_dict(self, *, contacts: bool = True) -> dict[str, str]:
        """contacts: False leaves `contact` and `docs` empty."""
        contact, docs = (self.contact, self.docs) if contacts else ("", "")
        return {"service": self.service, "team": self.team, "contact": contact, "docs": docs}
