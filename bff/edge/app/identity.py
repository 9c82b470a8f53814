"""Identity: the parts that verify tokens and sessions and learn of their end, made from the settings.

The end of a session or token ends its streams on every gateway: `streams` is the hub, assigned once it is built.
"""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from ...calls import Principal
from ...calls.shutdown import Closing
from ...live.hub import Hub
from ...network import Network
from ...stores.proofs import ProofStore
from ...stores.redis.client import RedisClient
from ...stores.revocations import RevocationStore
from ...stores.sessions import SessionStore
from ..access.authenticate import Authenticator, FailureLimit
from ..access.dpop import ProofVerifier
from ..access.fetch import Fetch, FetchTarget, fetch_nothing
from ..access.jwt import TokenVerifier
from ..access.login_state import LoginStates
from ..access.provider import Provider
from ..access.providers import ProviderEntry, Providers
from ..access.revocation_list import RevocationList
from ..access.session import Sessions
from ..access.session_cookies import SessionCookies, session_cookies
from ..access.token_endpoint import ANSWER_BYTES
from ..access.token_revocation import TokenRevocations
from ..access.token_watch import TokenWatch
from ..problem import Problem
from ..settings import IssuerSettings, OidcSettings, Settings
from ..settings.network import NetworkSettings
from .network import Connections, fetch_targets

log = logging.getLogger("bff.edge")


class Identity:
    """authenticate: makes a request's Principal; sessions, providers: None where browsers cannot sign in here."""

    streams: Hub

    def __init__(self, settings: Settings, redis: RedisClient, connections: Connections) -> None:
        self.store = SessionStore(redis)
        targets = fetch_targets(settings, connections)
        self._fetchers: list[Closing] = []
        self._keys: Fetch = fetch_nothing
        self._tokens: Fetch = fetch_nothing
        self._refreshes: Fetch = fetch_nothing
        if settings.issuers or settings.sign_ins:
            self._open_fetchers(settings.network, connections.network, targets)
        self._revocation_store = RevocationStore(redis)
        self.revocations = RevocationList(
            self._revocation_store, on_session_end=self._on_session_end, on_change=self._on_revocation
        )
        self.verifier = TokenVerifier(_issuers(settings), self._keys, revocations=self.revocations)
        self.token_revocations = TokenRevocations()
        self.providers: Providers | None = None
        # Only opaque tokens have to be asked about again while a stream is open.
        self.token_watch = (
            TokenWatch(self.verifier, lambda: self.streams) if self.verifier.introspects else None
        )
        self.sessions: Sessions | None = None
        cookies = session_cookies(
            settings.public_url, {name: oidc.hosts for name, oidc in settings.sign_ins.items()} or {"": ()}
        )
        if settings.sign_ins:
            self.providers = Providers(
                [self._entry(name, oidc, cookies) for name, oidc in settings.sign_ins.items()], cookies
            )
            renews = {entry.name: entry.provider.renew for entry in self.providers}
            self.sessions = Sessions(
                self.store,
                settings.session,
                renew_at=renews,
                on_end=self._end_session,
                revocations=self.revocations,
            )
        self.authenticate = Authenticator(
            self.verifier,
            self.sessions,
            FailureLimit(settings.limits.failures),
            cookies=cookies,
            proofs=ProofVerifier(ProofStore(redis), cookies.site, settings.dpop),
        )

    def _open_fetchers(self, limits: NetworkSettings, network: Network, targets: list[FetchTarget]) -> None:
        # Its HTTP client is imported only where there is an identity provider.
        from ..access.fetcher import Fetcher

        keys = Fetcher(timeout=limits.discovery_timeout, network=network, targets=targets)
        # Refreshes have connections of their own, so that they do not wait behind sign-ins.
        tokens, refreshes = (
            Fetcher(
                timeout=limits.token_timeout,
                max_body=ANSWER_BYTES,
                connections=32,
                network=network,
                targets=targets,
            )
            for _ in range(2)
        )
        self._keys, self._tokens, self._refreshes = keys, tokens, refreshes
        self._fetchers += [
            ("the fetcher of keys", keys.close),
            ("the fetcher of tokens", tokens.close),
            ("the fetcher of refreshed tokens", refreshes.close),
        ]

    def _entry(self, name: str, oidc: OidcSettings, cookies: SessionCookies) -> ProviderEntry:
        provider = Provider(
            oidc,
            self._keys,
            name=name,
            exchange=self._tokens,
            refreshes=self._refreshes,
            redirect_uri=f"{cookies.site.public_url}/bff/callback{f'/{name}' if name else ''}",
            trusted=self.verifier.issuers.get(oidc.issuer),
        )
        cookie = cookies.names[name]
        return ProviderEntry(
            name=name,
            title=oidc.title or name.capitalize() or (urlsplit(oidc.issuer).hostname or oidc.issuer),
            provider=provider,
            states=LoginStates(lambda: f"{name}:{provider.secret}" if name else provider.secret),
            cookie=cookie,
            login_cookies=f"{cookie}-login-",
        )

    def ended(self, principal: Principal) -> bool:
        """Whether the token was revoked, or the session has ended, since the request was authenticated."""
        return self.revocations.is_revoked(principal.revocation_keys) or (
            self.sessions is not None and self.sessions.has_ended(principal)
        )

    async def current(self, principal: Principal) -> Principal:
        """The same person with a token that is valid now, for work that goes on after their request.

        Raises Problem 401 when the session or token has ended, 503 when the session cannot be looked up.
        """
        found: Principal | None = None if self.ended(principal) else principal
        if found is not None and self.sessions is not None:
            found = await self.sessions.current(principal)
        if found is None:
            if principal.session is not None:
                # A session that ends by its own time is not announced.
                self.streams.session_ended(principal.session)
            raise Problem(401, "unauthenticated", "The session has ended.")
        return found

    async def renewed(self, principal: Principal) -> Principal | None:
        """A session's principal with another access token, as `Renew` in transport/pipeline.py has it."""
        if self.sessions is None:
            return None
        try:
            newer = await self.sessions.current(principal, refused=principal.token)
        except Problem as problem:
            log.info("a refused access token was not renewed: %s", problem.detail)
            return None
        return None if newer is None or newer.token == principal.token else newer

    def forget(self, session: str) -> None:
        """Another gateway ended this session: drop it from this process's cache."""
        if self.sessions is not None:
            self.sessions.record_end(session)

    async def _end_session(self, session: str) -> None:
        await self.streams.end_session(session)
        # Also stored: a gateway that missed the message reads it later and ends its streams then.
        await self._revocation_store.record_session_end(session)

    def _on_session_end(self, session: str) -> None:
        self.streams.session_ended(session)

    def _on_revocation(self) -> None:
        self.streams.end_revoked(self.ended)

    async def start(self) -> None:
        """Follow revocations, and what may change while the gateway runs."""
        for entry in self.providers or ():
            entry.provider.start()
        await self.revocations.start()
        if self.token_watch is not None:
            await self.token_watch.start()

    def closings(self) -> list[Closing]:
        """What to close, in this order."""
        return [
            *([("the watch of tokens", self.token_watch.stop)] if self.token_watch else []),
            *([("the sessions", self.sessions.close)] if self.sessions else []),
            ("the revocations of tokens", self.token_revocations.close),
            *(("the identity provider", entry.provider.close) for entry in self.providers or ()),
            ("the token verifier", self.verifier.close),
            *self._fetchers,
        ]


def _issuers(settings: Settings) -> list[IssuerSettings]:
    """The trusted issuers; the one of the sign-in has its inner address, too."""
    inner = {oidc.issuer: oidc.internal_url for oidc in settings.sign_ins.values()}
    return [
        issuer.model_copy(update={"internal_url": issuer.internal_url or inner.get(issuer.issuer)})
        for issuer in settings.issuers
    ]
