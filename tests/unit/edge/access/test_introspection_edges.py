"""The introspector at its edges: the texts of its failures, what an address may ask, and what it stores."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from bff.edge.access.fetch import FetchFailed
from bff.edge.access.introspection import IN_FLIGHT, LOG_GAP, PER_ADDRESS, Introspector
from bff.edge.access.issuer import Issuer
from bff.edge.access.profiles import rules_of
from bff.policies.tokens import Reason, TokenRefused

from .issuing import ISSUER, NOW, Clocks
from .test_introspection import ENDPOINT, SIGNED, TOKEN, Endpoint, answer, issuer, signed

D = b"digest"


def made(clock: Clocks | None = None, **changes: Any) -> tuple[Introspector, Endpoint, Clocks]:
    clock, endpoint, settings = clock or Clocks(), Endpoint(), issuer(**changes)
    assert settings.introspection is not None
    documents = Issuer(settings, endpoint, clock)
    rules = rules_of(settings)
    return (
        Introspector(settings, settings.introspection, rules, documents, endpoint, clock, clock),
        endpoint,
        clock,
    )


async def failure(asks: Introspector, token: str = TOKEN, **request: Any) -> str:
    with pytest.raises(FetchFailed) as caught:
        await asks.ask(token, token.encode(), **request)
    return str(caught.value)


async def test_a_question_that_cannot_be_asked_fails_with_its_cause() -> None:
    asks, endpoint, clock = made()
    endpoint.reply = FetchFailed("it hangs")
    assert await failure(asks) == "it hangs"
    assert await failure(asks, "other") == "it hangs", "the one before failed just now"
    clock.now += 1
    endpoint.says(b"", status=404)
    assert await failure(asks) == f"{ENDPOINT} answered 404"


async def test_more_questions_than_may_be_under_way_fail_with_their_number() -> None:
    asks, endpoint, _ = made()
    endpoint.gate.clear()
    many = [asyncio.create_task(asks.ask(f"t{one}", b"%d" % one)) for one in range(IN_FLIGHT)]
    await asyncio.sleep(0)
    assert await failure(asks) == f"{ISSUER} is being asked about {IN_FLIGHT} other tokens"
    assert {one.get_name() for one in asks._flights.values()} == {"bff-introspection"}
    endpoint.gate.set()
    await asyncio.gather(*many)
    assert (await asks.ask(TOKEN, D)).expires_at == NOW + 3600


async def test_more_questions_than_an_address_may_ask_fail_until_one_is_answered() -> None:
    asks, endpoint, _ = made()
    endpoint.gate.clear()
    many = [
        asyncio.create_task(asks.ask(f"t{one}", b"%d" % one, address="192.0.2.1"))
        for one in range(PER_ADDRESS)
    ]
    await asyncio.sleep(0)
    told = f"{ISSUER} is being asked about {PER_ADDRESS} tokens of this address"
    assert await failure(asks, address="192.0.2.1") == told
    endpoint.gate.set()
    await asyncio.gather(*many)
    assert await asks.ask(TOKEN, D, address="192.0.2.1")
    await asyncio.sleep(0)
    assert asks._askers == {}, "an address without questions is forgotten"


async def test_the_gateway_itself_may_ask_more_than_an_address() -> None:
    asks, endpoint, _ = made()
    endpoint.gate.clear()
    many = [asyncio.create_task(asks.ask(f"t{one}", b"%d" % one)) for one in range(PER_ADDRESS + 1)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(endpoint.asked) == PER_ADDRESS + 1
    endpoint.gate.set()
    await asyncio.gather(*many)


async def test_an_answer_at_the_start_of_a_machine_counts_as_well() -> None:
    asks, endpoint, _ = made(Clocks(0.5))
    endpoint.says(answer(exp=3600, iat=0.1))
    assert (await asks.ask(TOKEN, D)).expires_at == 3600
    assert len(endpoint.asked) == 1


async def test_a_failure_at_the_start_of_a_machine_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    asks, endpoint, _ = made(Clocks(0.5))
    endpoint.says(b"", status=500)
    with caplog.at_level(logging.WARNING, "bff.tokens"):
        await failure(asks)
    assert caplog.messages == [f"an issuer cannot be asked about tokens: {ENDPOINT} answered 500"]


async def test_another_failure_is_logged_after_the_gap_and_the_same_one_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asks, endpoint, clock = made()
    with caplog.at_level(logging.WARNING, "bff.tokens"):
        for status, later in ((500, LOG_GAP), (500, LOG_GAP - 0.1), (502, 0.1), (503, 0.0), (502, 0.0)):
            endpoint.says(b"", status=status)
            await failure(asks)
            clock.now += later
    ends = [one.rpartition(" ")[2] for one in caplog.messages]
    assert ends == ["500", "502"]


async def test_an_active_answer_ends_an_outage_and_so_does_a_refusal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for good in (answer(), {"active": False}):
        caplog.clear()
        asks, endpoint, clock = made()
        with caplog.at_level(logging.WARNING, "bff.tokens"):
            endpoint.says(b"", status=500)
            await failure(asks)
            endpoint.says(good)
            with contextlib.suppress(TokenRefused):
                await asks.ask("other", D)
            clock.now += LOG_GAP
            endpoint.says(b"", status=500)
            await failure(asks)
        assert len(caplog.messages) == 2, "the second outage is another one"


async def test_a_refusal_is_raised_anew_each_time() -> None:
    asks, endpoint, _ = made()
    endpoint.says({"active": False})
    refusals = []
    for _ in range(2):
        with pytest.raises(TokenRefused) as caught:
            await asks.ask(TOKEN, D)
        refusals.append(caught.value)
    assert [one.reason for one in refusals] == [Reason.INACTIVE] * 2
    assert refusals[0] is not refusals[1], "a traceback would grow with each use"
    assert len(endpoint.asked) == 1


async def test_a_refusal_is_stored_by_its_own_token_and_a_new_answer_replaces_it() -> None:
    asks, endpoint, clock = made()
    endpoint.says({"active": False})
    with pytest.raises(TokenRefused):
        await asks.ask(TOKEN, D)
    endpoint.says(answer())
    assert await asks.ask("other", b"other")
    clock.now += 5
    assert await asks.ask(TOKEN, D)
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b"{}", "application/json", "its type is not application/token-introspection+jwt"),
        (b"\xff", SIGNED, "its type is not application/token-introspection+jwt"),
        (signed(answer(), iat=NOW - 16), SIGNED, "it was not signed just now"),
        (signed("active"), SIGNED, "it has no token_introspection"),
        (signed(answer(), iss="https://evil.test"), SIGNED, Reason.ISSUER.text),
        (signed(answer(), typ="JWT"), SIGNED, Reason.TYPE.text),
        (signed(answer(), aud="other"), SIGNED, Reason.AUDIENCE.text),
        (signed(answer(), iat=...), SIGNED, Reason.ISSUED.text),
    ],
)
async def test_a_signed_answer_that_cannot_be_used_says_why(body: bytes, kind: str, told: str) -> None:
    asks, endpoint, _ = made(signed=True)
    endpoint.says(body, kind=kind)
    assert await failure(asks) == f"the answer of {ENDPOINT} cannot be used: {told}"


async def test_a_signed_answer_may_have_the_long_type_blanks_around_it_and_a_type_in_capitals() -> None:
    asks, endpoint, _ = made(signed=True)
    endpoint.says(signed(answer(), typ=SIGNED) + b"\n", kind=f"{SIGNED.upper()} ; charset=ascii")
    assert await asks.ask(TOKEN, D)


async def test_a_signed_answer_has_at_most_64_kb() -> None:
    asks, endpoint, _ = made(signed=True)
    body = signed(answer(groups="g" * 49_000))
    assert len(body) > 65_536
    endpoint.says(body, kind=SIGNED)
    assert (await failure(asks)).endswith("it is longer than 64 KB")
