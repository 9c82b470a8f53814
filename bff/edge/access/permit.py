"""What a principal must bring to be let in: scopes and roles, as declared. Being signed in alone opens nothing more.

Pure, and judged before anything else of a request is read, so that a refusal says nothing of what is behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...calls import DeclarationError, Principal
from ..problem import Problem


@dataclass(frozen=True, slots=True)
class Requirements:
    """scopes: every one of them; roles: one of them, none when empty."""

    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()

    def override(self, scopes: Any, roles: Any, public: bool, what: str) -> Requirements:
        """These for a route that says nothing of its own (None); its own words in their place where it does.

        Raises DeclarationError for what could not stand in a token, and for a public route that asks for anything.
        """
        own = Requirements(
            self.scopes if scopes is None else _names(scopes, "scopes", what),
            self.roles if roles is None else _names(roles, "roles", what),
        )
        if public and (scopes or roles):
            raise DeclarationError(f"{what}: public, so nobody is asked for {own}")
        return NOTHING if public else own

    def __bool__(self) -> bool:
        return bool(self.scopes or self.roles)

    def __str__(self) -> str:
        words = []
        if self.scopes:
            words.append(f"the scope{'s' * (len(self.scopes) > 1)} {', '.join(sorted(self.scopes))}")
        if self.roles:
            words.append(f"the role {' or '.join(sorted(self.roles))}")
        return " and ".join(words)


NOTHING = Requirements()


def _names(given: Any, name: str, what: str) -> frozenset[str]:
    # One string is a sequence of letters, each of them a fine scope.
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise DeclarationError(f"{what}: {name} is a tuple of texts, as in {name}=({str(given)!r},)")
    for one in given:
        # RFC 6749 section 3.3; a role travels in JSON, and is still no place for a space or a quote.
        if not one or any(not 0x21 <= ord(letter) <= 0x7E or letter in '"\\' for letter in one):
            raise DeclarationError(f"{what}: {one!r} in {name} holds characters no scope has")
    return frozenset(given)


def permit(principal: Principal, needs: Requirements) -> None:
    """Raises Problem 403 `forbidden` that says what is missing (RFC 6750 section 3.1)."""
    if not needs or (needs.scopes <= principal.scopes and (not needs.roles or needs.roles & principal.roles)):
        return
    challenge = f'Bearer error="insufficient_scope", scope="{" ".join(sorted(needs.scopes))}"'
    raise Problem(
        403,
        "forbidden",
        f"This needs {needs}, which your sign-in or token does not have.",
        headers={"www-authenticate": challenge} if needs.scopes - principal.scopes else None,
    )
