"""TLS with an upstream over real sockets: both sides verify each other, and certificates change while the gateway
runs."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from bff.edge.app.clients import upstream_client
from bff.edge.settings.upstream import UpstreamSettings
from bff.edge.signing_keys import rotate
from bff.network import TlsTrust
from bff.policies.events import ignore
from bff.transport.aiohttp_wire import AiohttpWire
from bff.transport.httpx_wire import HttpxWire
from bff.transport.wire import WireConnectionError, WireRequest

from ..waiting import GUARD
from .authority import Authority, Pair, tls_server
from .gateway import bearer
from .test_gateway_serve import serve

GET = WireRequest("GET", "/", {"accept": "application/json"})


@pytest.fixture
def inside(tmp_path: Path) -> Authority:
    """The authority that both sides trust."""
    return Authority(tmp_path / "inside", "inside")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "other", "other")


@pytest.fixture
def service(inside: Authority) -> Pair:
    return inside.pair("stock", host="localhost")


@pytest.fixture(params=[AiohttpWire, HttpxWire])
def kind(request: pytest.FixtureRequest) -> type[AiohttpWire | HttpxWire]:
    found: type[AiohttpWire | HttpxWire] = request.param
    return found


def replaced(path: Path, data: bytes) -> None:
    # File times have a resolution of some milliseconds.
    time.sleep(0.02)
    path.write_bytes(data)


def wire(
    kind: type[AiohttpWire | HttpxWire], port: int, trust: TlsTrust | None, host: str = "localhost"
) -> AiohttpWire | HttpxWire:
    return kind(f"https://{host}:{port}", connections=4, max_body=1000, at="127.0.0.1", trust=trust)


async def test_both_sides_verify_the_certificate_of_the_other(
    kind: type[AiohttpWire | HttpxWire], inside: Authority, service: Pair
) -> None:
    mine = inside.pair("gateway")
    async with tls_server(service, inside) as server:
        made = wire(kind, server.port, TlsTrust("stock", cert=mine.cert, key=mine.key, ca=inside.file))
        assert (await made.send(GET)).status == 200
        assert (await made.send(GET)).status == 200
        assert server.callers == ["gateway", "gateway"]
        assert server.connections == 1, "kept between calls"
        await made.close()


async def test_a_side_without_a_valid_certificate_is_refused(
    kind: type[AiohttpWire | HttpxWire], inside: Authority, other: Authority, service: Pair
) -> None:
    mine, foreign = inside.pair("gateway"), other.pair("gateway")
    ended = inside.pair("ended", days=-1)
    trusts = {
        "we show no certificate": TlsTrust("stock", ca=inside.file),
        "ours is of an authority that they do not trust": TlsTrust(
            "stock", cert=foreign.cert, key=foreign.key, ca=inside.file
        ),
        "ours has ended": TlsTrust("stock", cert=ended.cert, key=ended.key, ca=inside.file),
        "theirs is of an authority that we do not trust": TlsTrust(
            "stock", cert=mine.cert, key=mine.key, ca=other.file
        ),
        "the system's authorities did not issue theirs": TlsTrust("stock", cert=mine.cert, key=mine.key),
    }
    async with tls_server(service, inside) as server:
        for why, trust in trusts.items():
            made = wire(kind, server.port, trust)
            with pytest.raises(WireConnectionError) as raised:
                await made.send(GET)
            assert not raised.value.stale, why
            await made.close()
        stranger = wire(
            kind, server.port, TlsTrust("stock", cert=mine.cert, key=mine.key, ca=inside.file), "elsewhere"
        )
        with pytest.raises(WireConnectionError):
            await stranger.send(GET)
        await stranger.close()
        assert server.callers == [], "nothing was sent to any of them"


async def test_new_certificates_are_used_for_every_call_after_them_without_a_restart(
    kind: type[AiohttpWire | HttpxWire], tmp_path: Path, inside: Authority, service: Pair
) -> None:
    mine = inside.pair("one", into="mine")
    trust = TlsTrust("stock", cert=mine.cert, key=mine.key, ca=inside.file)
    async with tls_server(service, inside) as server:
        made = wire(kind, server.port, trust)
        await made.send(GET)
        time.sleep(0.02)
        inside.pair("two", into="mine")
        await made.send(GET)
        assert server.callers == ["one", "one"], "the files have not been checked yet"
        await trust.watch.check()
        await made.send(GET)
        assert server.callers == ["one", "one", "two"], (
            "the idle connection with the old certificate is not used"
        )
        assert server.connections == 2
        await made.close()


async def test_a_half_written_certificate_pair_has_no_effect_until_it_is_whole(
    kind: type[AiohttpWire | HttpxWire], tmp_path: Path, inside: Authority, service: Pair
) -> None:
    mine, new = inside.pair("one", into="mine"), inside.pair("two", into="new")
    trust = TlsTrust("stock", cert=mine.cert, key=mine.key, ca=inside.file)
    async with tls_server(service, inside) as server:

        async def called() -> str | None:
            # A new connection each time.
            made = wire(kind, server.port, trust)
            await made.send(GET)
            await made.close()
            return server.callers[-1]

        replaced(mine.cert, new.cert.read_bytes())
        await trust.watch.check()
        assert await called() == "one", "a certificate without its key"
        mine.cert.unlink()
        await trust.watch.check()
        assert await called() == "one", "no file"
        replaced(mine.cert, new.cert.read_bytes()[:200])
        await trust.watch.check()
        assert await called() == "one", "half a file"
        replaced(mine.cert, new.cert.read_bytes())
        replaced(mine.key, new.key.read_bytes())
        await trust.watch.check()
        assert await called() == "two"


async def test_a_removed_authority_is_no_longer_trusted(
    kind: type[AiohttpWire | HttpxWire], tmp_path: Path, inside: Authority, other: Authority, service: Pair
) -> None:
    believed = tmp_path / "believed.pem"
    shutil.copy(inside.file, believed)
    trust = TlsTrust("stock", ca=believed)
    async with tls_server(service, None) as server:
        made = wire(kind, server.port, trust)
        await made.send(GET)
        replaced(believed, other.file.read_bytes())
        await trust.watch.check()
        with pytest.raises(WireConnectionError):
            await made.send(GET)
        replaced(believed, other.file.read_bytes() + inside.file.read_bytes())
        await trust.watch.check()
        assert (await made.send(GET)).status == 200
        await made.close()


async def test_an_upstream_client_watches_its_files_also_behind_a_link(
    kind: type[AiohttpWire | HttpxWire], tmp_path: Path, inside: Authority, service: Pair
) -> None:
    # As a mounted secret is changed: the link is switched to another folder in one step.
    for name in ("one", "two"):
        pair = inside.pair(name)
        (tmp_path / name).mkdir()
        shutil.copy(pair.cert, tmp_path / name / "tls.crt")
        shutil.copy(pair.key, tmp_path / name / "tls.key")
    mounted = tmp_path / "mounted"
    mounted.symlink_to(tmp_path / "one")
    async with tls_server(service, inside) as server:
        settings = UpstreamSettings.model_validate(
            {
                "url": f"https://localhost:{server.port}",
                "wire": "aiohttp" if kind is AiohttpWire else "httpx",
                "tls": {
                    "cert": mounted / "tls.crt",
                    "key": mounted / "tls.key",
                    "ca": inside.file,
                    "look": 0.05,
                },
            }
        )
        made = upstream_client("stock", settings, ignore)
        await made.backends.start()
        backend = made.backends.pick()
        await backend.wire.send(GET)
        beside = tmp_path / "beside"
        beside.symlink_to(tmp_path / "two")
        beside.replace(mounted)
        async with asyncio.timeout(GUARD):
            while server.callers[-1] != "two":
                await backend.wire.send(GET)
                await asyncio.sleep(0.02)
        assert "one" in server.callers
        await made.backends.close()


async def test_bff_serve_changes_certificates_and_keys_without_a_restart_or_a_failed_request(
    redis_url: str, tmp_path: Path, inside: Authority, service: Pair
) -> None:
    mine = inside.pair("one", into="mine")
    keys = tmp_path / "keys.pem"
    rotate(keys)
    async with tls_server(service, inside) as server:
        shelf = "BFF_UPSTREAMS__SHELF"
        files = {"CERT": mine.cert, "KEY": mine.key, "CA": inside.file, "LOOK": 0.05}
        env = {
            f"{shelf}__URL": f"https://localhost:{server.port}",
            f"{shelf}__IDENTITY": "internal",
            "BFF_INTERNAL__KEYS": str(keys),
            "BFF_INTERNAL__LOOK": "0.05",
            "BFF_LIMITS__DEFAULT": "100000/minute",
            **{f"{shelf}__TLS__{name}": str(value) for name, value in files.items()},
        }
        async with serve(redis_url, tmp_path, **env) as served:
            statuses: list[int] = []

            async def ask() -> None:
                answer = await served.client.get("/api/required/x", headers=bearer())
                statuses.append(answer.status_code)

            published = f"{served.admin}/.well-known/jwks.json"
            before = (await served.client.get(published)).json()
            await ask()
            replaced(mine.cert, inside.pair("two", into="two").cert.read_bytes())
            for _ in range(20):
                await ask()
            assert server.callers[-1] == "one", "a certificate whose key file is not there yet"
            replaced(mine.key, (tmp_path / "inside" / "two.key").read_bytes())
            rotate(keys)
            async with asyncio.timeout(GUARD):
                while server.callers[-1] != "two" or (await served.client.get(published)).json() == before:
                    await ask()
                    await asyncio.sleep(0.02)
            assert set(statuses) == {200}
            assert "changed files cannot be used" in served.said()


async def test_an_upstream_with_certificates_is_never_called_over_plain_http(
    tmp_path: Path, inside: Authority
) -> None:
    file = tmp_path / "addresses"
    file.write_text("http://127.0.0.1:1\n")
    settings = UpstreamSettings.model_validate(
        {"url": "https://localhost:1", "tls": {"ca": inside.file}, "balance": {"file": file}}
    )
    made = upstream_client("stock", settings, ignore)
    await made.backends.start()
    assert [backend.name for backend in made.backends] == ["https://localhost:1"]
    await made.backends.close()


def test_an_unusable_tls_file_is_named_in_the_error(
    tmp_path: Path, inside: Authority, other: Authority
) -> None:
    mine, foreign = inside.pair("mine"), other.pair("foreign")
    locked = inside.pair("locked", password=b"secret")
    empty = tmp_path / "empty.pem"
    empty.touch()
    wrong: dict[str, dict[str, Path]] = {
        "nothing.crt: No such file": {"cert": tmp_path / "nothing.crt", "key": mine.key},
        "foreign.key is not the key of": {"cert": mine.cert, "key": foreign.key},
        "not a certificate and its unencrypted key": {"cert": locked.cert, "key": locked.key},
        "empty.pem and": {"cert": empty, "key": mine.key},
        "empty.pem contains no certificate": {"ca": empty},
        "away.pem: No such file": {"ca": tmp_path / "away.pem"},
    }
    for said, files in wrong.items():
        with pytest.raises(ValueError, match=said):
            TlsTrust("stock", **files)  # type: ignore[arg-type]  # names of its own parameters
