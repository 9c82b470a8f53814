"""What a sign-in tells about the person: claims of the ID token and of UserInfo, and their roles.

Guarantees that UserInfo (OpenID Connect Core section 5.3) counts only where it names the same person as the ID token,
and replaces no claim of it; that roles come only from tokens which the provider signed, or from UserInfo; and that what
is missing or cannot be read gives no role. Where the provider leaves claims out because there are too many of them
(Entra: `_claim_names`, `hasgroups`), the log names them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...policies import tokens
from ...policies.tokens import Parsed, TokenRefused
from ..settings import OidcSettings
from .fetch import Fetch, FetchFailed
from .issuer import Discovery

log = logging.getLogger("bff.session")

Verify = Callable[[Parsed], Awaitable[None]]
"""Verifies issuer and signature of a parsed token. Raises TokenRefused or FetchFailed."""

# OpenID Connect Core section 5.4: a few of the claims that each scope asks for.
_CLAIMS_OF = {"profile": ("name", "preferred_username", "given_name", "nickname"), "email": ("email",)}
# Section 5.6.2: claims that are elsewhere. `_claim_sources` may hold an access token, so no page sees it.
_ELSEWHERE = ("_claim_names", "_claim_sources", "left_out")


class UserInfo:
    """The UserInfo endpoint. verify: for answers that are signed."""

    def __init__(self, settings: OidcSettings, discovery: Discovery, fetch: Fetch, verify: Verify) -> None:
        self._settings = settings
        self._discovery = discovery
        self._fetch = fetch
        self._verify = verify

    async def complete(
        self, claims: Mapping[str, Any], access_token: str, scopes: frozenset[str]
    ) -> Mapping[str, Any]:
        """The claims of the ID token, with further ones of UserInfo where the setting `userinfo` says so.

        Raises TokenRefused for an answer about another person; and where the setting is `always` for every answer that
        cannot be used, and FetchFailed where there is none. Otherwise the claims stay as they are, and the log says so.
        """
        wanted = self._settings.userinfo
        if wanted == "never" or (wanted == "when-needed" and not _has_too_few(claims, scopes)):
            return claims
        try:
            if "userinfo_endpoint" not in await self._discovery.document() and wanted == "when-needed":
                return claims
            more = await self._ask(access_token)
        except (FetchFailed, TokenRefused) as error:
            if wanted == "always":
                raise
            log.warning("a person signs in without the claims of UserInfo: %s", error)
            return claims
        if more.get("sub") != claims.get("sub"):
            # Section 5.3.2: otherwise one person's claims could be put under another person's name.
            raise TokenRefused("UserInfo is about another person")
        return {**tokens.person_claims(more), **claims}

    async def _ask(self, access_token: str) -> Mapping[str, Any]:
        url = await self._discovery.endpoint("userinfo_endpoint")
        headers = {"authorization": f"Bearer {access_token}", "accept": "application/json, application/jwt"}
        status, received, body = await self._fetch(url, headers=headers)
        if status != 200:
            raise FetchFailed(f"{url} answered {status}")
        if received.get("content-type", "").partition(";")[0].strip().lower() == "application/jwt":
            return await self._signed(body)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise FetchFailed(f"the answer of {url} is not a JSON object")
        return answer

    async def _signed(self, body: bytes) -> Mapping[str, Any]:
        """Section 5.3.2: a signed answer names its issuer and this client."""
        parsed = tokens.parse(body.decode("ascii", "replace").strip(), most=len(body))
        audience = parsed.claims.get("aud")
        if self._settings.client_id not in (audience if isinstance(audience, list) else [audience]):
            raise TokenRefused("UserInfo is for another client")
        await self._verify(parsed)
        return parsed.claims


@dataclass(frozen=True, slots=True)
class PersonRoles:
    """names: the roles; left_out: claims with roles whose values the provider left out, because they are too many."""

    names: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()

    def __or__(self, other: PersonRoles) -> PersonRoles:
        return PersonRoles(self.names | other.names, tuple(dict.fromkeys((*self.left_out, *other.left_out))))


class Roles:
    """Reads a person's roles. verify: for access tokens."""

    def __init__(self, settings: OidcSettings, verify: Verify, most: int) -> None:
        self._paths = tuple(path.replace("{client}", settings.client_id) for path in settings.roles)
        self._where = settings.roles_in
        self._issuer = settings.issuer
        self._verify = verify
        self._most = most

    async def of(self, claims: Mapping[str, Any], access_token: str) -> PersonRoles:
        """The roles in the claims of ID token and UserInfo, in the access token, or in both, as the setting says.
        Raises TokenRefused for claims of the ID token that cannot be read, FetchFailed where there are no keys."""
        found = PersonRoles()
        if self._where != "access_token":
            found |= self._read(claims)
        if self._where != "id_token":
            found |= await self._of_access_token(access_token)
        return found

    async def _of_access_token(self, token: str) -> PersonRoles:
        try:
            parsed = tokens.parse(token, most=self._most)
            await self._verify(parsed)
            return self._read(parsed.claims)
        except TokenRefused as refusal:
            log.error("%s: no roles are read from the access token of a sign-in: %s", self._issuer, refusal)
            return PersonRoles()

    def _read(self, claims: Mapping[str, Any]) -> PersonRoles:
        if left_out := tokens.left_out_of(claims, self._paths):
            log.error(
                "%s left out the claim %s of a person, because it has too many values: the person has no roles "
                "of it. At Entra, assign app roles, or emit only groups assigned to the application",
                self._issuer,
                ", ".join(left_out),
            )
        names = frozenset().union(*(tokens.roles_of(claims, path) for path in self._paths))
        return PersonRoles(names, left_out)


def shown_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    """The claims about the person that a page may see."""
    return {name: value for name, value in tokens.person_claims(claims).items() if name not in _ELSEWHERE}


def _has_too_few(claims: Mapping[str, Any], scopes: frozenset[str]) -> bool:
    return any(
        scope in scopes and not any(name in claims for name in names) for scope, names in _CLAIMS_OF.items()
    )
