"""Step-up authentication (RFC 9470): a route that needs a recent or a stronger proof of who the person is.

Pure. Guarantees that a sign-in whose time or class is not known is neither recent nor strong. The challenge says what
is needed; for a browser it also has the address at which the person proves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from ...calls import Principal
from ..problem import Problem
from .authorization import Requirements

LEEWAY = 10.0
"""Seconds that the clocks of provider and gateway may differ."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What an authentication lacks. max_age: seconds, None where it is recent enough; acr: the classes of which one is
    needed, empty where it is strong enough."""

    max_age: int | None
    acr: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, str]:
        """As an authorization request has them (RFC 9470 section 4)."""
        age = {} if self.max_age is None else {"max_age": str(self.max_age)}
        return age | ({"acr_values": " ".join(self.acr)} if self.acr else {})


def missing(principal: Principal, required: Requirements, now: float) -> Missing | None:
    """What the authentication of this principal lacks; None where it is enough. now: Unix seconds."""
    at = principal.authenticated_at
    fresh = required.fresh is None or (at is not None and now - at <= required.fresh + LEEWAY)
    strong = not required.acr or principal.acr in required.acr
    if fresh and strong:
        return None
    # Both are asked for again: a new sign-in replaces the one before.
    age = None if required.fresh is None else int(required.fresh)
    return Missing(age, required.acr)


def challenge(missing: Missing, login: str | None) -> Problem:
    """The 401 of RFC 9470 section 3. login: the path of the sign-in, None for a client that signs in elsewhere; the
    problem then has it with the parameters as its member `login`."""
    needs = [
        *([f"a sign-in of the last {missing.max_age} seconds"] if missing.max_age is not None else []),
        *([f"a sign-in of the class {' or '.join(missing.acr)}"] if missing.acr else []),
    ]
    detail = f"This needs {' and '.join(needs)}."
    parameters = missing.parameters
    listed = "".join(f', {name}="{value}"' for name, value in parameters.items())
    extra: dict[str, object] = {"max_age": missing.max_age, "acr_values": list(missing.acr)}
    if login is not None:
        extra["login"] = f"{login}?{urlencode(parameters, quote_via=quote)}"
        detail += f" Sign in again at {extra['login']}"
    return Problem(
        401,
        "step-up-required",
        detail,
        headers={
            "www-authenticate": 'Bearer error="insufficient_user_authentication", '
            f'error_description="A more recent or stronger authentication is required"{listed}'
        },
        extra={name: value for name, value in extra.items() if value not in (None, [])},
    )
