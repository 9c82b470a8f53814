"""What the answer of an introspection endpoint (RFC 7662 section 2.2) says about a token. Pure.

Such an answer is made for this gateway, so its signature is that of TLS, or of RFC 9701. All else is checked as for a
JWT: an active token may be a refresh token, for another API, or of a client that is not accepted here. What is missing
grants nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import tokens
from .token_profiles import Grant, Profile, TokenRules, client_of
from .tokens import Reason, TokenRefused

NO_EXPIRY = 300.0
"""Seconds for which a token is accepted whose issuer does not say when it expires; then it is asked again."""

_ACCESS_TYPES = frozenset({"bearer", "dpop"})
_ACCESS_KINDS = frozenset({"access", "access_token", "at+jwt", "bearer", "dpop"})


class AnswerUnusable(Exception):
    """The answer is none of an introspection endpoint, so nothing is known of the token. The message says why."""


@dataclass(frozen=True, slots=True)
class Introspected:
    """expires_at: Unix seconds."""

    claims: Mapping[str, Any]
    grant: Grant
    expires_at: float


def _is_access_token(claims: Mapping[str, Any]) -> bool:
    # Section 2.2: `token_type` is that of an access token (RFC 6749 section 7.1). Keycloak has `Refresh` there for a
    # refresh token, Ory Hydra tells them apart by `token_use`; others send nothing for a refresh token.
    kinds = [claims[name] for name in ("token_use", "typ") if name in claims]
    return _is_one(claims.get("token_type"), _ACCESS_TYPES) and all(
        _is_one(kind, _ACCESS_KINDS) for kind in kinds
    )


def _is_one(value: object, allowed: frozenset[str]) -> bool:
    return isinstance(value, str) and value.lower() in allowed


ANSWER = Profile(
    frozenset(), _is_access_token, "token_type Bearer or DPoP, of an access token", foreign=frozenset()
)
"""The profile of answers; where scopes and roles are, the settings may say."""


def read_answer(answer: Mapping[str, Any], rules: TokenRules, *, issuer: str, now: float) -> Introspected:
    """The claims of an active token that is meant for this gateway. now: Unix seconds.

    Raises TokenRefused for a token that is not active or not accepted here, and AnswerUnusable.
    """
    active = answer.get("active")
    if active is False:
        raise TokenRefused(Reason.INACTIVE)
    if active is not True:
        raise AnswerUnusable("its `active` is neither true nor false")
    if answer.get("iss", issuer) != issuer:
        raise TokenRefused(Reason.ISSUER, seen=answer["iss"], expected=issuer)
    if not rules.profile.mark(answer):
        raise TokenRefused(Reason.NO_MARK, seen=answer.get("token_type"), expected=rules.profile.marked_by)
    _check_audience(answer, rules)
    expires_at = _check_times(answer, now, rules.leeway)
    tokens.check_subject(answer)
    return Introspected(answer, rules.grant(answer), expires_at)


def _check_audience(answer: Mapping[str, Any], rules: TokenRules) -> None:
    if answer.get("aud") not in (None, []):
        tokens.check_audience(answer, rules.audiences)
    elif client_of(answer) not in rules.clients:
        # Not every issuer sends `aud`. Then the settings must name the clients.
        raise TokenRefused(Reason.AUDIENCE, seen=client_of(answer), expected=sorted(rules.clients))


def _check_times(answer: Mapping[str, Any], now: float, leeway: float) -> float:
    """Checks those that are there; returns the expiry."""
    times = {"exp": now + NO_EXPIRY, "iat": now} | {
        name: answer[name] for name in ("exp", "iat", "nbf") if name in answer
    }
    tokens.check_times(times, now=now, leeway=leeway)
    return float(times["exp"])


def answer_rules(rules: TokenRules, *, scope_claims: tuple[str, ...] | None) -> TokenRules:
    """The rules for answers about the tokens of an issuer with these rules. scope_claims: as set; None: `scope`."""
    return replace(
        rules,
        profile=replace(ANSWER, person=rules.profile.person),
        scope_claims=scope_claims or ANSWER.scope_claims,
        scope_lists=scope_claims is not None,
    )
