"""Proofs of possession on a real server: a good one works once, and every other one is refused for its own reason."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from bff.edge.access.dpop import PERIOD, WINDOW, Nonces, ProofVerifier, thumbprint
from bff.edge.access.session_cookies import Site
from bff.edge.problem import Problem
from bff.edge.settings import DpopSettings
from bff.policies.tokens import Reason, TokenRefused
from bff.stores.keys import hashed, redis_key
from bff.stores.proofs import ProofStore
from bff.stores.redis.client import RedisClient, StoreUnavailable
from tests.conftest import Valkey, closed_port
from tests.unit.edge.access.hostile import OTHER, RSA, WEAK, hs256
from tests.unit.edge.access.issuing import NOW, Clocks, b64, ec_key, jwk, seal
from tests.unit.edge.access.proving import Prover, ath, p384

TOKEN = "the-access.token-_~+/=="
SITE = "https://desk.example/shop"
URL = f"{SITE}/api/me"
ADA = Prover()
CHEAP = rsa.generate_private_key(public_exponent=3, key_size=2048)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisClient]:
    async with RedisClient(redis_url, timeout=10) as redis:
        await redis.call("FLUSHALL")
        yield redis


class Requests:
    """What `ProofVerifier` sees of requests to one gateway; without nonces unless `nonce` is set."""

    def __init__(
        self,
        redis: RedisClient,
        *,
        site: str = SITE,
        hosts: frozenset[str] = frozenset(),
        clock: Clocks | None = None,
        nonce: bool = False,
    ) -> None:
        self.clock = clock or Clocks()
        self.refused: list[TokenRefused] = []
        settings = DpopSettings(nonce=nonce)
        self._verifier = ProofVerifier(ProofStore(redis), Site(site, hosts), settings, self.clock)

    async def send(
        self,
        *proofs: str,
        method: str = "GET",
        path: bytes = b"/shop/api/me",
        key: str = ADA.thumbprint,
        host: str = "desk.example",
        raw: bool = True,
    ) -> None:
        headers = [(b"host", host.encode()), *((b"dpop", proof.encode("latin-1")) for proof in proofs)]
        scope: dict[str, Any] = {
            "method": method,
            "path": unquote(path.decode("latin-1")),
            "headers": headers,
        }
        if raw:
            scope["raw_path"] = path
        await self._verifier.verify(scope, TOKEN, key, self.refused.append)

    async def problem(self, *proofs: str, **request: Any) -> Problem:
        with pytest.raises(Problem) as caught:
            await self.send(*proofs, **request)
        return caught.value


def proof(prover: Prover = ADA, method: str = "GET", url: str = URL, **changes: Any) -> str:
    return prover.proof(TOKEN, method, url, NOW, **changes)


async def test_a_proof_works_once(redis: RedisClient) -> None:
    requests, again = Requests(redis), proof()
    await requests.send(again)
    assert (await requests.problem(again)).extra["reason"] == "proof-replayed"
    await requests.send(proof())


async def test_a_proof_that_is_sent_to_many_gateways_at_once_works_at_one_of_them(redis: RedisClient) -> None:
    gateways, once = [Requests(redis) for _ in range(8)], proof()
    results = await asyncio.gather(*(one.send(once) for one in gateways), return_exceptions=True)
    assert sum(one is None for one in results) == 1
    assert {one.extra["reason"] for one in results if isinstance(one, Problem)} == {"proof-replayed"}


async def test_a_used_proof_is_stored_for_as_long_as_it_could_be_accepted(redis: RedisClient) -> None:
    await Requests(redis).send(proof(jti="the id"))
    left = await redis.call("PTTL", redis_key(f"proof:{hashed(ADA.thumbprint, 'the id')}", "used"))
    # From ten seconds before its time until a minute after it, and the clocks of two gateways differ.
    assert 75_000 < left <= 80_000


async def test_a_proof_is_for_the_host_at_which_the_gateway_was_reached(redis: RedisClient) -> None:
    requests = Requests(redis, hosts=frozenset({"staff.example"}))
    await requests.send(proof(url="https://staff.example/shop/api/me"), host="staff.example")
    here = await requests.problem(proof(), host="staff.example")
    assert here.extra["reason"] == "proof-address"
    # A host that no setting names does not count, whatever the request says.
    for url, works in (("https://evil.example/shop/api/me", False), (URL, True)):
        if works:
            await requests.send(proof(url=url), host="evil.example")
        else:
            refused = await requests.problem(proof(url=url), host="evil.example")
            assert refused.extra["reason"] == "proof-address"


async def test_the_same_id_of_another_key_is_another_proof(redis: RedisClient) -> None:
    other = Prover()
    await Requests(redis).send(proof(jti="same"))
    await Requests(redis).send(proof(other, jti="same"), key=other.thumbprint)


@pytest.mark.parametrize(
    "prover",
    [
        Prover(RSA, "RS256"),
        Prover(RSA, "PS256"),
        Prover(p384(), "ES384"),
        Prover(ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    ],
    ids=lambda one: one.alg,
)
async def test_each_kind_of_key_proves(redis: RedisClient, prover: Prover) -> None:
    assert thumbprint(prover.jwk) == prover.thumbprint
    await Requests(redis).send(proof(prover), key=prover.thumbprint)


def test_a_thumbprint_is_that_of_the_example_of_rfc_7638() -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM"
        "QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJz"
        "KnqDKgw"
    )
    key = {"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (URL, b"/shop/api/me"),
        ("HTTPS://DESK.example:443/shop/api/me?a=b#c", b"/shop/api/me"),
        (f"{SITE}/%61pi/%7Eme", b"/shop/api/~me"),
        (f"{SITE}/caf%c3%a9", b"/shop/caf%C3%A9"),
    ],
)
async def test_the_address_is_compared_with_the_public_url_in_its_normal_form(
    redis: RedisClient, url: str, path: bytes
) -> None:
    await Requests(redis).send(proof(url=url), path=path)


async def test_an_escaped_slash_is_part_of_a_segment_and_stays_escaped(redis: RedisClient) -> None:
    requests = Requests(redis)
    await requests.send(proof(url=f"{SITE}/a%2fb"), path=b"/shop/a%2Fb")
    for other in ("a/b", "a2Fb", "a%2Eb"):
        problem = await requests.problem(proof(url=f"{SITE}/{other}"), path=b"/shop/a%2Fb")
        assert problem.extra["reason"] == "proof-address", other


async def test_an_address_without_a_path_is_the_root(redis: RedisClient) -> None:
    await Requests(redis, site="https://desk.example").send(proof(url="https://desk.example"), path=b"/")


def raw(head: bytes, claims: dict[str, Any] | None = None) -> str:
    good = {"jti": "x", "htm": "GET", "htu": URL, "iat": int(NOW), "ath": ath(TOKEN)}
    return seal(ADA.key, head, json.dumps(claims or good).encode())


_JWK = json.dumps(ADA.jwk).encode()
_GOOD = proof(jti="good")
_HEAD, _CLAIMS, _SIGNATURE = _GOOD.split(".")
_PRIVATE = {**ADA.jwk, "d": b64(b"0" * 32)}
_HMAC_HEADER = {"typ": "dpop+jwt", "jwk": {"kty": "oct", "k": b64(b"0" * 32)}}
_CLAIMS_OF_HMAC = {"jti": "h", "htm": "GET", "htu": URL, "iat": int(NOW), "ath": ath(TOKEN)}

HOSTILE: dict[str, tuple[tuple[str, ...], Reason]] = {
    "no proof": ((), Reason.PROOF_MISSING),
    "two proofs": ((_GOOD, _GOOD), Reason.PROOF_MISSING),
    "an empty proof": (("",), Reason.PROOF_MALFORMED),
    "no JWT": (("abc",), Reason.PROOF_MALFORMED),
    "two proofs in one header": ((f"{_GOOD}, {_GOOD}",), Reason.PROOF_MALFORMED),
    "a proof without a signature": ((f"{_HEAD}.{_CLAIMS}.",), Reason.PROOF_MALFORMED),
    "a proof of 9 KB": ((proof(padding="x" * 9000),), Reason.PROOF_MALFORMED),
    "not ascii": ((f"{_GOOD}é",), Reason.PROOF_MALFORMED),
    "no type": ((proof(header={"typ": ...}),), Reason.PROOF_MALFORMED),
    "the type of a token": ((proof(header={"typ": "at+jwt"}),), Reason.PROOF_MALFORMED),
    "the type JWT": ((proof(header={"typ": "JWT"}),), Reason.PROOF_MALFORMED),
    "alg none": ((raw(b'{"typ":"dpop+jwt","alg":"none","jwk":' + _JWK + b"}"),), Reason.PROOF_MALFORMED),
    "a critical extension": ((proof(header={"crit": ["exp"]}),), Reason.PROOF_MALFORMED),
    "a member twice": (
        (raw(b'{"typ":"dpop+jwt","alg":"ES256","alg":"ES256","jwk":' + _JWK + b"}"),),
        Reason.PROOF_MALFORMED,
    ),
    "HS256": ((hs256(_CLAIMS_OF_HMAC, b"0" * 32, **_HMAC_HEADER),), Reason.PROOF_MALFORMED),
    "no key": ((proof(header={"jwk": ...}),), Reason.PROOF_KEY),
    "a key that is a text": ((proof(header={"jwk": "x"}),), Reason.PROOF_KEY),
    "a key that is a list": ((proof(header={"jwk": [ADA.jwk]}),), Reason.PROOF_KEY),
    "an empty key": ((proof(header={"jwk": {}}),), Reason.PROOF_KEY),
    "a private key": ((proof(header={"jwk": _PRIVATE}),), Reason.PROOF_KEY),
    "a symmetric key": ((proof(header={"jwk": {"kty": "oct", "k": "AAAA"}}),), Reason.PROOF_KEY),
    "a key for encryption": ((proof(header={"jwk": {**ADA.jwk, "use": "enc"}}),), Reason.PROOF_KEY),
    "a key of another algorithm": ((proof(header={"jwk": {**ADA.jwk, "alg": "ES384"}}),), Reason.PROOF_KEY),
    "a key of another type": ((proof(header={"jwk": jwk(RSA, None)}),), Reason.PROOF_KEY),
    "a key off its curve": ((proof(header={"jwk": {**ADA.jwk, "x": "AA", "y": "AA"}}),), Reason.PROOF_KEY),
    "a weak key": ((proof(Prover(WEAK, "RS256")),), Reason.PROOF_KEY),
    "a key with a small exponent": ((proof(Prover(CHEAP, "RS256")),), Reason.PROOF_KEY),
    "a key by its address": ((proof(header={"jwk": ..., "jku": "https://evil.test"}),), Reason.PROOF_KEY),
    "another key's signature": ((proof(Prover(OTHER), header={"jwk": ADA.jwk}),), Reason.PROOF_SIGNATURE),
    "a signature of zeros": ((f"{_HEAD}.{_CLAIMS}.{b64(bytes(64))}",), Reason.PROOF_SIGNATURE),
    "another person's key": ((proof(Prover(OTHER)),), Reason.PROOF_BINDING),
    "another method": ((proof(method="POST"),), Reason.PROOF_METHOD),
    "a method in small letters": ((proof(method="get"),), Reason.PROOF_METHOD),
    "no method": ((proof(htm=...),), Reason.PROOF_METHOD),
    "a list of methods": ((proof(htm=["GET"]),), Reason.PROOF_METHOD),
    "another path": ((proof(url=f"{SITE}/api/you"),), Reason.PROOF_ADDRESS),
    "a path in other letters": ((proof(url=f"{SITE}/api/ME"),), Reason.PROOF_ADDRESS),
    "a slash more": ((proof(url=f"{URL}/"),), Reason.PROOF_ADDRESS),
    "a slash that is encoded": ((proof(url=f"{SITE}/api%2Fme"),), Reason.PROOF_ADDRESS),
    "a path without the prefix": ((proof(url="https://desk.example/api/me"),), Reason.PROOF_ADDRESS),
    "another host": ((proof(url="https://evil.example/shop/api/me"),), Reason.PROOF_ADDRESS),
    "another port": ((proof(url="https://desk.example:444/shop/api/me"),), Reason.PROOF_ADDRESS),
    "a port that is none": ((proof(url="https://desk.example:x/shop/api/me"),), Reason.PROOF_ADDRESS),
    "plain http": ((proof(url="http://desk.example/shop/api/me"),), Reason.PROOF_ADDRESS),
    "a user in the address": ((proof(url="https://a@desk.example/shop/api/me"),), Reason.PROOF_ADDRESS),
    "a path alone": ((proof(url="/shop/api/me"),), Reason.PROOF_ADDRESS),
    "no address": ((proof(htu=...),), Reason.PROOF_ADDRESS),
    "a list of addresses": ((proof(htu=[URL]),), Reason.PROOF_ADDRESS),
    "an address with a line end": ((proof(url=f"{URL}\n"),), Reason.PROOF_ADDRESS),
    "made too long ago": ((proof(iat=int(NOW) - 61),), Reason.PROOF_TIME),
    "made in the future": ((proof(iat=int(NOW) + 11),), Reason.PROOF_TIME),
    "no time": ((proof(iat=...),), Reason.PROOF_TIME),
    "a time in text": ((proof(iat=str(int(NOW))),), Reason.PROOF_TIME),
    "a time of true": ((proof(iat=True),), Reason.PROOF_TIME),
    "another token": ((proof(ath=ath("other")),), Reason.PROOF_TOKEN),
    "no token": ((proof(ath=...),), Reason.PROOF_TOKEN),
    "a token in a list": ((proof(ath=[ath(TOKEN)]),), Reason.PROOF_TOKEN),
    "the token itself": ((proof(ath=TOKEN),), Reason.PROOF_TOKEN),
    "a hash beyond ascii": ((proof(ath="é" * 43),), Reason.PROOF_TOKEN),
    "half a surrogate pair as the hash": ((proof(ath="\ud83d"),), Reason.PROOF_TOKEN),
    "no id": ((proof(jti=...),), Reason.PROOF_ID),
    "an empty id": ((proof(jti=""),), Reason.PROOF_ID),
    "an id that is a number": ((proof(jti=1),), Reason.PROOF_ID),
    "an id of 257 letters": ((proof(jti="x" * 257),), Reason.PROOF_ID),
    "an id with a line end": ((proof(jti="a\nb"),), Reason.PROOF_ID),
    "an id with half a surrogate pair": ((proof(jti="\ud83d"),), Reason.PROOF_ID),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_proof_is_refused_for_its_own_reason(redis: RedisClient, name: str) -> None:
    proofs, reason = HOSTILE[name]
    requests = Requests(redis)
    problem = await requests.problem(*proofs)
    assert (problem.status, problem.code, problem.extra["reason"]) == (401, "invalid-proof", reason.code)
    challenge = problem.headers["www-authenticate"]
    assert challenge.startswith(
        f'DPoP realm="bff", error="invalid_dpop_proof", error_description="{reason.text}", algs="'
    )
    assert "HS" not in challenge and "none" not in challenge
    assert [one.reason for one in requests.refused] == [reason]
    assert (
        TOKEN not in f"{requests.refused[0].seen}{requests.refused[0].expected}" or name == "the token itself"
    )
    await requests.send(proof())


@pytest.mark.parametrize("htu", [..., None, "", "not an address", "https://", f"{URL}\n"])
@pytest.mark.parametrize("path", [b"/shop/" + b"a" * 9000, b"/shop/\x80", b"/shop/api/me"])
async def test_a_request_whose_own_address_cannot_be_read_needs_the_right_one_too(
    redis: RedisClient, path: bytes, htu: Any
) -> None:
    problem = await Requests(redis).problem(proof(htu=htu), path=path)
    assert problem.extra["reason"] == "proof-address"


async def test_an_address_of_a_long_path_is_compared(redis: RedisClient) -> None:
    path = "/shop/" + "a" * 3000
    await Requests(redis).send(proof(url=f"https://desk.example{path}"), path=path.encode())


async def test_a_server_that_passes_no_raw_path_has_the_same_address(redis: RedisClient) -> None:
    await Requests(redis).send(proof(url=f"{SITE}/caf%C3%A9"), path=b"/shop/caf%C3%A9", raw=False)
    problem = await Requests(redis).problem(proof(), path=b"/shop/caf%C3%A9", raw=False)
    assert problem.extra["reason"] == "proof-address"


async def test_a_host_outside_ascii_is_compared_in_its_encoded_form(redis: RedisClient) -> None:
    requests = Requests(redis, site="https://bücher.example")
    await requests.send(proof(url="https://xn--bcher-kva.example/a"), path=b"/a")


@pytest.mark.parametrize("iat", [NOW - 60, NOW + 10])
async def test_a_proof_is_accepted_from_ten_seconds_before_its_time_until_a_minute_after_it(
    redis: RedisClient, iat: float
) -> None:
    await Requests(redis).send(proof(iat=int(iat)))


@pytest.mark.parametrize("id", ["x", "x" * 256])
async def test_an_id_may_be_short_or_long(redis: RedisClient, id: str) -> None:
    await Requests(redis).send(proof(jti=id))


@pytest.mark.parametrize(
    ("proofs", "seen", "expected"),
    [
        ((), 0, 1),
        ((_GOOD, _GOOD), 2, 1),
        (("abc",), "not-a-jwt", None),
        ((proof(header={"typ": "JWT"}),), "JWT", "dpop+jwt"),
        ((proof(header={"jwk": ...}),), "ES256", None),
        ((proof(method="POST"),), "POST", "GET"),
        ((proof(url=f"{SITE}/api/you"),), f"{SITE}/api/you", URL),
        ((proof(iat=int(NOW) - 61),), NOW - 61, f"{NOW:.0f}"),
        ((proof(iat="now"),), "now", "Unix seconds"),
        ((proof(jti=1),), 1, None),
    ],
    ids=range(10),
)
async def test_the_log_is_told_what_a_proof_has_and_should_have(
    redis: RedisClient, proofs: tuple[str, ...], seen: object, expected: object
) -> None:
    requests = Requests(redis)
    await requests.problem(*proofs)
    [refused] = requests.refused
    assert (refused.seen, refused.expected) == (seen, expected)


async def test_the_log_is_told_which_proof_was_used_before(redis: RedisClient) -> None:
    requests, again = Requests(redis), proof(jti="the id")
    await requests.send(again)
    await requests.problem(again)
    assert [one.seen for one in requests.refused] == ["the id"]


async def test_a_refusal_says_what_to_do(redis: RedisClient) -> None:
    problem = await Requests(redis).problem()
    assert problem.detail == (
        "The proof of possession cannot be accepted: there is not exactly one DPoP header with a proof. "
        "Make a new proof for each request."
    )
    assert "dpop-nonce" not in problem.headers, "no nonce is needed"
    problem = await Requests(redis, nonce=True).problem(proof())
    assert problem.detail == (
        "The proof of possession cannot be accepted: the proof needs the nonce of this server. "
        "Repeat the request with the nonce in DPoP-Nonce."
    )
    assert problem.extra == {"reason": "proof-nonce"}


# ---- nonces ------------------------------------------------------------------------------------------------


async def test_a_proof_needs_the_nonce_that_the_refusal_gives(redis: RedisClient) -> None:
    requests = Requests(redis, nonce=True)
    problem = await requests.problem(proof())
    assert (problem.status, problem.code) == (401, "dpop-nonce")
    assert 'error="use_dpop_nonce"' in problem.headers["www-authenticate"]
    assert requests.refused == [], "every client needs one, so it is not worth a line in the log"
    nonce = problem.headers["dpop-nonce"]
    assert nonce.startswith(f"{int(NOW // WINDOW)}.")
    await requests.send(proof(nonce=nonce))
    other = Requests(redis, nonce=True)
    await other.send(proof(nonce=nonce))
    assert (await other.problem(proof(method="POST"))).headers["dpop-nonce"] == nonce


async def test_a_nonce_is_accepted_for_a_window_more_and_then_no_longer(redis: RedisClient) -> None:
    clock = Clocks()
    nonces = Nonces(ProofStore(redis), clock)
    first = await nonces.current()
    clock.now += WINDOW
    assert await nonces.accepts(first)
    assert await nonces.current() != first
    clock.now += WINDOW
    assert not await nonces.accepts(first)


@pytest.mark.parametrize(
    "made", [None, "", "x", 7, ["x"], "é", "{window}.", "{window}.AAAA", "{next}.{mac}", "{mac}"]
)
async def test_a_nonce_that_somebody_made_up_is_not_accepted(redis: RedisClient, made: Any) -> None:
    nonces = Nonces(ProofStore(redis), Clocks())
    window, _, mac = (await nonces.current()).partition(".")
    text = made.format(window=window, next=int(window) + 1, mac=mac) if isinstance(made, str) else made
    assert await nonces.accepts(text) is False


async def test_nonces_have_another_secret_each_hour_and_all_gateways_the_same(redis: RedisClient) -> None:
    clock = Clocks(NOW - NOW % PERIOD + PERIOD - 1)
    here, there = Nonces(ProofStore(redis), clock), Nonces(ProofStore(redis), clock)
    last = await here.current()
    clock.now += 1
    assert await there.accepts(last), "the last window belongs to the period before"
    assert await there.current() == await here.current() != last
    secrets = [
        await redis.call("GET", redis_key("nonces", str(int(clock.now // PERIOD) - ago))) for ago in (0, 1)
    ]
    assert len(set(secrets)) == 2 and all(len(one) == 32 for one in secrets)
    ttl = await redis.call("PTTL", redis_key("nonces", str(int(clock.now // PERIOD))))
    assert PERIOD * 1000 < ttl <= PERIOD * 1500


async def test_secrets_of_past_periods_are_forgotten(redis: RedisClient) -> None:
    clock = Clocks()
    nonces = Nonces(ProofStore(redis), clock)
    for _ in range(5):
        await nonces.current()
        clock.now += PERIOD
    assert len(nonces._secrets) <= 2


async def test_gateways_of_two_releases_give_out_the_same_nonces(redis: RedisClient) -> None:
    nonce = await Nonces(ProofStore(redis), Clocks(), lambda length: b"s" * length).current()
    window = int(NOW // WINDOW)
    mac = hmac.digest(b"s" * 32, f"bff dpop nonce {window}".encode(), "sha256")
    assert nonce == f"{window}.{b64(mac[:16])}"


async def test_the_secret_of_a_period_is_read_once(redis: RedisClient) -> None:
    class Counting(ProofStore):
        asked = 0

        async def nonce_secret(self, period: int, candidate: bytes, *, keep: float) -> bytes:
            self.asked += 1
            return await super().nonce_secret(period, candidate, keep=keep)

    clock, store = Clocks(NOW - NOW % PERIOD + PERIOD - 1), Counting(redis)
    nonces = Nonces(store, clock)
    last = await nonces.current()
    clock.now += 1
    for _ in range(3):
        assert await nonces.accepts(await nonces.current())
        assert await nonces.accepts(last), "the secret of the period before is still in use"
    assert store.asked == 2


# ---- without Redis -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonce", [True, False])
async def test_without_redis_a_proof_is_503_and_never_accepted(nonce: bool) -> None:
    async with RedisClient(f"redis://127.0.0.1:{closed_port()}", timeout=0.5) as redis:
        requests = Requests(redis, nonce=nonce)
        window = int(NOW // WINDOW)
        problem = await requests.problem(proof(nonce=f"{window}.AAAA"))
        assert (problem.status, problem.code) == (503, "unavailable")
        assert problem.retry_after == 1.0
        assert problem.detail == (
            "Whether this proof was used before cannot be checked at the moment. "
            "Try again shortly, with a new proof."
        )


async def test_a_refusal_that_cannot_give_a_nonce_is_503() -> None:
    async with RedisClient(f"redis://127.0.0.1:{closed_port()}", timeout=0.5) as redis:
        problem = await Requests(redis, nonce=True).problem("no proof")
        assert (problem.status, problem.code) == (503, "unavailable")


async def test_a_redis_that_refuses_the_command_is_503(own_valkey: Valkey) -> None:
    async with RedisClient(own_valkey.url, timeout=10) as redis:
        await redis.call("CONFIG", "SET", "maxmemory", "1")
        assert (await Requests(redis).problem(proof())).status == 503
        with pytest.raises(StoreUnavailable):
            await ProofStore(redis).use("k", "p", keep=1)


def test_two_clients_have_two_thumbprints() -> None:
    assert thumbprint(jwk(ec_key(), None)) != ADA.thumbprint
