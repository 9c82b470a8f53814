"""An issuer's documents to the second: when they are fetched, who waits, and for how long they are used."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bff.edge.access import issuer as module
from bff.edge.access.fetch import FetchFailed, FetchResponse
from bff.edge.access.issuer import Discovery, Issuer, KeySet
from bff.edge.settings import IssuerSettings
from bff.policies.tokens import Reason, TokenRefused, parse

from .issuing import ISSUER, Served, claims, ec_key, jwk, sign
from .session_table import in_virtual_time, monotonic

KEY, OTHER = ec_key(), ec_key()
PLACE = f"{ISSUER}/.well-known/openid-configuration"
KEYS = f"{ISSUER}/keys"


def document(**changes: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, "jwks_uri": KEYS, "token_endpoint": f"{ISSUER}/token", **changes}


class Site(Served):
    """Serves the documents of the issuer. takes: seconds of each fetch; moments: when each began."""

    takes = 0.0

    def __init__(self, **changes: Any) -> None:
        super().__init__({PLACE: document(**changes), KEYS: {"keys": [jwk(KEY, "k1")]}})
        self.moments: list[float] = []

    async def __call__(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> FetchResponse:
        self.moments.append(monotonic())
        await asyncio.sleep(self.takes)
        return await super().__call__(url, method=method, headers=headers, body=body)


def discovery(site: Site, issuer: str = ISSUER, inner: str | None = None) -> Discovery:
    return Discovery(issuer, site, monotonic, inner)


def keys(site: Site, **changes: Any) -> KeySet:
    settings = IssuerSettings.model_validate(
        {"issuer": ISSUER, "audience": "shop", "jwks_uri": KEYS} | changes
    )
    return KeySet(settings, discovery(site), site, monotonic)


async def found(one: KeySet, kid: str | None = "k1", algorithm: str = "ES256") -> str | None:
    """Which key is found; `away` where none can be fetched."""
    try:
        key = await one.find(kid, algorithm)
    except FetchFailed:
        return "away"
    return None if key is None else key.kid or "without an id"


async def failure(coroutine: Any) -> str:
    with pytest.raises(FetchFailed) as caught:
        await coroutine
    return str(caught.value)


# ---- the discovery document


@pytest.mark.parametrize("issuer", [ISSUER, f"{ISSUER}/", f"{ISSUER}/realms/X"])
@in_virtual_time
async def test_the_document_is_fetched_below_the_issuer_and_names_it_exactly(issuer: str) -> None:
    site = Site()
    place = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    site.documents = {place: document(issuer=issuer)}
    assert await discovery(site, issuer).document() == document(issuer=issuer)
    assert site.asked == [place]


@pytest.mark.parametrize(
    "answer",
    [document(issuer=f"{ISSUER}/"), document(issuer=None), {"jwks_uri": KEYS}, [ISSUER], "x"],
    ids=str,
)
@in_virtual_time
async def test_the_document_of_another_issuer_is_not_used(answer: Any) -> None:
    site = Site()
    site.documents[PLACE] = answer
    one = discovery(site)
    assert await failure(one.document()) == f"the discovery document at {ISSUER} is another issuer's"
    assert one.state == "away"


@pytest.mark.parametrize(
    ("issuer", "value", "usable"),
    [
        (ISSUER, "https://elsewhere.test/token", True),
        (ISSUER, "http://issuer.test/token", False),
        (ISSUER, "https:///token", False),
        (ISSUER, "https://[::1/token", False),
        (ISSUER, "ftp://issuer.test/token", False),
        (ISSUER, "/token", False),
        (ISSUER, "", False),
        (ISSUER, 7, False),
        (ISSUER, None, False),
        ("http://issuer.test", "http://issuer.test/token", True),
        ("http://issuer.test", "https://issuer.test/token", True),
        ("http://issuer.test", "ftp://issuer.test/token", False),
        ("http://issuer.test", "http:///token", False),
    ],
)
@in_virtual_time
async def test_an_https_issuer_never_leads_to_a_plain_address(issuer: str, value: Any, usable: bool) -> None:
    site = Site()
    site.documents[f"{issuer}/.well-known/openid-configuration"] = document(
        issuer=issuer, token_endpoint=value
    )
    one = discovery(site, issuer)
    if usable:
        assert await one.endpoint("token_endpoint") == value
    else:
        assert await failure(one.endpoint("token_endpoint")) == f"{issuer} names no usable token_endpoint"
    assert await failure(one.endpoint("other_endpoint")) == f"{issuer} names no usable other_endpoint"


@pytest.mark.parametrize(
    ("named", "outer"),
    [
        (
            "http://inner:8080/a/token?x=http://inner:8080/",
            "https://issuer.test/a/token?x=http://inner:8080/",
        ),
        ("http://inner:8080", "https://issuer.test"),
        ("http://inner:8080?x", "https://issuer.test?x"),
        ("http://inner:80800/token", None),
        ("http://inner:8080.evil.test/token", None),
        ("https://issuer.test/a/token", "https://issuer.test/a/token"),
    ],
)
@in_virtual_time
async def test_an_inner_address_counts_as_the_issuers_own(named: str, outer: str | None) -> None:
    issuer, site = f"{ISSUER}/realms/shop", Site()
    site.documents[f"{issuer}/.well-known/openid-configuration"] = document(
        issuer=issuer, token_endpoint=named
    )
    one = discovery(site, issuer, "http://inner:8080")
    if outer is None:
        await failure(one.endpoint("token_endpoint"))
    else:
        assert await one.endpoint("token_endpoint") == outer
    plain = discovery(site, issuer)
    if named.startswith("http:"):
        await failure(plain.endpoint("token_endpoint"))


@in_virtual_time
async def test_a_document_is_used_for_an_hour_and_then_waited_for() -> None:
    site = Site()
    one = discovery(site)
    assert one.state == "unknown"
    for pause in (0, 3599):
        await asyncio.sleep(pause)
        assert (await one.endpoint("token_endpoint")).endswith("/token")
    assert site.moments == [0] and one.state == "up"
    site.documents[PLACE] = document(token_endpoint=f"{ISSUER}/new")
    await asyncio.sleep(1)
    assert (await one.endpoint("token_endpoint")).endswith("/new")
    assert site.moments == [0, 3600]


@in_virtual_time
async def test_an_old_document_is_used_while_the_issuer_is_away_and_asked_for_once_a_minute() -> None:
    site = Site()
    one = discovery(site)
    await one.document()
    del site.documents[PLACE]
    await asyncio.sleep(3600)
    for _ in range(25):
        assert await one.document() == document()
        await asyncio.sleep(5)
    assert site.moments == [0, 3600, 3660, 3720]
    assert one.state == "away"
    await asyncio.sleep(30 * 86_400)
    assert await one.document() == document(), "for as long as the process lives"


@in_virtual_time
async def test_without_a_document_the_issuer_is_asked_once_a_second_and_the_reason_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site()
    del site.documents[PLACE]
    one = discovery(site)
    for _ in range(5):
        assert await failure(one.document()) == f"{PLACE} is away"
        await asyncio.sleep(0.5)
    assert site.moments == [0, 1, 2]
    reason = f"a document of an issuer cannot be fetched: {PLACE} is away"
    assert caplog.messages == [reason], "the same reason is logged once"
    site.documents[PLACE] = 500
    await asyncio.sleep(1)
    assert await failure(one.document()) == f"{PLACE} answered 500"
    assert len(caplog.messages) == 2
    site.documents[PLACE] = document()
    await asyncio.sleep(1)
    assert await one.document() == document() and one.state == "up"
    del site.documents[PLACE]
    await asyncio.sleep(3600)
    await one.document()
    assert caplog.messages[2:] == [reason], "after a success it is news again"


@in_virtual_time
async def test_requests_share_a_fetch_and_one_that_leaves_does_not_end_it() -> None:
    site = Site()
    site.takes = 2
    one = discovery(site)
    leaving, staying = (asyncio.ensure_future(one.document()) for _ in range(2))
    await asyncio.sleep(1)
    assert "bff-issuer" in {task.get_name() for task in asyncio.all_tasks()}
    leaving.cancel()
    assert await staying == document() and leaving.cancelled()
    assert site.moments == [0]
    one.refresh_when_old()
    await asyncio.sleep(3599)
    one.refresh_when_old()
    assert site.moments == [0]
    await asyncio.sleep(1)
    one.refresh_when_old()
    one.refresh_when_old()
    await asyncio.sleep(0)
    assert site.moments == [0, 3602]
    await one.close()
    assert "bff-issuer" not in {task.get_name() for task in asyncio.all_tasks()}


@in_virtual_time
async def test_a_fetch_that_is_cancelled_does_not_keep_the_next_one_away() -> None:
    site = Site()
    site.takes = 2
    one = discovery(site)
    await one.close()
    one.refresh_when_old()
    await asyncio.sleep(1)
    await one.close()
    assert await one.document() == document()
    assert site.moments == [0, 1]


@in_virtual_time
async def test_a_bug_in_reading_a_document_is_logged_and_raised(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(url: str, **said: Any) -> FetchResponse:
        raise ZeroDivisionError("a bug")

    one = Discovery(ISSUER, broken, monotonic)
    with pytest.raises(ZeroDivisionError):
        await one.document()
    (logged,) = caplog.records
    assert logged.getMessage() == "reading a document of an issuer failed" and logged.exc_info is not None


# ---- the keys


@in_virtual_time
async def test_a_key_is_found_by_its_id_and_algorithm() -> None:
    site = Site()
    site.documents[KEYS] = {"keys": [jwk(KEY, "k1"), jwk(OTHER, "k2", alg="ES256")]}
    one = keys(site)
    assert [await found(one, kid) for kid in ("k1", "k2", "k3", None)] == ["k1", "k2", None, None]
    assert await found(one, "k1", "EdDSA") is None
    assert (one.generation, one.state) == (1, "up")


@in_virtual_time
async def test_a_token_without_a_key_id_is_accepted_where_one_key_fits() -> None:
    site = Site()
    assert await found(keys(site), None) == "k1"
    site.documents[KEYS] = {"keys": [jwk(KEY, None), jwk(OTHER, "k2")]}
    assert await found(keys(site), None) is None


@in_virtual_time
async def test_keys_are_fetched_at_the_address_of_the_settings_or_of_the_document() -> None:
    site = Site()
    one = keys(site, jwks_uri=None)
    assert await found(one) == "k1" and site.asked == [PLACE, KEYS]
    site.asked.clear()
    assert await found(keys(site)) == "k1" and site.asked == [KEYS]


@in_virtual_time
async def test_keys_of_other_algorithms_than_the_settings_name_are_not_used() -> None:
    assert await found(keys(Site(), algorithms=("EdDSA",))) == "away"


@in_virtual_time
async def test_old_keys_are_fetched_again_in_the_background_after_five_minutes() -> None:
    site = Site()
    one = keys(site)
    await found(one)
    await asyncio.sleep(299)
    await found(one)
    site.takes, site.documents[KEYS] = 1, {"keys": [jwk(OTHER, "k2")]}
    await asyncio.sleep(1)
    assert await found(one) == "k1" and monotonic() == 300
    await asyncio.sleep(1.5)
    assert site.moments == [0, 300] and one.generation == 2
    assert await found(one, "k2") == "k2"


@in_virtual_time
async def test_keys_are_used_for_a_day_after_they_were_last_fetched() -> None:
    site = Site()
    one = keys(site)
    await found(one)
    del site.documents[KEYS]
    for moment, finds in ((300, "k1"), (24 * 3600 - 1, "k1"), (24 * 3600, "away")):
        await asyncio.sleep(moment - monotonic())
        assert await found(one) == finds
        await asyncio.sleep(0)
    assert one.status() == {"state": "away", "keys": 0, "age": None}
    assert await failure(one.find("k1", "ES256")) == f"the keys of {ISSUER} cannot be fetched"
    site.documents[KEYS] = {"keys": [jwk(KEY, "k1")]}
    await asyncio.sleep(1)
    assert await found(one) == "k1"
    assert one.generation == 1, "they are the same keys"


@in_virtual_time
async def test_an_empty_set_leaves_the_keys_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    one = keys(site)
    await found(one)
    site.documents[KEYS] = {"keys": []}
    await asyncio.sleep(300)
    await found(one)
    await asyncio.sleep(0.1)
    assert await found(one) == "k1" and one.state == "away"
    assert caplog.messages == [f"a document of an issuer cannot be fetched: {KEYS} holds no usable key"]


@in_virtual_time
async def test_the_generation_counts_changes_of_the_keys_and_not_fetches() -> None:
    site = Site()
    one = keys(site)
    seen = []
    for given in (
        [jwk(KEY, "k1")],
        [jwk(KEY, "k1")],
        [jwk(KEY, "k1"), jwk(OTHER, "k2")],
        [jwk(OTHER, "k2"), jwk(KEY, "k1")],
        [jwk(OTHER, "k2")],
        [jwk(OTHER, "k1")],
    ):
        site.documents[KEYS] = {"keys": given}
        one.refresh_when_old()
        await asyncio.sleep(300)
        seen.append(one.generation)
    assert seen == [1, 1, 2, 2, 3, 4]


@in_virtual_time
async def test_an_unknown_key_id_makes_one_fetch_in_five_seconds_and_is_refused_for_half_a_minute() -> None:
    site = Site()
    one = keys(site)
    await found(one)
    for _ in range(3):
        assert await found(one, "made up") is None
    assert site.moments == [0], "the gap holds for the first one, too"
    await asyncio.sleep(5)
    for _ in range(3):
        assert await found(one, "made up") is None
    assert site.moments == [0, 5]
    await asyncio.sleep(5)
    assert await found(one, "another") is None and await found(one, "made up", "EdDSA") is None
    assert site.moments == [0, 5, 10]
    await asyncio.sleep(24.9)
    assert await found(one, "made up") is None
    assert site.moments == [0, 5, 10]
    site.documents[KEYS] = {"keys": [jwk(KEY, "k1"), jwk(OTHER, "made up")]}
    await asyncio.sleep(0.1)
    assert await found(one, "made up") == "made up", "the issuer has it by now"
    assert site.moments == [0, 5, 10, 35]


@in_virtual_time
async def test_an_unknown_key_id_is_found_as_soon_as_other_keys_are_fetched() -> None:
    site = Site()
    one = keys(site)
    await found(one)
    await asyncio.sleep(5)
    assert await found(one, "k2") is None
    site.documents[KEYS] = {"keys": [jwk(KEY, "k1"), jwk(OTHER, "k3")]}
    await asyncio.sleep(5)
    assert await found(one, "k3") == "k3"
    site.documents[KEYS] = {"keys": [jwk(KEY, "k1"), jwk(OTHER, "k2")]}
    await asyncio.sleep(5)
    assert await found(one, "k2") == "k2", "what was unknown under the old keys is asked for again"


@in_virtual_time
async def test_a_key_id_is_not_unknown_while_the_issuer_is_away() -> None:
    site = Site()
    one = keys(site)
    await found(one)
    del site.documents[KEYS]
    await asyncio.sleep(5)
    assert await found(one, "k2") is None
    site.documents[KEYS] = {"keys": [jwk(OTHER, "k2")]}
    await asyncio.sleep(5)
    assert await found(one, "k2") == "k2"


@in_virtual_time
async def test_the_unknown_key_ids_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNKNOWN_MOST", 2)
    site = Site()
    one = keys(site)
    await found(one)
    for kid in ("x1", "x2", "x3"):
        await asyncio.sleep(5)
        await found(one, kid)
    assert site.moments == [0, 5, 10, 15]
    await asyncio.sleep(5)
    await found(one, "x3")
    assert site.moments == [0, 5, 10, 15]
    await found(one, "x1")
    assert site.moments == [0, 5, 10, 15, 20]
    await found(one, "x3")
    await asyncio.sleep(5)
    await found(one, "x3")
    assert site.moments == [0, 5, 10, 15, 20]


@in_virtual_time
async def test_the_status_tells_the_state_the_keys_and_their_age_and_fetches_what_is_missing() -> None:
    site = Site()
    one = keys(site)
    await asyncio.sleep(100)
    assert one.status() == {"state": "unknown", "keys": 0, "age": None}
    await asyncio.sleep(1.6)
    assert site.moments == [100]
    assert one.status() == {"state": "up", "keys": 1, "age": 2}


# ---- signatures


def trusted(site: Site, **changes: Any) -> Issuer:
    settings = {"issuer": ISSUER, "audience": "shop", "jwks_uri": KEYS} | changes
    return Issuer(IssuerSettings.model_validate(settings), site, monotonic)


async def refused(one: Issuer, token: str) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        await one.verify_signature(parse(token))
    return caught.value


@in_virtual_time
async def test_a_signature_is_accepted_by_the_key_and_algorithm_of_the_issuer_alone() -> None:
    site = Site()
    one = trusted(site)
    await one.verify_signature(parse(sign(KEY, claims())))
    wrong = await refused(one, sign(OTHER, claims()))
    assert wrong.reason is Reason.SIGNATURE
    unknown = await refused(one, sign(KEY, claims(), kid="k2"))
    assert (unknown.reason, unknown.seen) == (Reason.UNKNOWN_KEY, "k2")
    other = await refused(trusted(site, algorithms=("EdDSA", "RS256")), sign(KEY, claims()))
    assert (other.reason, other.seen) == (Reason.ISSUER_ALGORITHM, "ES256")
    assert other.expected == ("EdDSA", "RS256")


@in_virtual_time
async def test_a_key_that_was_replaced_under_its_id_is_fetched_once_in_the_gap() -> None:
    site = Site()
    one = trusted(site)
    await one.verify_signature(parse(sign(KEY, claims())))
    site.documents[KEYS] = {"keys": [jwk(OTHER, "k1"), jwk(ec_key(), "k2")]}
    assert (await refused(one, sign(OTHER, claims()))).reason is Reason.SIGNATURE
    await asyncio.sleep(5)
    await one.verify_signature(parse(sign(OTHER, claims())))
    assert site.moments == [0, 5]
    await asyncio.sleep(5)
    assert (await refused(one, sign(KEY, claims()))).reason is Reason.SIGNATURE
    site.documents[KEYS] = {"keys": [jwk(ec_key(), "k1")]}
    await asyncio.sleep(5)
    assert (await refused(one, sign(KEY, claims()))).reason is Reason.SIGNATURE, (
        "the newer key must fit as well"
    )


@in_virtual_time
async def test_keys_that_were_fetched_meanwhile_are_used_without_another_fetch() -> None:
    site = Site()
    site.documents[KEYS] = {"keys": [jwk(KEY, "k1"), jwk(KEY, "k2")]}
    one = keys(site)
    old = await one.find("k1", "ES256")
    assert old is not None and await one.replacement(old, "k1", "ES256") is None
    site.documents[KEYS] = {"keys": [jwk(OTHER, "k1"), jwk(KEY, "k2")]}
    await asyncio.sleep(5)
    newer = await one.replacement(old, "k1", "ES256")
    assert newer is not None and newer != old
    await asyncio.sleep(5)
    assert await one.replacement(old, "k1", "ES256") == newer
    assert site.moments == [0, 5]


@in_virtual_time
async def test_an_issuer_that_is_away_refuses_no_token() -> None:
    site = Site()
    site.documents.clear()
    assert await failure(trusted(site).verify_signature(parse(sign(KEY, claims())))) == (
        f"the keys of {ISSUER} cannot be fetched"
    )


@in_virtual_time
async def test_an_issuer_uses_its_inner_address_and_a_document_that_it_is_given() -> None:
    site = Site(jwks_uri="http://inner:8080/keys")
    one = trusted(site, jwks_uri=None, internal_url="http://inner:8080")
    await one.verify_signature(parse(sign(KEY, claims())))
    assert site.asked == [PLACE, KEYS]
    other = Issuer(one.settings, site, monotonic, discovery=one.discovery)
    await other.verify_signature(parse(sign(KEY, claims())))
    assert other.discovery is one.discovery and site.asked == [PLACE, KEYS, KEYS]
    assert one.settings.issuer == ISSUER


@in_virtual_time
async def test_closing_ends_the_fetches_of_both_documents() -> None:
    site = Site()
    site.takes = 50
    one = trusted(site)
    one.keys.refresh_when_old()
    one.discovery.refresh_when_old()
    await asyncio.sleep(1)
    assert [task.get_name() for task in asyncio.all_tasks()].count("bff-issuer") == 2
    await one.close()
    assert "bff-issuer" not in {task.get_name() for task in asyncio.all_tasks()}


@in_virtual_time
async def test_a_document_that_cannot_be_closed_is_named_and_the_other_one_is_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("a bug")

    for closed, named in (("keys", "the keys"), ("discovery", "the discovery")):
        site = Site()
        site.takes = 50
        one = trusted(site)
        one.keys.refresh_when_old()
        one.discovery.refresh_when_old()
        with monkeypatch.context() as patch:
            patch.setattr(getattr(one, closed), "close", broken)
            await one.close()
        assert caplog.messages == [f"{named} could not be closed"]
        assert [task.get_name() for task in asyncio.all_tasks()].count("bff-issuer") == 1
        caplog.clear()
        await one.close()
