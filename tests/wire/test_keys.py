"""What the gateway leaves in Redis is what docs/redis.md says: its names, its kinds, and nothing without an end."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from bff.stores.redis.client import RedisClient
from bff.stores.values import Values

from ..conftest import ROOT
from .gateway import keyed, running

PAGE = ROOT / "docs" / "redis.md"
WISH = {"name": "mug"}


def documented() -> dict[str, str]:
    """Pattern → kind."""
    rows = re.findall(r"^\| `(bff:[^`]*)` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"<[^>]*>", "[^{}]+", re.escape(key).replace(r"\-", "-")): kind for key, kind in rows}


def test_every_key_that_a_store_names_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    known = {re.sub(r"<[^>]*>", "*", key) for key in re.findall(r"`(bff:[^`]*)`", page)}
    for path in sorted((ROOT / "bff").rglob("*.py")):
        for form, literal in re.findall(r'(f?)"(bff:[^" ]*)"', path.read_text(encoding="utf-8")):
            if path.parent.name != "stores" and "{" not in literal:
                continue
            name = literal
            if form:
                name = re.sub(r"\{\{(.*?)\}\}(?!\})", r"<<\1>>", name)
                name = (
                    re.sub(r"\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "*", name).replace("<<", "{").replace(">>", "}")
                )
            name = {"bff:{*}:*": "bff:{*}:meta"}.get(name, name)
            # What the code fills in may be several names on the page, such as `sid:<hash>` and `sub:<hash>`.
            assert any(fnmatchcase(key, name) for key in known), f"{path.name}: {literal} ({name})"


async def test_what_a_busy_gateway_leaves_is_documented_and_ends(redis_url: str) -> None:
    patterns = documented()
    # A busy machine may keep Redis and the upstream waiting: what is asked here is what they are left with.
    patient = {"url": redis_url, "timeout": 10}
    async with (
        running(redis_url, redis=patient, patience=10) as world,
        RedisClient(redis_url, timeout=10) as link,
    ):
        for path, wanted, key, status in (
            ("/api/jobs", {"lines": [WISH]}, "job", 202),
            ("/api/things/ok", WISH, "k", 200),
            ("/api/things/ok", WISH, "k", 200),
        ):
            told = await world.client.post(path, headers=keyed(key), json=wanted)
            assert told.status_code == status, path
        for path in ("/api/open/ok", "/api/search", "/bff/live/snapshot", "/bff/sagas/job/j1"):
            assert (await world.get(path)).status_code == 200, path
        assert await Values(link).put("level/x", 1, {}, "now")
        keys = [key.decode() for key in await link.call("KEYS", "*")]
        assert len(keys) > 10
        for key in keys:
            kinds = [kind for pattern, kind in patterns.items() if re.fullmatch(pattern, key)]
            assert kinds, f"{key} is not documented"
            assert (await link.call("TYPE", key)).decode() in [*kinds, "none"], key  # gone meanwhile
            assert await link.call("PTTL", key) != -1, f"{key} would stay for ever"
