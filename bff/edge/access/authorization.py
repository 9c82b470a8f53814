"""Authorization: the scopes and roles that a route requires of a principal. A sign-in alone grants nothing more.

Pure. It is checked before the arguments and the body are read, so a refusal reveals nothing of what is behind a route.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from ...calls import DeclarationError, Principal
from ..problem import Problem


@dataclass(frozen=True, slots=True)
class Requirements:
    """scopes: all of them are required; roles: one of them is required, none where it is empty; fresh: seconds since
    the person proved who they are, at most; acr: the classes of that proof, the preferred one first, of which one is
    required (see step_up.py)."""

    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    fresh: float | None = None
    acr: tuple[str, ...] = ()

    def override(self, scopes: Any, roles: Any, public: bool, what: str) -> Requirements:
        """These requirements, with `scopes` and `roles` replaced where a route declares its own (None: it does not).
        what: names the route in errors.

        Raises DeclarationError for names that no token can hold, and for a public route that requires anything.
        """
        declared = Requirements(
            self.scopes if scopes is None else _names(scopes, "scopes", what),
            self.roles if roles is None else _names(roles, "roles", what),
        )
        if public and (scopes or roles):
            raise DeclarationError(f"{what}: a public route cannot require {declared}")
        return NO_REQUIREMENTS if public else declared

    @property
    def step_up(self) -> bool:
        """Whether not every sign-in is enough."""
        return self.fresh is not None or bool(self.acr)

    def __bool__(self) -> bool:
        return bool(self.scopes or self.roles or self.step_up)

    def __str__(self) -> str:
        names = ", ".join(sorted(self.scopes))
        scopes = f"the scope{'s' * (len(self.scopes) > 1)} {names}" if self.scopes else ""
        roles = f"the role {' or '.join(sorted(self.roles))}" if self.roles else ""
        fresh = "" if self.fresh is None else f"a sign-in of the last {self.fresh:g} seconds"
        acr = f"a sign-in of the class {' or '.join(self.acr)}" if self.acr else ""
        return " and ".join(filter(None, (scopes, roles, fresh, acr)))


NO_REQUIREMENTS = Requirements()
MOST_FRESH = 30 * 86_400
"""Seconds; no session is older."""


def _names(given: Any, kind: str, what: str) -> frozenset[str]:
    # A single string is a sequence of letters, and each letter would be a valid scope.
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise DeclarationError(f"{what}: {kind} is a tuple of strings, as in {kind}=({str(given)!r},)")
    for name in given:
        # RFC 6749 section 3.3. Roles travel in JSON; they get the same rule.
        if not name or any(not 0x21 <= ord(letter) <= 0x7E or letter in '"\\' for letter in name):
            raise DeclarationError(f"{what}: {name!r} in {kind} holds characters that no scope has")
    return frozenset(given)


def check_step_up(fresh: Any, acr: Any, public: bool, what: str) -> None:
    """Raises DeclarationError for a `fresh` or `acr` that no sign-in can have, and for a public route with one. what:
    names the route."""
    number = isinstance(fresh, int | float) and not isinstance(fresh, bool)
    if fresh is not None and (not number or not (1 <= fresh <= MOST_FRESH or fresh == inf)):
        raise DeclarationError(
            f"{what}: fresh is seconds from 1 to {MOST_FRESH}, or math.inf for none; this is {fresh!r}"
        )
    if acr is not None:
        _names(acr, "acr", what)
    if public and (acr or (fresh is not None and fresh != inf)):
        raise DeclarationError(f"{what}: a public route cannot require a recent or strong sign-in")


def authorize(principal: Principal, required: Requirements) -> None:
    """Raises Problem 403 `forbidden`, which says what is missing (RFC 6750 section 3.1)."""
    missing = required.scopes - principal.scopes
    lacks_role = bool(required.roles) and not required.roles & principal.roles
    if missing or lacks_role:
        challenge = f'Bearer error="insufficient_scope", scope="{" ".join(sorted(required.scopes))}"'
        granted = Requirements(required.scopes, required.roles)
        raise Problem(
            403,
            "forbidden",
            f"This needs {granted}, which your sign-in or token does not have.{_left_out(principal, lacks_role)}",
            headers={"www-authenticate": challenge} if missing else None,
        )


def _left_out(principal: Principal, lacks_role: bool) -> str:
    """The sentence that says why a role may be missing, if the identity provider is the reason."""
    if not lacks_role or not principal.left_out:
        return ""
    return (
        f" Your identity provider left {' and '.join(principal.left_out)} out of the token, because it has too many "
        "values, so no role of it counts."
    )
