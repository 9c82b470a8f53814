"""Which credential of a request counts, and how invalid ones are limited by address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bff.calls import DeclarationError, Principal
from bff.edge.access.authenticate import STREAM, Authenticator, FailureLimit, expired, set_cookie, two_cookies
from bff.edge.access.dpop import ProofVerifier
from bff.edge.access.jwt import TokenVerifier
from bff.edge.access.session import Sessions
from bff.edge.access.session_cookies import Site, session_cookies
from bff.edge.problem import QUOTA_TYPE, Problem
from bff.edge.settings import DpopSettings, IssuerSettings, SessionSettings
from bff.edge.state import state_of
from bff.stores.proofs import ProofStore

from .issuing import ISSUER, NOW, Clocks, Served, claims, ec_key, jwk, sign
from .proving import Prover
from .session_table import SessionTable, clock, in_virtual_time, monotonic, record

KEY = ec_key()
PROVER = Prover()
ADDRESS = "192.0.2.7"
PRINCIPAL = Principal(ISSUER, "ada", "token", NOW)


class Asked(TokenVerifier):
    """Lists what each verification is told: the method, whether the request reads, and the address."""

    def __init__(self) -> None:
        trusted = IssuerSettings(issuer=ISSUER, audience="shop", jwks_uri=f"{ISSUER}/keys")
        fetch = Served({f"{ISSUER}/keys": {"keys": [jwk(KEY, "k1")]}})
        super().__init__([trusted], fetch, lambda: NOW, lambda: NOW)
        self.told: list[tuple[str, bool, str]] = []

    async def verify(self, token: str, *, reads: bool = False, address: str = "") -> Principal:
        self.told.append(("bearer", reads, address))
        return await super().verify(token, reads=reads, address=address)

    async def verify_bound(
        self, token: str, *, reads: bool = False, address: str = ""
    ) -> tuple[Principal, str]:
        self.told.append(("dpop", reads, address))
        return await super().verify_bound(token, reads=reads, address=address)


class Once(ProofStore):
    """Each proof is good once."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    async def use(self, key: str, proof_id: str, *, keep: float) -> bool:
        fresh = proof_id not in self.used
        self.used.add(proof_id)
        return fresh


def proofs(*, nonce: bool = False) -> ProofVerifier:
    return ProofVerifier(Once(), Site("https://shop.test"), DpopSettings(nonce=nonce), lambda: NOW)


def request(
    *headers: tuple[str, str],
    method: str = "GET",
    path: str = "/api/me",
    client: Any = (ADDRESS, 1),
    **more: Any,
) -> dict[str, Any]:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http", "method": method, "path": path, "headers": sent, "client": client, **more}


def bearer(token: str, scheme: str = "Bearer") -> tuple[str, str]:
    return "authorization", f"{scheme} {token}"


def token(**changes: Any) -> str:
    return sign(KEY, claims(**changes))


def bound() -> str:
    return token(cnf={"jkt": PROVER.thumbprint})


def cookie(*values: str, name: str = "__Host-bff") -> tuple[str, str]:
    return "cookie", "; ".join(f"{name}={value}" for value in values)


async def refusal(verification: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        await verification
    return caught.value


def sessions(table: SessionTable) -> Sessions:
    return Sessions(table, SessionSettings(), clock=clock, monotonic=monotonic)


# ---- cookies of ours


def test_a_cookie_is_for_this_host_and_for_no_script_and_its_removal_is_at_once() -> None:
    assert set_cookie("n", "v", "Lax") == "n=v; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert (
        set_cookie("n", "v", "Lax", max_age=60) == "n=v; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"
    )
    assert expired("n", "Strict") == "n=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"


def test_two_session_cookies_are_answered_with_the_removal_of_ours() -> None:
    problem = two_cookies("__Host-bff")
    assert (problem.status, problem.code) == (401, "unauthenticated")
    assert problem.headers == {"set-cookie": expired("__Host-bff", "Strict")}
    assert problem.detail == (
        "Two cookies named __Host-bff arrived, and which of them is yours cannot be known. Yours has been removed: "
        "sign in again at /bff/login."
    )


# ---- which credential counts


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_a_bearer_token_is_accepted_whatever_the_case_of_its_scheme(scheme: str) -> None:
    principal = await Authenticator(Asked(), None)(request(bearer(token(), scheme)))
    assert principal is not None and principal.subject == "ada"


async def test_a_request_is_authenticated_once() -> None:
    verifier = Asked()
    authenticator, scope = Authenticator(verifier, None), request(bearer(token()))
    first = await authenticator(scope)
    assert await authenticator(scope) is first and state_of(scope).principal is first
    assert len(verifier.told) == 1


async def test_a_token_that_was_verified_before_is_not_verified_again() -> None:
    verifier, sent = Asked(), token()
    authenticator = Authenticator(verifier, None)
    first = await authenticator(request(bearer(sent)))
    assert first is not None and await authenticator(request(bearer(sent))) is first
    assert len(verifier.told) == 1


@pytest.mark.parametrize(
    ("method", "path", "root", "reads"),
    [
        ("GET", "/api/me", "", True),
        ("HEAD", "/api/me", "", True),
        ("OPTIONS", "/api/me", "", True),
        ("POST", "/api/me", "", False),
        ("GET", STREAM, "", False),
        ("GET", f"/desk{STREAM}", "/desk", False),
        ("GET", f"/desk{STREAM}", "", True),
    ],
)
async def test_the_verification_knows_whether_the_request_reads_and_from_where_it_came(
    method: str, path: str, root: str, reads: bool
) -> None:
    verifier = Asked()
    authenticator = Authenticator(verifier, None, proofs=proofs())
    more = {"root_path": root} if root else {}
    await authenticator(request(bearer(token()), method=method, path=path, **more))
    sent = bound()
    proof = PROVER.proof(sent, method, f"https://shop.test{path}", NOW)
    await authenticator(
        request(
            bearer(sent, "DPoP"), ("dpop", proof), method=method, path=path, client=("2001:db8::7", 1), **more
        )
    )
    assert verifier.told == [("bearer", reads, ADDRESS), ("dpop", reads, "2001:db8::/64")]


async def test_a_request_without_an_address_is_verified_as_well() -> None:
    verifier = Asked()
    assert await Authenticator(verifier, None)(request(bearer(token()), client=None))
    assert verifier.told == [("bearer", True, "")]


async def test_a_bound_token_is_accepted_with_a_proof_that_was_not_used_before() -> None:
    authenticator, sent = Authenticator(Asked(), None, proofs=proofs()), bound()
    proof = PROVER.proof(sent, "GET", "https://shop.test/api/me", NOW)
    headers = bearer(sent, "DPoP"), ("dpop", proof)
    principal = await authenticator(request(*headers))
    assert principal is not None and principal.subject == "ada"
    assert (await refusal(authenticator(request(*headers)))).code == "invalid-proof"
    assert (await refusal(authenticator(request(headers[0])))).code == "invalid-proof"
    assert (await refusal(authenticator(request(bearer(sent))))).code == "invalid-token"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([bearer("x", "Basic")], "scheme"),
        ([bearer("x", "")], "scheme"),
        ([("authorization", "")], "scheme"),
        ([("authorization", "Bearer")], "not-a-jwt"),
        ([bearer("x", "DPoP")], "scheme"),
        ([bearer("x"), bearer("y")], "two-headers"),
    ],
    ids=str,
)
async def test_other_credentials_are_refused_with_the_reason(
    headers: list[tuple[str, str]], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    problem = await refusal(Authenticator(Asked(), None)(request(*headers)))
    assert (problem.status, problem.code) == (401, "invalid-token")
    assert problem.extra["reason"] in (reason, "characters")
    assert f"a token was refused: {problem.extra['reason']}" in caplog.text


@pytest.mark.parametrize("scheme", ["DPoP", "Basic"])
async def test_a_token_that_was_verified_before_is_no_other_credential(scheme: str) -> None:
    authenticator, sent = Authenticator(Asked(), None, proofs=proofs()), token()
    assert await authenticator(request(bearer(sent)))
    assert (await refusal(authenticator(request(bearer(sent, scheme))))).code == "invalid-token"


@pytest.mark.parametrize("letter", ["\t", "\x85", "\xa0", "X"])
async def test_a_token_is_read_without_blanks_around_it_and_nothing_else_is_cut(letter: str) -> None:
    sent = token()
    assert await Authenticator(Asked(), None)(request(bearer(f" {sent}  ")))
    for changed in (f"{letter}{sent}", f"{sent}{letter}"):
        assert (await refusal(Authenticator(Asked(), None)(request(bearer(changed))))).status == 401


async def test_two_headers_are_refused_although_both_hold_the_same_good_token() -> None:
    authenticator, sent = Authenticator(Asked(), None), token()
    assert await authenticator(request(bearer(sent)))
    problem = await refusal(authenticator(request(bearer(sent), bearer(sent))))
    assert problem.extra["reason"] == "two-headers"


@in_virtual_time
async def test_a_token_is_preferred_to_a_cookie_also_when_it_is_invalid() -> None:
    table = SessionTable()
    key = table.begin(record())
    authenticator = Authenticator(Asked(), sessions(table))
    principal = await authenticator(request(bearer(token(sub="grace")), cookie(key.value)))
    assert principal is not None and principal.subject == "grace"
    assert (await refusal(authenticator(request(bearer("x"), cookie(key.value))))).status == 401
    assert table.asked == []


@in_virtual_time
async def test_the_session_cookie_stands_for_its_person() -> None:
    table = SessionTable()
    key = table.begin(record())
    principal = await Authenticator(Asked(), sessions(table))(request(cookie(key.value)))
    assert principal is not None and (principal.subject, principal.session) == ("ada", key.id)


@in_virtual_time
async def test_cookies_are_ignored_where_browsers_do_not_sign_in() -> None:
    key = SessionTable().begin(record())
    assert await Authenticator(Asked(), None)(request(cookie(key.value, "other"))) is None


@pytest.mark.parametrize(
    ("method", "good"), [("GET", True), ("HEAD", True), ("OPTIONS", True), ("POST", False), ("get", False)]
)
@in_virtual_time
async def test_a_session_that_was_read_a_minute_ago_serves_reads_alone_without_redis(
    method: str, good: bool
) -> None:
    table = SessionTable()
    key = table.begin(record())
    authenticator = Authenticator(Asked(), sessions(table))
    await authenticator(request(cookie(key.value)))
    table.failing = {"all"}
    await asyncio.sleep(61)
    asking = authenticator(request(cookie(key.value), method=method))
    if good:
        assert await asking is not None
    else:
        assert (await refusal(asking)).status == 503


@in_virtual_time
async def test_two_session_cookies_are_refused_except_where_anybody_is_served() -> None:
    table = SessionTable()
    one, other = table.begin(record()), table.begin(record())
    authenticator = Authenticator(Asked(), sessions(table))
    problem = await refusal(authenticator(request(cookie(one.value, other.value))))
    assert (problem.status, problem.code) == (401, "unauthenticated")
    assert problem.headers["set-cookie"].startswith("__Host-bff=;")
    assert await authenticator(request(cookie(one.value, other.value)), optional=True) is None
    assert table.asked == []


@in_virtual_time
async def test_each_provider_has_its_cookie_and_two_of_them_are_two_cookies() -> None:
    table = SessionTable()
    plain, staff = table.begin(record()), table.begin(record(provider="staff"))
    cookies = session_cookies("https://shop.test", {"": (), "staff": ()})
    authenticator = Authenticator(Asked(), sessions(table), cookies=cookies)
    sent = cookie(staff.value, name="__Host-bff~staff")
    principal = await authenticator(request(sent))
    assert principal is not None and principal.session == staff.id
    assert await authenticator(request(cookie(plain.value, name="__Host-bff~staff"))) is None
    problem = await refusal(authenticator(request(cookie(plain.value), sent)))
    assert problem.headers["set-cookie"].startswith("__Host-bff~staff=;")
    three = request(cookie(plain.value, plain.value), sent)
    assert (await refusal(authenticator(three))).headers == problem.headers, "the last one is removed"


@in_virtual_time
async def test_a_request_without_credentials_is_nobodys_and_not_counted() -> None:
    authenticator = Authenticator(Asked(), sessions(SessionTable()), FailureLimit("1/hour"))
    for _ in range(5):
        assert await authenticator(request()) is None
    problem = await refusal(authenticator(request(bearer("x"))))
    assert problem.status == 401


@in_virtual_time
async def test_invalid_cookies_are_limited_except_where_anybody_is_served() -> None:
    authenticator = Authenticator(Asked(), sessions(SessionTable()), FailureLimit("1/hour"))
    assert await authenticator(request(cookie("x"))) is None
    assert (await refusal(authenticator(request(cookie("x"))))).status == 429
    assert await authenticator(request(cookie("x")), optional=True) is None


async def test_invalid_tokens_are_limited_and_a_valid_one_is_served() -> None:
    authenticator = Authenticator(Asked(), None, FailureLimit("2/hour"))
    statuses = [(await refusal(authenticator(request(bearer("x"))))).status for _ in range(3)]
    assert statuses == [401, 401, 429]
    assert await authenticator(request(bearer(token())))
    assert (await refusal(authenticator(request(bearer("x"), client=("192.0.2.8", 1))))).status == 401


async def test_nothing_is_limited_where_no_limit_is_given() -> None:
    authenticator = Authenticator(Asked(), None)
    assert {(await refusal(authenticator(request(bearer("x"))))).status for _ in range(50)} == {401}


# ---- the limit


async def valid() -> Principal:
    return PRINCIPAL


async def unknown() -> None:
    return None


def failing(status: int, code: str) -> Callable[[], Any]:
    async def fail() -> None:
        raise Problem(status, code, "why")

    return fail


async def verdict(
    limit: FailureLimit, verification: Callable[[], Any], client: Any = (ADDRESS, 1), **said: Any
) -> Any:
    """The principal, None, or the status of the refusal."""
    try:
        return await limit.verify({"client": client}, verification(), **said)
    except Problem as problem:
        return problem.status


@pytest.mark.parametrize(("invalid", "first"), [(unknown, None), (failing(401, "invalid-token"), 401)])
async def test_an_invalid_credential_is_counted_and_a_valid_one_is_not(invalid: Any, first: Any) -> None:
    limit = FailureLimit("2/minute", Clocks())
    for _ in range(9):
        assert await verdict(limit, valid) is PRINCIPAL
    assert [await verdict(limit, invalid) for _ in range(4)] == [first, first, 429, 429]
    assert await verdict(limit, valid) is PRINCIPAL
    assert await verdict(limit, invalid) == 429, "a valid one takes back no count but its own"
    assert await verdict(limit, invalid, refuse=False) == first


async def test_a_credential_that_is_refused_for_its_number_may_come_again_after_the_pause() -> None:
    now = Clocks()
    limit = FailureLimit("2/minute;3/hour", now)
    for _ in range(2):
        await verdict(limit, unknown)
    with pytest.raises(Problem) as caught:
        await limit.verify({"client": (ADDRESS, 1)}, unknown())
    problem = caught.value
    assert (problem.status, problem.code, problem.type) == (429, "rate-limited", QUOTA_TYPE)
    assert problem.retry_after == 30.0
    assert problem.detail == (
        "Too many invalid credentials came from your address. A valid one is still served; any other has to wait."
    )
    now.now += 30
    assert await verdict(limit, unknown) is None
    now.now += 60
    assert await verdict(limit, unknown) == 429, "both limits hold"


async def test_valid_credentials_at_different_times_leave_no_count() -> None:
    now = Clocks()
    limit = FailureLimit("1/minute", now)
    assert await verdict(limit, valid) is PRINCIPAL
    assert await verdict(limit, unknown) is None
    now.now += 61
    assert [await verdict(limit, unknown) for _ in range(2)] == [None, 429]


@pytest.mark.parametrize(
    ("status", "code", "counted"),
    [
        (503, "unavailable", False),
        (401, "dpop-nonce", False),
        (401, "invalid-proof", True),
        (403, "x", False),
    ],
)
async def test_a_failure_counts_where_the_credential_is_to_blame(
    status: int, code: str, counted: bool
) -> None:
    limit = FailureLimit("1/hour", Clocks())
    await verdict(limit, failing(status, code))
    assert await verdict(limit, unknown) == (429 if counted else None)


async def test_a_request_that_is_cancelled_is_not_counted() -> None:
    limit = FailureLimit("1/hour", Clocks())

    async def endless() -> None:
        await asyncio.Event().wait()

    leaving = asyncio.ensure_future(verdict(limit, endless))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled() and await verdict(limit, unknown) is None


async def test_of_many_invalid_credentials_at_once_no_more_pass_than_one_after_the_other() -> None:
    limit, go = FailureLimit("2/hour", Clocks()), asyncio.Event()

    async def slow() -> None:
        await go.wait()

    asking = [asyncio.ensure_future(verdict(limit, slow)) for _ in range(5)]
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*asking) == [None, None, 429, 429, 429]


async def test_addresses_are_counted_apart_and_a_network_of_64_bits_as_one() -> None:
    limit = FailureLimit("1/hour", Clocks())
    clients = [("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.1", 2), ("2001:db8::1", 1), ("2001:db8::2", 1)]
    assert [await verdict(limit, unknown, client) for client in clients] == [None, None, 429, None, 429]


async def test_requests_without_an_address_are_not_counted() -> None:
    limit = FailureLimit("1/hour", Clocks())
    assert [await verdict(limit, unknown, None) for _ in range(5)] == [None] * 5
    scope: dict[str, Any] = {}
    assert await limit.verify(scope, unknown()) is None


async def test_without_a_limit_any_number_may_fail() -> None:
    limit = FailureLimit(None, Clocks())
    assert {await verdict(limit, unknown) for _ in range(50)} == {None}


def test_a_limit_that_cannot_be_read_names_its_setting() -> None:
    with pytest.raises(
        DeclarationError, match=r"^settings limits\.failures: the limit 'often' cannot be read"
    ):
        FailureLimit("often")
