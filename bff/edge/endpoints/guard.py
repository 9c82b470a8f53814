"""What every request goes through before its endpoint does anything: authenticate → permit → csrf → limit.

Guarantees one order for all endpoints: who may not ask spends no limit of a route, and nothing of a refusal depends on
what is behind the endpoint. Without an `Access` there is no endpoint for people, so no new kind can forget a step.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from ...calls import Principal
from ..access import csrf
from ..access.authenticate import Authenticator
from ..access.authorization import NO_REQUIREMENTS, Requirements, authorize
from ..problem import Problem
from ..rate_limiter import Caller, RateLimiter
from ..rate_limits import Limit
from ..state import state_of


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route.

    route     as declared: names it in metrics, traces and limits
    needs     scopes and roles
    public    nobody in particular is served as well
    anonymous it is the same for everybody, so nobody is asked who they are
    own_site  a read by cookie that another site's page may not make
    limit     the route's own limit; None: the default
    times     multiplies its amounts
    """

    route: str
    requirements: Requirements = NO_REQUIREMENTS
    public: bool = False
    anonymous: bool = False
    own_site: bool = False
    limit: str | Limit | None = None
    times: int = 1


class Guard:
    """authenticate: who asks; public_url: where this site's own pages are."""

    def __init__(self, authenticate: Authenticator, limits: RateLimiter, public_url: str) -> None:
        self._authenticate = authenticate
        self._limits = limits
        self._public_url = public_url

    async def admit(self, scope: Scope, access: Access) -> Principal | None:
        """Who asks, None for nobody in particular. Raises Problem 401, 403, 429 or 503."""
        state_of(scope).route = access.route
        if access.anonymous:
            return None
        principal = await self._authenticate(scope, optional=access.public)
        if principal is None:
            if not access.public:
                raise unauthenticated()
            return None
        authorize(principal, access.requirements)
        csrf.check(scope, principal, self._public_url)
        if access.own_site:
            csrf.check_read(scope, principal)
        return principal

    async def admit_somebody(self, scope: Scope, access: Access) -> Principal:
        """The same where nobody in particular is not served."""
        principal = await self.admit(scope, access)
        if principal is None:
            raise unauthenticated()
        return principal

    def caller(self, scope: Scope, principal: Principal | None) -> Caller:
        """Whose limits a request spends."""
        return self._limits.caller(scope, principal)

    async def spend(
        self, scope: Scope, principal: Principal | None, access: Access, *, cost: int = 1
    ) -> dict[str, str]:
        """Count one request, or `cost`; gives the RateLimit headers. Raises Problem 429, or 503 where it cannot be
        counted."""
        who = self._limits.caller(scope, principal)
        return await self._limits.spend(access.route, access.limit, who, times=access.times, cost=cost)


class Limited:
    """`app` behind a limit by address: for sign-in and for signed messages, which have no principal."""

    def __init__(self, guard: Guard, route: str, app: ASGIApp, limit: str | None) -> None:
        self._guard = guard
        self._access = Access(route, anonymous=True, limit=limit)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = await self._guard.admit(scope, self._access)
        await self._guard.spend(scope, principal, self._access)
        await self._app(scope, receive, send)


def unauthenticated() -> Problem:
    """401 with what to do about it."""
    return Problem(
        401,
        "unauthenticated",
        "Sign in at /bff/login, or send `Authorization: Bearer` with an access token.",
        headers={"www-authenticate": 'Bearer realm="bff"'},
    )
