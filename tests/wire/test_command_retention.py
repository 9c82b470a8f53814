"""How long the outcome of a command is stored: as the settings say, or as the command declares."""

from __future__ import annotations

import pytest

from bff import DeclarationError, Gateway, Principal
from bff.stores.redis.client import RedisClient

from .signing_in import signing_in


async def test_the_answer_of_a_command_is_stored_as_long_as_it_declares(redis_url: str) -> None:
    gateway = Gateway("kept")

    @gateway.command("/api/plain")
    async def plain(who: Principal) -> str:
        return "plain"

    @gateway.command("/api/short", keep=120)
    async def short(who: Principal) -> str:
        return "short"

    async with signing_in(redis_url, gateway, {"": {}}) as place, RedisClient(redis_url, timeout=10) as redis:
        browser = place.browser()
        await browser.sign_in()
        left = {}
        for name in ("plain", "short"):
            known = set(await redis.call("KEYS", "*:claim:*"))
            headers = {"x-bff": "1", "idempotency-key": f'"{name}"'}
            answer = await browser.ask("POST", f"{place.site}/api/{name}", headers=headers)
            assert answer.json() == name
            (key,) = set(await redis.call("KEYS", "*:claim:*")) - known
            left[name] = await redis.call("PTTL", key) / 1000
            again = await browser.ask("POST", f"{place.site}/api/{name}", headers=headers)
            assert again.headers["idempotency-replayed"] == "true"
    assert 100 < left["short"] <= 120 and left["plain"] > 80_000


@pytest.mark.parametrize("keep", [0, 59, 604_801, -1])
def test_a_time_out_of_range_is_refused_when_the_command_is_declared(keep: float) -> None:
    gateway = Gateway("kept")
    with pytest.raises(DeclarationError, match="keep is seconds"):
        gateway.command("/api/short", keep=keep)(_command)


async def _command() -> None:
    return None
