"""The steps that every request passes before its endpoint does anything: authenticate → authorize → CSRF check →
step-up → rate limit.

Guarantees one order for all endpoints. A request that is refused spends no limit of a route, and the refusal does not
depend on what is behind the endpoint. Every endpoint takes a `Guard` and an `Access`; only health and the fixed
documents, which are the same for everybody, have neither.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope

from ...calls import Clock, Principal
from ...policies.rate import Bucket, BucketState
from ..access import csrf, step_up
from ..access.authenticate import Authenticator
from ..access.authorization import NO_REQUIREMENTS, Requirements, authorize
from ..access.session_cookies import Site
from ..declared import Forward, Route
from ..http.public_path import PublicPath
from ..problem import Problem
from ..rate_limits import Limit, RateLimiter
from ..state import state_of


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route, and how often.

    route         as declared; names it in metrics, traces and limits
    requirements  the scopes and roles that are required
    public        callers without credentials are served as well
    anonymous     credentials are ignored: the answer is the same for everybody
    same_origin   a read with a session cookie is refused when another site's page makes it
    own_page      a write without credentials, too, must come from this site's own page
    limit         the limit that the route declares; None: the default
    counted_as    the name under which the limit is counted; "": the route
    times         multiplies the limit's amounts
    kind          screen, command, forward or other, for metrics and the log
    """

    route: str
    requirements: Requirements = NO_REQUIREMENTS
    public: bool = False
    anonymous: bool = False
    same_origin: bool = False
    own_page: bool = False
    limit: str | Limit | None = None
    counted_as: str = ""
    times: int = 1
    kind: str = "other"

    @classmethod
    def of(cls, route: Route) -> Access:
        """The access to a declared route. Each method of a path is counted separately. The answer of a public view that
        takes no principal is the same for everybody, so credentials are ignored there."""
        return cls(
            route.path,
            route.requirements,
            route.public,
            anonymous=route.public and not route.binding.takes_principal,
            limit=route.options.limit,
            counted_as=f"{route.method} {route.path}",
            kind=kind_of(route),
        )


def kind_of(route: Route | Forward) -> str:
    """How metrics and the log name this kind of route."""
    if isinstance(route, Forward):
        return "forward"
    return "screen" if route.kind == "view" else "command"


class Guard:
    """site: the addresses of this site, for the CSRF check; a text is its public URL. clock: Unix seconds."""

    def __init__(
        self,
        authenticate: Authenticator,
        limits: RateLimiter,
        site: Site | str,
        *,
        clock: Clock = time.time,
    ) -> None:
        self._authenticate = authenticate
        self._limits = limits
        self._site = Site(site) if isinstance(site, str) else site
        self._login = f"{PublicPath.of(self._site.public_url).prefix}/bff/login"
        self._clock = clock

    async def admit(self, scope: Scope, access: Access) -> Principal | None:
        """The caller, None without credentials. Every step but the limit. Raises Problem 401, 403, 429 or 503."""
        state = state_of(scope)
        state.route, state.kind = access.route, access.kind
        if access.anonymous:
            return None
        principal = await self._authenticate(scope, optional=access.public)
        if principal is None:
            if not access.public:
                raise self._unauthenticated()
            if access.own_page:
                csrf.check_request(scope, self._site.url(scope))
            return None
        authorize(principal, access.requirements)
        csrf.check(scope, principal, self._site.url(scope))
        if access.requirements.step_up:
            self._check_authentication(principal, access.requirements)
        if access.same_origin:
            csrf.check_read(scope, principal)
        return principal

    async def admit_authenticated(self, scope: Scope, access: Access) -> Principal:
        """`admit` for routes that only authenticated callers may use."""
        principal = await self.admit(scope, access)
        if principal is None:
            raise self._unauthenticated()
        return principal

    async def spend(
        self, scope: Scope, principal: Principal | None, access: Access, *, cost: int = 1
    ) -> dict[str, str]:
        """Count the request as `cost` requests; returns the RateLimit headers. Raises Problem 429, or 503 where a
        costly route cannot be counted."""
        caller = self._limits.caller(scope, principal)
        headers = await self._limits.spend(
            access.counted_as or access.route, access.limit, caller, times=access.times, cost=cost
        )
        state_of(scope).limit = headers.get("ratelimit", "")
        return headers

    async def admit_limited(self, scope: Scope, access: Access) -> tuple[Principal | None, dict[str, str]]:
        """`admit`, then `spend`: the caller and the RateLimit headers."""
        principal = await self.admit(scope, access)
        return principal, await self.spend(scope, principal, access)

    def buckets(self, scope: Scope, principal: Principal, *accesses: Access) -> tuple[list[Bucket], ...]:
        """The buckets that a request spends under each access, for a store that counts them in a larger step."""
        caller = self._limits.caller(scope, principal)
        return tuple(
            self._limits.buckets(access.counted_as or access.route, access.limit, caller, times=access.times)
            for access in accesses
        )

    def headers(self, scope: Scope, spent: Sequence[BucketState]) -> dict[str, str]:
        """The RateLimit headers of what such a store counted. Raises Problem 429."""
        headers = self._limits.headers_for(spent)
        state_of(scope).limit = headers.get("ratelimit", "")
        return headers

    def _check_authentication(self, principal: Principal, required: Requirements) -> None:
        missing = step_up.missing(principal, required, self._clock())
        if missing is not None:
            raise step_up.challenge(missing, self._login if principal.session is not None else None)

    def _unauthenticated(self) -> Problem:
        return Problem(
            401,
            "unauthenticated",
            f"Sign in at {self._login}, or send `Authorization: Bearer` with an access token.",
            headers={"www-authenticate": 'Bearer realm="bff"'},
        )
