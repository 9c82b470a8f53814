"""Who is shown how to reach the owner of a service: everybody, those who are signed in, or nobody.

Without it an owner is its service and its team; `contact` and `docs` are empty.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

from .state import state_of

Shown = Literal["everybody", "signed-in", "nobody"]


def signed_in(scope: MutableMapping[str, Any]) -> None:
    """Note on a request that it is somebody's who was authenticated."""
    state_of(scope).signed_in = True


@dataclass(frozen=True, slots=True)
class OwnerContacts:
    """shown: the setting `owner_contacts`."""

    shown: Shown = "everybody"

    def on(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether the answer to this request may hold them; what is not known to be somebody's is nobody's."""
        return self.shown == "everybody" or (self.shown == "signed-in" and state_of(scope).signed_in)


EVERYBODY = OwnerContacts()
