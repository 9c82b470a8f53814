"""Redis keys are those in docs/redis.md: their names, their types, a TTL for each, and one prefix with a version."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from bff.stores import keys
from bff.stores.cache import CacheStore
from bff.stores.dead_letters import DeadLetters
from bff.stores.events import BrokerEvent
from bff.stores.journal import Journal, channel_of
from bff.stores.outcomes import PendingOutcomes
from bff.stores.processes import Processes
from bff.stores.progress import Deliveries, Leases, Positions
from bff.stores.proofs import ProofStore
from bff.stores.redis.client import RedisClient
from bff.stores.revocations import RevocationStore
from bff.stores.sagas import OpenSagas
from bff.stores.sessions import SessionStore
from bff.stores.stream_slots import StreamSlots
from bff.stores.values import Values, value_channel

from ..conftest import ROOT
from .gateway import keyed, running

PAGE = ROOT / "docs" / "redis.md"
WISH = {"name": "mug"}
ISSUER = "https://id.example"


def documented() -> dict[str, str]:
    """Pattern → type of every key in docs/redis.md."""
    rows = re.findall(r"^\| ((?:`bff:[^`]*`(?:, )?)+) \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.M)
    named = [(name, kind) for names, kind in rows for name in re.findall(r"`([^`]*)`", names)]
    return {re.sub(r"<[^>]*>", "[^{}]+", re.escape(name).replace(r"\-", "-")): kind for name, kind in named}


def written() -> Iterator[tuple[str, str]]:
    """Where the code builds the name of a key or a channel, and the name, with `*` for each variable part."""

    def text(node: ast.expr) -> str:
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)

    for path in sorted((ROOT / "bff").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = [text(one) for one in node.args]
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                if node.func.id == "plain_name":
                    yield where, keys.plain_name(*given)
                elif node.func.id == "redis_key":
                    yield where, keys.redis_key(*given)


def test_only_one_file_names_the_prefix_of_keys_and_channels() -> None:
    files = [*(ROOT / "bff").rglob("*.py"), *(ROOT / "bff").rglob("*.lua")]
    assert any(path.suffix == ".lua" for path in files)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        # Prometheus' recorded names begin alike.
        if re.search(r"bff:(?!slo_)[^\s]", line) and path.name != "keys.py"
    ]
    assert found == []


def test_the_documented_prefix_is_the_one_in_use() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"bff:{keys.VERSION}:" == keys.PREFIX
    assert set(re.findall(r"`(bff:\d+:)", page)) == {keys.PREFIX}
    for name in (channel_of("x"), value_channel("x"), keys.redis_key("x", "y"), keys.plain_name("x")):
        assert name.startswith(keys.PREFIX)


def test_every_key_and_channel_that_the_code_names_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    known = {re.sub(r"<[^>]*>", "*", name) for name in re.findall(r"`(bff:[^`]*)`", page)}
    names = dict(written())
    assert len(names) > 20
    for where, name in names.items():
        # A variable part may be several names on the page, such as `sid:<hash>` and `sub:<hash>`.
        assert any(fnmatchcase(one, name) for one in known), f"{where}: {name}"


async def use_every_store(redis: RedisClient) -> None:
    """Write the keys that the requests of the test below do not write."""
    await redis.probe()
    await Processes(redis).heartbeat()
    await StreamSlots(redis).hold("ada", 3, ["0000000000001-p-1"])
    await Values(redis).put("level/x", 1, {}, "now")
    await Journal(redis).open("ada", None, make=True)
    await Leases(redis).hold("work", "me", 60)
    positions = Positions(redis)
    await positions.load(["events:jobs:0"])
    await positions.save("events:jobs:0", "1-0")
    await Deliveries(redis).record("cms", "1", 60)
    letters = DeadLetters(redis)
    for broker in ("redis", "nats"):
        await letters.add(BrokerEvent("events:jobs:0", "1-0", b"{}", broker), "unreadable")
    assert [await letters.replay(letter.id) for letter in await letters.page(10)] == [True, True]
    await letters.add(BrokerEvent("events:jobs:0", "2-0", b"{}", "redis"), "unreadable")
    cache = CacheStore(redis, wait=10)
    await cache.put("0" * 64, b"x", 60)
    await cache.put(f"{'0' * 64}.{keys.owner_tag('ada')}", b"x", 60)
    await cache.invalidate(["a"])
    await cache.invalidate_for_owner("ada", ["a"])
    revocations = RevocationStore(redis)
    await revocations.revoke_token(ISSUER, "t", keep=60)
    await revocations.record_session_end("s")
    sessions = SessionStore(redis)
    for id in ("s1", "s2"):
        await sessions.put(id, b"x", issuer=ISSUER, subject="ada", sid=id, lifetime=60, idle=60)
    await sessions.lock("s1", "me")
    await sessions.end_all(ISSUER, sid="s2")
    await sessions.claim_login(ISSUER, "state", "me", keep=60)
    await sessions.use_logout_token(ISSUER, "jti", keep=60)
    await sessions.put_logout_redirect("r", b"x", keep=60)
    proofs = ProofStore(redis)
    assert await proofs.use("thumbprint", "jti", keep=60)
    await proofs.nonce_secret(1, b"0" * 32, keep=60)
    sagas, outcomes = OpenSagas(redis), PendingOutcomes(redis)
    await sagas.track("job", "ada", "j1", 1, 1_000, "open")
    await sagas.track("job", "ada", "j2", 1, 1_000, "attention")
    await outcomes.run([outcomes.begin("ada", "mutation", "POST /api/jobs", 0, 60)])


async def test_every_key_of_a_busy_gateway_has_the_prefix_a_documented_name_and_a_ttl(redis_url: str) -> None:
    patterns = documented()
    # A busy machine may delay Redis and the upstream; this test looks only at the keys that remain.
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
        await use_every_store(link)
        found = {key.decode() for key in await link.call("KEYS", "*")}
        # A service's event stream, to which a dead letter was put back, is not the gateway's.
        assert {key for key in found if not key.startswith(keys.PREFIX)} == {"events:jobs:0"}
        for key in found - {"events:jobs:0"}:
            kinds = [kind for pattern, kind in patterns.items() if re.fullmatch(pattern, key)]
            assert kinds, f"{key} is not documented"
            assert (await link.call("TYPE", key)).decode() in [*kinds, "none"], key  # deleted meanwhile
            assert await link.call("PTTL", key) != -1, f"{key} would stay for ever"
        unseen = [name for name in patterns if not any(re.fullmatch(name, key) for key in found)]
        # A journal's queue of early events is empty here.
        assert {name.rpartition(":")[2] for name in unseen} <= {"parked", "waiting", "ended", "log"}, unseen
        for command in ("CHANNELS", "SHARDCHANNELS"):
            channels = await link.call("PUBSUB", command)
            assert all(channel.decode().startswith(keys.PREFIX) for channel in channels), channels
            assert channels or command == "SHARDCHANNELS"
