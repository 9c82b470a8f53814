"""The token verifier at its edges: what the cache holds and for how long, tokens that are bound to a key, revocations,
and what the log says of a refusal."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, cast

import pytest

from bff.calls import Principal
from bff.calls.principal import RevocationKeys
from bff.edge.access import jwt as verifying
from bff.edge.access.fetch import FetchFailed
from bff.edge.access.jwt import CACHED_FOR, LOGGED, RefusalLog, TokenVerifier, challenge, invalid_token
from bff.edge.access.revocation_list import RevocationList
from bff.edge.problem import Problem
from bff.edge.settings import IssuerSettings
from bff.policies.tokens import MAX_TOKEN, Reason, TokenRefused
from bff.stores.keys import hashed
from bff.stores.revocations import RevocationChanges, RevocationStore, Revoked

from .hostile import KEY, KEY_SET, OTHER
from .issuing import ISSUER, NOW, Clocks, Served, claims, jwk, sign
from .test_introspection import TOKEN, Endpoint, answer, issuer, refusal, world

KEYS_URL = f"{ISSUER}/keys"
BOUND = {"cnf": {"jkt": "a" * 43}}


def verifier(
    clock: Clocks | None = None, fetch: Served | None = None, revocations: Any = None, **changes: Any
) -> TokenVerifier:
    clock = clock or Clocks()
    settings = IssuerSettings(**{"issuer": ISSUER, "audience": "shop", "jwks_uri": KEYS_URL, **changes})
    fetch = fetch or Served({KEYS_URL: KEY_SET})
    return TokenVerifier([settings], fetch, clock, clock, revocations=revocations)


async def refused(checks: TokenVerifier, token: str, *, bound: bool = False) -> Problem:
    with pytest.raises(Problem) as caught:
        await (checks.verify_bound(token) if bound else checks.verify(token))
    return caught.value


class Store:
    """What Redis would answer: these entries."""

    def __init__(self, *entries: Revoked) -> None:
        self.entries = entries

    async def changes(self, version: str, since: int) -> RevocationChanges:
        return RevocationChanges(1, str(len(self.entries)), (), self.entries)


async def revoking(*entries: Revoked) -> RevocationList:
    revocations = RevocationList(cast(RevocationStore, Store(*entries)), clock=Clocks())
    await revocations.poll()
    return revocations


# ---- what is told


@pytest.mark.parametrize(
    ("scheme", "algorithms"),
    [("Bearer", ""), ("DPoP", ', algs="ES256 ES384 ES512 EdDSA PS256 PS384 PS512 RS256 RS384 RS512"')],
)
def test_a_refusal_tells_its_reason_and_for_dpop_the_algorithms(scheme: str, algorithms: str) -> None:
    told = f'{scheme} realm="bff", error="invalid_token", error_description="it has expired"{algorithms}'
    assert challenge(scheme, "invalid_token", Reason.EXPIRED) == told
    problem = invalid_token(Reason.EXPIRED, scheme)
    assert (problem.status, problem.code, problem.extra) == (401, "invalid-token", {"reason": "expired"})
    assert problem.headers == {"www-authenticate": told}
    assert problem.detail == (
        "The access token cannot be accepted: it has expired. Get a new one from your identity provider."
    )
    assert invalid_token(Reason.EXPIRED).headers["www-authenticate"].startswith("Bearer ")


async def test_an_issuer_that_does_not_answer_is_told_as_503_with_a_time_to_wait() -> None:
    problem = await refused(verifier(fetch=Served()), sign(KEY, claims()))
    assert (problem.status, problem.code, problem.retry_after) == (503, "unavailable", 1.0)
    assert problem.detail == (
        "The token cannot be verified at the moment, because its issuer does not answer. Try again shortly."
    )


async def test_a_token_that_is_bound_or_not_is_refused_with_the_scheme_that_it_needs() -> None:
    checks = verifier()
    problem = await refused(checks, sign(KEY, claims(**BOUND)))
    assert problem.extra == {"reason": "bound"}
    assert problem.headers["www-authenticate"].startswith("DPoP ")
    problem = await refused(checks, sign(KEY, claims()), bound=True)
    assert problem.extra == {"reason": "not-bound"}
    assert problem.headers["www-authenticate"].startswith("DPoP ")
    for bound, scheme in ((False, "Bearer "), (True, "DPoP ")):
        problem = await refused(checks, sign(KEY, claims(aud="bank")), bound=bound)
        assert problem.headers["www-authenticate"].startswith(scheme)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "bff.tokens"]


@pytest.mark.parametrize(
    ("token", "line"),
    [
        ("x" * (MAX_TOKEN + 1), "too-long (seen: 8193; expected: 8192)"),
        ("x" * MAX_TOKEN, "opaque (seen: nothing; expected: nothing)"),
        ("a b", "characters (seen: nothing; expected: nothing)"),
        ("a.b", "not-a-jwt (seen: nothing; expected: nothing)"),
        ("1//0abc", "google (seen: nothing; expected: nothing)"),
        (
            sign(KEY, claims(iss="https://evil.test")),
            f"issuer (seen: https://evil.test; expected: ['{ISSUER}'])",
        ),
        (
            sign(KEY, claims(iss="accounts.google.com")),
            f"google (seen: accounts.google.com; expected: ['{ISSUER}'])",
        ),
        (sign(KEY, claims(aud="bank\n" + "x" * 99)), "audience (seen: ['bank\\n"),
        (sign(KEY, claims(**BOUND)), "bound (seen: nothing; expected: nothing)"),
    ],
    ids=lambda one: str(one)[-40:],
)
async def test_the_log_says_what_a_refused_token_has_and_should_have(
    token: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "bff.tokens"):
        await refused(verifier(), token)
    [logged] = lines(caplog)
    assert logged.startswith(f"a token was refused: {line}")
    assert token not in logged
    parts = re.fullmatch(r".* \(seen: (.*); expected: (.*)\)", logged)
    assert parts is not None and all(len(one) <= 64 for one in parts.groups())


def test_a_refusal_without_a_place_in_the_list_is_logged_and_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "bff.tokens"):
        problem = verifier().refusal(TokenRefused("for another cause", seen=False))
    assert lines(caplog) == ["a token was refused: unknown (seen: False; expected: nothing)"]
    assert problem.extra == {"reason": "not-a-jwt"}
    assert problem.headers["www-authenticate"].startswith("Bearer ")


def test_a_hundred_refusals_are_logged_in_a_minute_and_the_next_line_counts_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clocks()
    log, one = RefusalLog(clock), TokenRefused(Reason.EXPIRED)
    with caplog.at_level(logging.INFO, "bff.tokens"):
        for _ in range(LOGGED + 3):
            log.refused(one)
        clock.now += 59.9
        log.refused(one)
        assert len(lines(caplog)) == LOGGED
        clock.now += 0.1
        log.refused(one)
        assert lines(caplog)[LOGGED:] == [
            "4 more tokens were refused",
            "a token was refused: expired (seen: nothing; expected: nothing)",
        ]
        clock.now += 60
        for _ in range(LOGGED):
            log.refused(one)
        clock.now += 60
        log.refused(one)
    assert len(lines(caplog)) == LOGGED + 2 + LOGGED + 1, "nothing was left out in these minutes"


def test_at_the_start_of_a_machine_refusals_are_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "bff.tokens"):
        for _ in range(LOGGED):
            RefusalLog(Clocks(3.0)).refused(TokenRefused(Reason.EXPIRED))
    assert len(lines(caplog)) == LOGGED


def left_out(issuer: str = ISSUER, *names: str) -> Principal:
    return Principal(issuer, "ada", "t", NOW + 60, left_out=names)


def test_roles_that_a_provider_left_out_are_logged_once_a_minute_for_each_issuer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clocks()
    log = RefusalLog(clock)
    told = (
        "{} left the claim {} out of an access token, because it has too many values: the token has no roles of "
        "it. At Entra, assign app roles, or emit only groups assigned to the application"
    )
    with caplog.at_level(logging.INFO, "bff.tokens"):
        log.incomplete(left_out())
        assert lines(caplog) == []
        for _ in range(3):
            log.incomplete(left_out(ISSUER, "groups", "roles"))
            log.incomplete(left_out("https://other.test", "groups"))
        first = [told.format(ISSUER, "groups, roles"), told.format("https://other.test", "groups")]
        assert lines(caplog) == first
        clock.now += 59.5
        log.incomplete(left_out(ISSUER, "groups"))
        assert lines(caplog) == first
        clock.now += 0.5
        log.incomplete(left_out(ISSUER, "groups"))
        assert lines(caplog) == [*first, told.format(ISSUER, "groups")]


# ---- the principal


async def test_a_principal_has_when_and_how_the_person_signed_in_and_what_it_can_be_revoked_by() -> None:
    token = sign(KEY, claims(auth_time=int(NOW) - 60, acr="mfa", roles=["staff"]))
    principal = await verifier(roles="roles").verify(token)
    assert (principal.authenticated_at, principal.acr) == (NOW - 60, "mfa")
    assert principal.roles == {"staff"}
    assert principal.revocation_keys == RevocationKeys(hashed(ISSUER, "1"), hashed(ISSUER, "ada"), NOW)


async def test_a_client_is_shown_under_one_name_and_only_where_the_token_has_one() -> None:
    assert verifying._shown({"sub": "ada", "azp": "spa"}) == {"sub": "ada", "client_id": "spa"}
    assert verifying._shown({"sub": "ada", "name": "Ada", "iss": ISSUER}) == {"sub": "ada", "name": "Ada"}


async def test_the_answer_about_an_opaque_token_gives_the_principal_its_roles_and_revocation_keys() -> None:
    checks, endpoint, _ = world()
    endpoint.says(answer(roles=["staff"]))
    principal = await checks.verify(TOKEN)
    assert principal.roles == {"staff"} and principal.left_out == ()
    assert principal.revocation_keys == RevocationKeys(hashed(ISSUER, "t1"), hashed(ISSUER, "ada"), NOW - 5)


# ---- the cache


async def test_a_verified_token_is_verified_again_after_a_minute() -> None:
    clock = Clocks()
    checks = verifier(clock)
    token = sign(KEY, claims(exp=int(NOW) + 3600))
    first = await checks.verify(token)
    clock.now += CACHED_FOR - 0.1
    assert checks.cached(token) is first
    clock.now += 0.1
    assert checks.cached(token) is None
    assert await checks.verify(token) is not first


async def test_a_token_is_found_in_the_cache_until_its_expiry_and_the_leeway() -> None:
    clock = Clocks()
    checks = verifier(clock)
    token, bound = sign(KEY, claims(exp=int(NOW) + 20)), sign(KEY, claims(exp=int(NOW) + 20, **BOUND))
    first, (second, _) = await checks.verify(token), await checks.verify_bound(bound)
    clock.now += 29.9
    assert checks.cached(token) is first
    assert (await checks.verify_bound(bound))[0] is second
    clock.now += 0.1
    assert checks.cached(token) is None
    assert (await refused(checks, bound, bound=True)).extra == {"reason": "expired"}
    assert not checks._cache and not checks._bound, "nothing is stored for nothing"


async def test_a_bound_token_is_cached_with_its_key_and_never_as_a_bearer_token() -> None:
    clock = Clocks()
    checks = verifier(clock)
    token = sign(KEY, claims(exp=int(NOW) + 3600, **BOUND))
    principal, key = await checks.verify_bound(token)
    assert key == "a" * 43
    again, same = await checks.verify_bound(token)
    assert again is principal and same == key
    assert checks.cached(token) is None
    assert (await refused(checks, token)).extra == {"reason": "bound"}
    clock.now += CACHED_FOR
    third, same = await checks.verify_bound(token)
    assert third is not principal and same == key


async def test_the_least_recently_used_token_leaves_each_cache_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "MAX_CACHED", 2)
    checks = verifier()
    bearer = [sign(KEY, claims(jti=str(number))) for number in range(3)]
    bound = [sign(KEY, claims(jti=str(number), **BOUND)) for number in range(3)]
    for number in (0, 1, 0, 2):
        await checks.verify(bearer[number])
        await checks.verify_bound(bound[number])
    assert [checks.cached(one) is not None for one in bearer] == [True, False, True]
    assert len(checks._bound) == 2
    used = [next(iter(checks._bound.values()))[0].principal.token, *bound]
    assert used[0] == bound[0], "it was used before the last one came"


async def test_a_revoked_token_is_refused_though_it_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    revocations = RevocationList(cast(RevocationStore, store), clock=Clocks())
    checks = verifier(revocations=revocations)
    token, bound = sign(KEY, claims()), sign(KEY, claims(**BOUND))
    assert await checks.verify(token) is checks.cached(token)
    await checks.verify_bound(bound)
    store.entries = (Revoked(hashed(ISSUER, "1"), None, NOW + 600),)
    await revocations.poll()
    assert checks.cached(token) is None
    assert (await refused(checks, token)).extra == {"reason": "revoked"}
    assert (await refused(checks, bound, bound=True)).extra == {"reason": "revoked"}
    assert checks.cached(token) is None


async def test_a_person_whose_tokens_are_revoked_gets_in_with_no_opaque_token_either() -> None:
    endpoint, clock = Endpoint(), Clocks()
    for at, issued, fine in ((NOW, NOW - 5, False), (NOW - 10, NOW - 5, True), (NOW - 10, ..., False)):
        revocations = await revoking(Revoked(hashed(ISSUER, "ada"), at, NOW + 600))
        checks = TokenVerifier([issuer()], endpoint, clock, clock, revocations=revocations)
        endpoint.says(answer(iat=issued))
        if fine:
            assert (await checks.verify(TOKEN)).subject == "ada"
        else:
            assert await refusal(checks) == (401, "revoked")


# ---- issuers that are asked


async def test_whether_the_token_of_a_principal_is_one_that_its_issuer_was_asked_about() -> None:
    checks, _, _ = world()
    assert checks.introspects and not verifier().introspects
    opaque, token = await checks.verify(TOKEN), await checks.verify(sign(KEY, claims()))
    assert checks.is_introspected(opaque) and not checks.is_introspected(token)
    assert not verifier().is_introspected(opaque)
    session = Principal(ISSUER, "ada", TOKEN, NOW + 60, session="h")
    assert not checks.is_introspected(session), "its access token is the provider's affair"
    every, _, _ = world(jwts=True)
    assert every.is_introspected(token)


async def test_a_token_is_active_until_its_issuer_says_that_it_is_not() -> None:
    checks, endpoint, _ = world(believed=0)
    principal = await checks.verify(TOKEN)
    assert await checks.is_active(principal) is True
    assert [one["token"] for one in endpoint.asked] == [TOKEN, TOKEN]
    endpoint.reply = FetchFailed("away")
    assert await checks.is_active(principal) is True
    assert len(endpoint.asked) == 3


async def test_a_token_is_not_asked_about_again_while_an_answer_is_believed() -> None:
    checks, endpoint, clock = world()
    principal = await checks.verify(TOKEN)
    clock.now += 31
    assert await checks.is_active(principal) is True
    assert await checks.is_active(principal) is True
    await checks.verify(TOKEN)
    assert len(endpoint.asked) == 2


async def test_a_token_that_became_inactive_is_not_active() -> None:
    checks, endpoint, _ = world(believed=0)
    principal = await checks.verify(TOKEN)
    endpoint.says({"active": False})
    assert await checks.is_active(principal) is False


async def test_of_a_token_that_was_known_a_read_is_served_while_its_issuer_is_away() -> None:
    checks, endpoint, clock = world()
    endpoint.says(answer(token_type="DPoP", **BOUND))
    await checks.verify_bound(TOKEN)
    endpoint.reply = FetchFailed("away")
    clock.now += 30
    with pytest.raises(Problem) as caught:
        await checks.verify_bound(TOKEN)
    assert caught.value.status == 503
    assert (await checks.verify_bound(TOKEN, reads=True))[1] == "a" * 43


async def test_a_request_that_does_not_say_that_it_only_reads_is_503_while_the_issuer_is_away() -> None:
    checks, endpoint, clock = world()
    await checks.verify(TOKEN)
    endpoint.reply = FetchFailed("away")
    clock.now += 30
    with pytest.raises(Problem) as caught:
        await checks.verify(TOKEN)
    assert caught.value.status == 503
    assert (await checks.verify(TOKEN, reads=True)).subject == "ada"


async def test_questions_about_bound_tokens_count_for_the_address_as_well() -> None:
    checks, endpoint, _ = world()
    endpoint.says(answer(token_type="DPoP", **BOUND))
    endpoint.gate.clear()
    many = [
        asyncio.create_task(checks.verify_bound(f"t{number}", address="192.0.2.1")) for number in range(9)
    ]
    while len(endpoint.asked) < 8:
        await asyncio.sleep(0)
    await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
    assert [one.exception() is not None for one in many if one.done()] == [True]
    endpoint.gate.set()
    await asyncio.gather(*many, return_exceptions=True)
    assert len(endpoint.asked) == 8


async def test_of_the_gateway_itself_any_number_of_bound_tokens_may_be_asked_about() -> None:
    checks, endpoint, _ = world()
    endpoint.says(answer(token_type="DPoP", **BOUND))
    endpoint.gate.clear()
    many = [asyncio.create_task(checks.verify_bound(f"t{number}")) for number in range(9)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(endpoint.asked) == 9
    endpoint.gate.set()
    await asyncio.gather(*many)


async def test_a_jwt_that_cannot_be_read_is_sent_to_no_issuer() -> None:
    checks, endpoint, _ = world()
    head, _, signature = sign(KEY, claims()).split(".")
    assert await refusal(checks, f"{head}.bm8.{signature}") == (401, "not-json")
    assert endpoint.asked == []


async def test_a_jwt_about_which_its_issuer_is_asked_keeps_what_the_request_said() -> None:
    checks, endpoint, clock = world(jwts=True)
    token = sign(KEY, claims())
    await checks.verify(token, address="192.0.2.1")
    endpoint.reply = FetchFailed("away")
    clock.now += 30
    assert await refusal(checks, token) == (503, "unavailable")
    assert (await checks.verify(token, reads=True)).subject == "ada"
    endpoint.gate.clear()
    endpoint.says(answer())
    clock.now += 2
    tokens = [sign(KEY, claims(jti=str(number))) for number in range(9)]
    many = [asyncio.create_task(checks.verify(one, address="192.0.2.1")) for one in tokens]
    await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
    assert sum(one.done() for one in many) == 1
    endpoint.gate.set()
    await asyncio.gather(*many, return_exceptions=True)


# ---- its state and its end


async def test_the_state_of_the_keys_is_told_by_issuer() -> None:
    checks = verifier()
    await checks.verify(sign(KEY, claims()))
    [(name, status)] = checks.key_status().items()
    assert name == ISSUER
    assert status["state"] == "up" and status["age"] == 0


class Stuck:
    """A fetch that never answers. ended: the addresses whose requests were cancelled."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended: list[str] = []

    async def __call__(self, url: str, **request: Any) -> Any:
        self.asked.append(url)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(url)


async def test_its_end_cancels_the_fetches_of_keys_and_the_questions() -> None:
    fetch, clock = Stuck(), Clocks()
    checks = TokenVerifier([issuer()], fetch, clock, clock)
    asking = [asyncio.create_task(checks.verify(one)) for one in (TOKEN, sign(KEY, claims()))]
    while len(fetch.asked) < 2:
        await asyncio.sleep(0)
    await checks.close()
    assert sorted(fetch.ended) == sorted(fetch.asked) and len(fetch.ended) == 2
    await asyncio.gather(*asking, return_exceptions=True)


async def test_the_use_of_a_cached_token_fetches_keys_that_are_old() -> None:
    clock, fetch = Clocks(), Served({KEYS_URL: KEY_SET})
    checks = verifier(clock, fetch)
    token = sign(KEY, claims(exp=int(NOW) + 3600))
    await checks.verify(token)
    clock.now += 270
    await checks.verify(token)
    clock.now += 31
    assert fetch.asked == [KEYS_URL]
    assert checks.cached(token) is not None
    async with asyncio.timeout(10):
        while len(fetch.asked) < 2:
            await asyncio.sleep(0)
    await checks.close()


async def test_keys_that_changed_make_every_cached_token_be_verified_again() -> None:
    clock, fetch = Clocks(), Served({KEYS_URL: KEY_SET})
    checks = verifier(clock, fetch)
    bound = sign(KEY, claims(exp=int(NOW) + 3600, **BOUND))
    await checks.verify_bound(bound)
    fetch.documents[KEYS_URL] = {"keys": [jwk(OTHER, "k9")]}
    clock.now += 301
    await checks.verify_bound(bound)
    await checks.issuers[ISSUER].keys.find("k9", "ES256")
    assert (await refused(checks, bound, bound=True)).extra == {"reason": "unknown-key"}


async def test_the_roles_that_an_answer_about_an_opaque_token_left_out_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checks, endpoint, _ = world()
    endpoint.says(answer(_claim_names={"roles": "src1"}))
    with caplog.at_level(logging.INFO, "bff.tokens"):
        principal = await checks.verify(TOKEN)
    assert principal.left_out == ("roles",) and not principal.roles
    assert any("left the claim roles out" in line for line in lines(caplog))
