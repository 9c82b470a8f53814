"""This gateway's row: its own Valkey, browser sessions in it as sign-ins leave them, and a proof that checks and counts
are active.

Each trial begins with an empty store, so that no run finds the journals of an earlier one.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

from bff.edge.access.session import COOKIE, Sessions
from bff.edge.access.session_record import SessionRecord, TokenSet
from bff.edge.settings import SessionSettings
from bff.stores.redis.client import RedisClient
from bff.stores.sessions import SessionStore

from ..fanout.earlier import BASE, earlier_missing, earlier_paths
from ..fanout.issuer import AUDIENCE, ISSUER, Issuer
from ..fanout.place import valkey_program
from ..fanout.process import free_port
from .contenders import BEAT, Contender, Place, Prepared
from .gateway import SCOPE
from .publish import OnTheBus, ThroughRedis

_AT_ONCE = 500
_STREAM = "/bff/live"
_EXTRA = 2
"""Further people: one who signs out, one without the scope."""


@cache
def _issuer(people: int) -> Issuer:
    return Issuer(people)


async def _signed_in(redis: str, people: int) -> list[str]:
    """The cookies of so many signed-in people; the last one was not granted the scope."""
    now = time.time()
    link = RedisClient(redis, timeout=10.0)
    sessions = Sessions(SessionStore(link), SessionSettings())

    async def one(number: int, token: str) -> str:
        tokens = TokenSet(
            token,
            issued_at=now,
            expires_at=now + 3600,
            scopes=frozenset({"openid", SCOPE} if number < people - 1 else {"openid"}),
            refresh_token=secrets.token_urlsafe(32),
            id_token=token,
        )
        subject = f"person-{number}"
        claims = {"name": f"Person {number}"}
        value = await sessions.start(SessionRecord(ISSUER, subject, f"sid-{number}", claims, tokens))
        return f"{COOKIE}={value}"

    cookies: list[str] = []
    try:
        everyone = list(enumerate(_issuer(people).tokens))
        for start in range(0, people, _AT_ONCE):
            cookies += await asyncio.gather(*(one(*who) for who in everyone[start : start + _AT_ONCE]))
    finally:
        await link.close()
    return cookies


@asynccontextmanager
async def _prepare(place: Place, *, earlier: bool = False) -> AsyncIterator[Prepared]:
    valkey, redis = await asyncio.to_thread(valkey_program, place.folder)
    try:
        cookies = await _signed_in(redis, place.streams + _EXTRA)
        admin = free_port()
        oidc = {
            "issuer": ISSUER,
            "client_id": AUDIENCE,
            "client_secret": "not-asked-for",
            "scopes": ["openid", SCOPE],
        }
        env = {
            "BFF_ADMIN_PORT": str(admin),
            "BFF_REDIS__URL": redis,
            "BFF_OIDC": json.dumps(oidc),
            "BFF_LIVE__BEAT": str(BEAT),
            "BFF_LIVE__STREAM_KEYS": '["events:orders:{p}"]',
            "BFF_HTTP__CONNECTIONS": str(place.streams + 1000),
            # A hundred simultaneous requests that take as long as ten thousand streams are an overload; here they must
            # be admitted.
            "BFF_ADMISSION__LAG": "10",
            # Clients, publisher and Valkey share the CPUs that are not the gateway's.
            "BFF_REDIS__TIMEOUT": "5",
        }
        command = [sys.executable, "-m", "bff", "serve", "benchmarks.live.gateway:live"]
        command += ["--port", str(place.port)]
        if earlier:
            # -P: the package that is found must not be that of the working directory.
            command.insert(1, "-P")
            env["PYTHONPATH"] = earlier_paths(place.folder)
        yield Prepared(
            command,
            env,
            ThroughRedis(redis),
            cookies=cookies[: place.streams],
            store=valkey,
            bus=OnTheBus(redis),
            proof=lambda: _proof(place.port, admin, cookies[place.streams :], place.folder),
        )
    finally:
        await asyncio.to_thread(valkey.stop)


async def _ask(port: int, request: str, until: bytes = b"\r\n\r\n") -> bytes:
    """What arrives, up to the awaited text."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{request}Host: x\r\n\r\n".encode())
        async with asyncio.timeout(10):
            return await reader.readuntil(until)
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        raise RuntimeError(f"no {until!r} after {request!r}: {error}") from None
    finally:
        writer.close()


def _metrics(admin: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
        text: bytes = answer.read()
    return text.decode()


async def _proof(port: int, admin: int, cookies: Sequence[str], folder: Path) -> None:
    """An anonymous request, and a person without the scope, get no stream; a stream ends with its session; requests are
    counted and logged."""
    leaver, unscoped = cookies
    stream = f"GET {_STREAM} HTTP/1.1\r\n"
    for cookie, status in (("", b"401"), (f"Cookie: {unscoped}\r\n", b"403")):
        head = await _ask(port, stream + cookie)
        if not head.startswith(b"HTTP/1.1 " + status):
            raise RuntimeError(f"not {status!r} but {head!r}")
    ended = asyncio.create_task(_ask(port, f"{stream}Cookie: {leaver}\r\n", b'"logout"'))
    while "\nbff_stream_open 1.0\n" not in await asyncio.to_thread(_metrics, admin):
        if ended.done():
            await ended
        await asyncio.sleep(0.05)
    await _ask(port, f"POST /bff/logout HTTP/1.1\r\nX-BFF: 1\r\nContent-Length: 0\r\nCookie: {leaver}\r\n")
    await ended
    told = _logged(folder)
    if told < 3:
        raise RuntimeError(f"the access log has {told} of three requests")


def _logged(folder: Path) -> int:
    lines = (line for log in folder.glob("*.log") for line in log.read_text().splitlines())
    return sum(f'"{_STREAM}"' in line for line in lines)


OURS = Contender(
    "bff",
    "a browser's session checked in Redis, its scope, limits, ids, access log, metrics, a stream slot; the "
    "stream ends with the session; a journal to resume from and values, both from Redis",
    _prepare,
    own=_STREAM,
    everybody=f"{_STREAM}?value=tick/all",
    versions=lambda: (
        f"uvicorn {version('uvicorn')}, uvloop {version('uvloop')}, hiredis {version('hiredis')}"
    ),
    ready="event: snapshot",
    tasks="/tasks",
)
EARLIER = replace(
    OURS,
    name=f"bff at {BASE}",
    does="an earlier commit of this project; its sessions, journals and values are written by the code of today",
    prepare=lambda place: _prepare(place, earlier=True),
    missing=earlier_missing,
    most=2_000,
)
