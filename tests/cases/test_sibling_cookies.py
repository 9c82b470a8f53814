"""A cookie of a sibling subdomain whose name only looks like ours.

Input: `Set-Cookie: \\xa0__Host-bff=…; Domain=shop.test`, which a browser accepts from evil.shop.test, because the name
does not begin with `__Host-`. Before: the name was decoded as Latin-1 and stripped of 0x85 and 0xA0, so the attacker's
session was used for the person's (login CSRF); with both cookies the person was locked out for good, and logout cleared
nothing.
Right: names are bytes, of which only SP and HTAB are stripped (RFC 6265 section 5.2). Where two of our cookies arrive
all the same, ours is expired, and the answer says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bff.edge.access.session import COOKIE
from bff.edge.access.session_record import SessionKey
from bff.edge.http.request import cookie_values

from ..wire.test_signin import House, house_at

LOOKALIKES = [
    b"\xa0__Host-bff",
    b"__Host-bff\xa0",
    b"\x85__Host-bff",
    b"\xa0\x85 __Host-bff \x85",
    b"\xc2\xa0__Host-bff",
    b"\xe2\x80\x83__Host-bff",
    b"\xe3\x80\x80__Host-bff",
    b"__host-bff",
    b"__HOST-BFF",
    b"x __Host-bff",
    b'"__Host-bff"',
    b"__Host-bff,__Host-bff",
    b"%5F_Host-bff",
]


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with house_at(redis_url) as house:
        yield house


@pytest.mark.parametrize("name", LOOKALIKES, ids=repr)
async def test_a_cookie_name_that_only_looks_like_ours_is_another_cookie(house: House, name: bytes) -> None:
    attacker, person = house.browser(), house.browser()
    await attacker.sign_in()
    house.provider.subject = "bruno"
    await person.sign_in()
    planted = name + b"=" + attacker.jar[COOKIE].encode()
    own = f"{COOKIE}={person.jar[COOKIE]}".encode()

    async def who(*cookies: bytes) -> object:
        pairs = [(b"cookie", b"; ".join(cookies))]
        return (await person.client.get(f"{house.site}/bff/user", headers=pairs)).json().get("sub")

    assert await who(planted) is None
    assert await who(planted, own) == await who(own, planted) == "bruno"
    headers = [(b"cookie", planted + b"; " + own), (b"x-bff", b"1")]
    out = await person.client.post(f"{house.site}/bff/logout", headers=headers)
    assert out.status_code == 200
    assert await who(own) is None, "logout ends the person's own session"


@pytest.mark.parametrize("blank", [*b"\x0b\x0c\x1c\x1d\x1e\x1f\x00\x85\xa0"], ids=hex)
def test_no_byte_but_sp_and_htab_is_stripped(blank: int) -> None:
    headers = [(b"cookie", bytes([blank]) + b"__Host-bff=v; __Host-bff" + bytes([blank]) + b"=v")]
    assert cookie_values(headers, COOKIE) == []


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" \t "], ids=repr)
def test_the_blanks_of_rfc_6265_are_stripped(blanks: bytes) -> None:
    headers = [(b"cookie", b"a=b;" + blanks + b"__Host-bff" + blanks + b"=" + blanks + b"v" + blanks)]
    assert cookie_values(headers, COOKIE) == ["v"]


async def test_two_session_cookies_are_401_and_ours_is_removed(house: House) -> None:
    browser = house.browser()
    await browser.sign_in()
    both = f"{COOKIE}={browser.jar[COOKIE]}; {COOKIE}={SessionKey.new().value}"
    for asked in ("/bff/user", "/bff/user?anonymous=1"):
        answer = await browser.client.get(house.site + asked, headers={"cookie": both})
        assert answer.status_code == 401 and "Two cookies" in answer.json()["detail"]
    (line,) = answer.headers.get_list("set-cookie")
    assert line == f"{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"
    # Signing in and out work with both: the new cookie replaces ours.
    assert (await browser.client.get(f"{house.site}/bff/login", headers={"cookie": both})).status_code == 303
    headers = {"cookie": both, "x-bff": "1"}
    out = await browser.client.post(f"{house.site}/bff/logout", headers=headers)
    assert out.status_code == 200 and line in out.headers.get_list("set-cookie")
    own = {"cookie": f"{COOKIE}={browser.jar[COOKIE]}"}
    assert (await browser.client.get(f"{house.site}/bff/user", headers=own)).status_code == 401


async def test_a_sign_in_ignores_a_cookie_that_looks_like_its_own(house: House) -> None:
    victim, attacker = house.browser(), house.browser()
    callback = await attacker.begin()
    ((name, value),) = attacker.jar.items()
    for planted in (b"\xa0" + name.encode(), name.encode() + b"\x85", name.upper().encode()):
        headers = [(b"cookie", planted + b"=" + value.encode())]
        answer = await victim.client.get(callback, headers=headers)
        assert answer.status_code == 400 and "set-cookie" not in answer.headers
    # Two cookies of one flow: neither is accepted, and the one that can be removed is removed.
    twice = {"cookie": f"{name}={value}; {name}={value}"}
    answer = await victim.client.get(callback, headers=twice)
    assert answer.status_code == 400
    assert f"{name}=; Path=/" in answer.headers["set-cookie"]
    # Names that others set are never written back.
    many = "; ".join(f"__Host-bff-login-{'a' * 16}{letter}=x" for letter in "bcdefghijk")
    begun = await victim.client.get(f"{house.site}/bff/login", headers={"cookie": many})
    assert len(begun.headers.get_list("set-cookie")) == 1
