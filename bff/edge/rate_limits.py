"""The rate limits that routes declare: slowapi's grammar (`10/minute`, `5/second;100/hour`), whom they count, and
whether a route may go on while nobody can count. What cannot be read is refused with the name of the route."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from limits import RateLimitItem
from slowapi.wrappers import LimitGroup

from ..calls import DeclarationError
from ..policies.rate import Quota


@dataclass(frozen=True, slots=True)
class Limit:
    """What a view or command allows, `Limit("10/minute", tenant="1000/hour")`. A request that does not fit into
    all of it spends nothing.

    principal  to each person signed in, else to each address; None: the default limit of the settings
    client     to each OAuth client (claim `client_id`)
    address    to each address, also of people who are signed in; an IPv6 network of 64 bits counts as one
    tenant     to each tenant (the claim that `limits.tenant_claim` names)
    costly     True: while Redis is away the answer is 503, instead of this gateway's share of the limit
    """

    principal: str | None = None
    client: str | None = None
    address: str | None = None
    tenant: str | None = None
    costly: bool = False

    def __str__(self) -> str:
        parts = [self.principal or "default"]
        parts += [f"{text} by {by}" for by, text in self.by() if text is not None and by != "principal"]
        return "; ".join(parts + ["costly"] * self.costly)

    def by(self) -> Iterator[tuple[str, str | None]]:
        """Each kind of identity, and what it is allowed."""
        for kind in fields(self):
            if kind.name != "costly":
                yield kind.name, getattr(self, kind.name)


def limit_of(given: str | Limit | None) -> Limit:
    """A text is a limit for each principal."""
    return given if isinstance(given, Limit) else Limit(given)


def quotas_of(route: str, given: str | Limit) -> tuple[tuple[str, Quota], ...]:
    """The kinds of identity that a limit counts, and their quotas. Raises DeclarationError naming the route."""
    return tuple(
        (by, _quota(by, item))
        for by, text in limit_of(given).by()
        if text is not None
        for item in _items(route, text)
    )


def _items(route: str, text: str) -> list[RateLimitItem]:
    group = LimitGroup(text, str, route, False, None, None, None, 1, True)
    try:
        items = [parsed.limit for parsed in group]
    except ValueError:
        items = []
    if not items or any(item.amount < 1 or item.get_expiry() < 1 for item in items):
        raise DeclarationError(
            f"{route}: the limit {text!r} cannot be read; write it as 10/minute or 5/second;100/hour"
        )
    return items


def _quota(by: str, item: RateLimitItem) -> Quota:
    name = item.GRANULARITY.name
    if item.multiples > 1:
        name = f"{item.multiples}-{name}"
    return Quota(name if by == "principal" else f"{by}-{name}", item.amount, item.get_expiry())
