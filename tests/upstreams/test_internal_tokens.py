"""Which of the gateway's tokens a service accepts: real keys published on a real socket, and every invalid token."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from bff_service import Caller, GatewayKeys, InternalVerifier, http_client
from bff_service.tokens import unauthorized
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import OKPAlgorithm

from tests.upstreams.conftest import Issuer, Running, Serve, until
from upstreams.payments.app import build

GATEWAY = "http://gateway.test"
Json = dict[str, Any]


@dataclass
class Gateway:
    """Publishes Ed25519 keys and signs with the first one."""

    keys: dict[str, ed25519.Ed25519PrivateKey] = field(
        default_factory=lambda: {"one": ed25519.Ed25519PrivateKey.generate()}
    )
    extra: list[Json] = field(default_factory=list)
    asked: int = 0
    url: str = ""
    server: ThreadingHTTPServer | None = None

    def start(self) -> Gateway:
        gateway = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gateway.asked += 1
                body = json.dumps({"keys": [*gateway.published(), *gateway.extra]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks.json"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def published(self) -> list[Json]:
        return [
            {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "EdDSA"}
            for kid, key in self.keys.items()
        ]

    def claims(self, **changed: Any) -> Json:
        now = int(time.time())
        good = {
            "iss": GATEWAY,
            "sub": "https://id.test|ada",
            "aud": "payments",
            "iat": now,
            "exp": now + 60,
            "jti": uuid.uuid4().hex,
            "scope": "shop",
            "person": True,
            "act": {"sub": GATEWAY},
        }
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(
        self, *, headers: Json | None = None, key: Any = None, alg: str = "EdDSA", **changed: Any
    ) -> str:
        """Signed without a library, which would refuse to make invalid tokens; None leaves a member out."""
        head = {"typ": "bff-internal+jwt", "kid": next(iter(self.keys)), "alg": alg, **(headers or {})}
        head = {name: value for name, value in head.items() if value is not None}
        unsigned = ".".join(b64(json.dumps(part).encode()) for part in (head, self.claims(**changed)))
        signer: Any = jwt.algorithms.get_default_algorithms()[alg]
        key = signer.prepare_key(key or next(iter(self.keys.values())))
        return f"{unsigned}.{b64(signer.sign(unsigned.encode(), key))}"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway().start()
    yield made
    made.stop()


@pytest.fixture
async def payments(serve: Serve, gateway: Gateway) -> Running:
    return await serve(build, gateway_keys_url=gateway.url, gateway_issuer=GATEWAY)


async def status(payments: Running, token: str) -> int:
    return (await payments.get("/charges/none", token=token)).status_code


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(head: Json, claims: Json) -> str:
    return ".".join([b64(json.dumps(head).encode()), b64(json.dumps(claims).encode()), ""])


def forged(gateway: Gateway, issuer: Issuer) -> dict[str, str]:
    """Tokens that must be refused, by what is wrong with them."""
    now = int(time.time())
    head = {"typ": "bff-internal+jwt", "kid": "one"}
    own = gateway.keys["one"]
    stranger = ed25519.Ed25519PrivateKey.generate()
    public = own.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    curve = ec.generate_private_key(ec.SECP256R1())
    good = gateway.token()
    first, second, third = good.split(".")
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)

    def confused(secret: bytes) -> str:
        signed = unsigned({**head, "alg": "HS256"}, gateway.claims()).rpartition(".")[0]
        return f"{signed}.{b64(hmac.sign(signed.encode(), secret))}"

    embedded = {**OKPAlgorithm.to_jwk(stranger.public_key(), as_dict=True), "kid": "one"}
    return {
        "for another service": gateway.token(aud="orders"),
        "for this and another service": gateway.token(aud=["payments", "orders"]),
        "for everybody": gateway.token(aud="*"),
        "for the shop": gateway.token(aud="shop"),
        "for nobody": gateway.token(aud=None),
        "of another gateway": gateway.token(iss="http://elsewhere.test"),
        "of nobody": gateway.token(iss=None),
        "in identity's name": gateway.token(iss=issuer.url),
        "ended": gateway.token(iat=now - 120, exp=now - 60),
        "without an end": gateway.token(exp=None),
        "good for an hour": gateway.token(exp=now + 3600),
        "good for a minute and a second": gateway.token(exp=now + 61),
        "ends before it begins": gateway.token(iat=now + 4, exp=now + 2),
        "from the future": gateway.token(iat=now + 600, exp=now + 660),
        "begins nowhere": gateway.token(iat=None),
        "ends in words": gateway.token(exp="tomorrow"),
        "ends in a string of digits": gateway.token(exp=str(now + 30)),
        "ends in infinity": gateway.token(exp=1e300),
        "ends with a fraction": gateway.token(exp=now + 30.5),
        "ends in truth": gateway.token(exp=True),
        "not yet": gateway.token(nbf=now + 600),
        "without an id": gateway.token(jti=None),
        "without a subject": gateway.token(sub=None),
        "with an empty subject": gateway.token(sub=""),
        "with a subject without issuer": gateway.token(sub="ada"),
        "with a subject without a name": gateway.token(sub="https://id.test|"),
        "with a scope that is a list": gateway.token(scope=["saga"]),
        "an access token by its type": gateway.token(headers={"typ": "at+jwt"}),
        "an id token by its type": gateway.token(headers={"typ": "JWT"}),
        "without a type": gateway.token(headers={"typ": None}),
        "with an unknown key id": gateway.token(headers={"kid": "nine"}),
        "without a key": gateway.token(headers={"kid": None}),
        "with a key that is a path": gateway.token(headers={"kid": "../../dev/null"}),
        "with an unknown critical header": gateway.token(headers={"crit": ["b64"], "b64": False}),
        "signed by a stranger": gateway.token(key=stranger),
        "signed by a key in its own header": gateway.token(key=stranger, headers={"jwk": embedded}),
        "signed by a key at an address it names": gateway.token(
            key=stranger, headers={"jku": "http://evil.test/jwks.json"}
        ),
        "signed on another curve": gateway.token(key=curve, alg="ES256"),
        "signed with the public key as a secret": confused(public),
        "signed with the public bytes as a secret": confused(own.public_key().public_bytes_raw()),
        "signed with nothing": unsigned({**head, "alg": "none"}, gateway.claims()),
        "unsigned, with alg NONE in capitals": unsigned({**head, "alg": "NONE"}, gateway.claims()),
        "with no signature": f"{first}.{second}.",
        "with a cut signature": good[:-10],
        "with other claims": f"{first}.{b64(json.dumps(gateway.claims(sub='https://id.test|bob')).encode())}.{third}",
        "with another head": f"{b64(json.dumps({**head, 'alg': 'EdDSA', 'x': 1}).encode())}.{second}.{third}",
        "in identity's key": jwt.encode(gateway.claims(), issuer.key, algorithm="ES256", headers=head),
        "a person's token of identity": issuer.token("ada"),
        "a token of identity with our type": issuer.token("ada", headers={"typ": "bff-internal+jwt"}),
        "huge": gateway.token(filler="x" * 9000),
    }


async def test_an_internal_token_is_accepted_and_names_the_caller(
    payments: Running, gateway: Gateway
) -> None:
    assert await status(payments, gateway.token()) == 404
    async with http_client() as client:
        verifier = InternalVerifier(GatewayKeys(client, gateway.url), issuer=GATEWAY, audience="payments")

        async def caller(**changed: Any) -> Caller:
            token = gateway.token(**changed)
            return await verifier.caller(token, jwt.get_unverified_header(token))

        ada = await caller(mutation="click")
        assert (ada.id, ada.iss, ada.sub) == ("https://id.test|ada", "https://id.test", "ada")
        assert (ada.is_person, ada.scopes, ada.mutation) == (True, frozenset({"shop"}), "click")
        # A service that called the gateway with a token of its own must not become a person, whatever it is called.
        for wrong in (False, None, "true", 1, [True]):
            assert not (await caller(sub="https://id.test|ada", client_id="page", person=wrong)).is_person


async def test_a_client_of_the_gateway_may_not_do_what_people_do(payments: Running, gateway: Gateway) -> None:
    """As the gateway names a service account of Keycloak: its subject is not its client."""
    machine = gateway.token(
        sub="https://id.test|6a0f7c9e-8f0e-4d8e-9d3c-0f6d8f6a9b11", client_id="reports", person=False
    )
    assert await status(payments, machine) == 403
    assert await status(payments, gateway.token(client_id="page")) == 404


async def test_every_forged_internal_token_is_refused_with_a_challenge(
    payments: Running, gateway: Gateway, issuer: Issuer
) -> None:
    tokens = forged(gateway, issuer)
    assert len(tokens) >= 45
    for wrong, token in tokens.items():
        answer = await payments.get("/charges/none", token=token)
        assert (wrong, answer.status_code) == (wrong, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert await status(payments, gateway.token()) == 404
    assert gateway.asked <= 3, "made-up keys do not cause repeated fetches"


async def test_keys_for_another_use_are_ignored(payments: Running, gateway: Gateway) -> None:
    stranger = ed25519.Ed25519PrivateKey.generate()
    curve = ec.generate_private_key(ec.SECP256R1())
    public = OKPAlgorithm.to_jwk(stranger.public_key(), as_dict=True)
    raw = b64(b"secret" * 8)
    gateway.extra = [
        {**public, "kid": "enc", "use": "enc", "alg": "EdDSA"},
        {**public, "kid": "no-use", "alg": "EdDSA"},
        {**public, "kid": "other-alg", "use": "sig", "alg": "ES256"},
        {**OKPAlgorithm.to_jwk(stranger, as_dict=True), "kid": "private", "use": "sig", "alg": "EdDSA"},
        {"kty": "oct", "k": raw, "kid": "secret", "use": "sig", "alg": "HS256"},
        {
            **jwt.algorithms.ECAlgorithm.to_jwk(curve.public_key(), as_dict=True),
            "kid": "curve",
            "use": "sig",
            "alg": "EdDSA",
        },
    ]
    assert await status(payments, gateway.token()) == 404
    for kid in ("enc", "no-use", "other-alg", "private"):
        assert await status(payments, gateway.token(key=stranger, headers={"kid": kid})) == 401, kid
    assert await status(payments, gateway.token(key=curve, alg="ES256", headers={"kid": "curve"})) == 401
    secret = jwt.encode(
        gateway.claims(),
        b"secret" * 8,
        algorithm="HS256",
        headers={"typ": "bff-internal+jwt", "kid": "secret"},
    )
    assert await status(payments, secret) == 401


async def test_a_new_key_is_found_and_a_removed_one_is_trusted_for_a_minute_at_most(
    gateway: Gateway,
) -> None:
    now = 1000.0
    async with http_client() as client:
        keys = GatewayKeys(client, gateway.url, clock=lambda: now)
        verifier = InternalVerifier(keys, issuer=GATEWAY, audience="payments")

        async def taken(token: str) -> bool:
            try:
                await verifier.caller(token, jwt.get_unverified_header(token))
            except type(unauthorized("")):
                return False
            return True

        old = gateway.token()
        assert await taken(old)
        gateway.keys = {"two": ed25519.Ed25519PrivateKey.generate(), **gateway.keys}
        now += 5
        assert await taken(gateway.token()) and await taken(old), "both, while both are published"
        del gateway.keys["one"]
        now += 60
        assert not await taken(old)
        assert await taken(gateway.token())
        gateway.stop()
        now += 3600
        assert await taken(gateway.token()), "known keys outlive the gateway's absence"


async def test_with_a_gateway_people_need_internal_tokens_and_services_their_own(
    payments: Running, gateway: Gateway, issuer: Issuer
) -> None:
    assert await status(payments, issuer.token("ada")) == 401, (
        "a token stolen from a page is not accepted here"
    )
    assert await status(payments, issuer.saga_token()) == 404
    charge = {"order_id": "o1", "owner": "x|y", "amount_cents": 1, "currency": "EUR"}
    assert (await payments.post("/charges", charge, token=gateway.token())).status_code == 403
    assert (await payments.post("/charges", charge, token=issuer.saga_token())).status_code == 201


async def test_a_header_with_an_owner_is_ignored(payments: Running, gateway: Gateway) -> None:
    claim = {"BFF-Owner": "https://id.test|bob", "X-Forwarded-User": "bob", "BFF-Identity": gateway.token()}
    assert (await payments.get("/charges/none", headers=claim)).status_code == 401
    answer = await payments.get("/charges/none", token=gateway.token(), headers=claim)
    assert answer.status_code == 404


async def test_without_any_key_the_answer_is_unavailable_and_not_unauthorized(
    serve: Serve, gateway: Gateway
) -> None:
    payments = await serve(build, gateway_keys_url=gateway.url, gateway_issuer=GATEWAY)
    token = gateway.token()
    gateway.stop()
    answer = await payments.get("/charges/none", token=token)
    assert (answer.status_code, answer.json()["code"]) == (503, "gateway-unavailable")
    assert answer.headers["retry-after"]


async def test_without_a_configured_gateway_internal_tokens_are_refused(
    serve: Serve, gateway: Gateway
) -> None:
    payments = await serve(build)

    async def refused() -> bool:
        return await status(payments, gateway.token()) == 401

    await until(refused)
    assert gateway.asked == 0
