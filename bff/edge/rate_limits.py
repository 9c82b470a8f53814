"""What a route allows, as it is declared: slowapi's grammar (`10/minute`, `5/second;100/hour`), for whom, and whether
it may go on while nobody can count. Refuses what it cannot read by the name of the route."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from limits import RateLimitItem
from slowapi.wrappers import LimitGroup

from ..calls import DeclarationError
from ..policies.rate import Quota


@dataclass(frozen=True, slots=True)
class Limit:
    """What a view or command allows, `Limit("10/minute", tenant="1000/hour")`; all of it must fit, or nothing is spent.

    principal  to each person signed in, else to each address; None: the default limit of the settings
    client     to each OAuth client (claim `client_id`)
    address    to each address, of whoever is signed in, too; an IPv6 network of 64 bits counts as one
    tenant     to each tenant (the claim that `limits.tenant_claim` names)
    costly     True: while Redis is away the answer is 503, instead of this gateway's share of the limit
    """

    principal: str | None = None
    client: str | None = None
    address: str | None = None
    tenant: str | None = None
    costly: bool = False

    def __str__(self) -> str:
        said = [self.principal or "default"]
        said += [f"{text} by {by}" for by, text in self.by() if text is not None and by != "principal"]
        return "; ".join(said + ["costly"] * self.costly)

    def by(self) -> Iterator[tuple[str, str | None]]:
        """Whom it counts, and how much it allows them."""
        for one in fields(self):
            if one.name != "costly":
                yield one.name, getattr(self, one.name)


def limit_of(given: str | Limit | None) -> Limit:
    """A text is a limit for each principal."""
    return given if isinstance(given, Limit) else Limit(given)


def quotas_of(route: str, given: str | Limit) -> tuple[tuple[str, Quota], ...]:
    """Whom a limit counts, and the quotas. Raises DeclarationError naming the route."""
    return tuple(
        (by, _quota(by, item))
        for by, text in limit_of(given).by()
        if text is not None
        for item in _items(route, text)
    )


def _items(route: str, text: str) -> list[RateLimitItem]:
    group = LimitGroup(text, str, route, False, None, None, None, 1, True)
    try:
        items = [one.limit for one in group]
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
