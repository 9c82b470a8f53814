"""The examples of docs/proxies.md with the real programs: requests reach the gateway, the stream is not buffered, the
client's address is passed on, and a path prefix works from sign-in to stream."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from ..cases.test_path_prefix import below, signed_in
from ..conftest import ROOT, free_port, start_program, wait_for_port
from ..programs import program
from .upstream import raw_server

pytestmark = pytest.mark.slow

# A guard against hanging, not a measurement.
PATIENCE = 60


def example(language: str, number: int = 0) -> str:
    """A code block of the page."""
    text = (ROOT / "docs" / "proxies.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)[number]


def nginx(folder: Path, port: int, gateway: int, *, prefix: bool) -> list[str]:
    block = example("nginx")
    if prefix:
        block = re.sub(
            r"    location / \{.*?\n    \}\n", lambda _: example("nginx", 1), block, flags=re.DOTALL
        )
    block = re.sub(r"ssl_certificate.*;", "", block.replace("443 ssl http2", f"127.0.0.1:{port}"))
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{block.replace('127.0.0.1:8000', f'127.0.0.1:{gateway}')}}}\n"
    )
    return [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def haproxy(folder: Path, port: int, gateway: int, *, prefix: bool) -> list[str]:
    block = re.sub(r"bind :443.*", f"bind 127.0.0.1:{port}", example("haproxy"))
    (folder / "haproxy.cfg").write_text(block.replace("127.0.0.1:8000", f"127.0.0.1:{gateway}"))
    return [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


def caddy(folder: Path, port: int, gateway: int, *, prefix: bool) -> list[str]:
    block = example("caddy")
    if prefix:
        block = f"example.org {{\n{example('caddy', 1)}}}\n"
    block = block.replace("example.org", f"http://127.0.0.1:{port}").replace(
        "127.0.0.1:8000", f"127.0.0.1:{gateway}"
    )
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{block}")
    return [program("caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def apache(folder: Path, port: int, gateway: int, *, prefix: bool) -> list[str]:
    binary = Path(program("apache2"))
    modules = binary.parents[1] / "lib" / "apache2" / "modules"
    block = re.sub(r"    (SSL|Protocols).*\n", "", example("apache")).replace("*:443", f"127.0.0.1:{port}")
    loaded = "".join(
        f"LoadModule {name}_module {modules}/mod_{name}.so\n"
        for name in ("mpm_event", "authz_core", "proxy", "proxy_http")
    )
    (folder / "apache.conf").write_text(
        f"{loaded}ServerName 127.0.0.1\nServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\n"
        f"ErrorLog {folder}/error.log\nListen 127.0.0.1:{port}\n"
        f"{block.replace('127.0.0.1:8000', f'127.0.0.1:{gateway}')}"
    )
    return [str(binary), "-X", "-f", str(folder / "apache.conf")]


PROXIES = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy, "apache2": apache}


@asynccontextmanager
async def proxied(
    name: str, folder: Path, gateway: int, *, prefix: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the proxy in front of the gateway at this port."""
    folder.mkdir()
    port = free_port()
    command = PROXIES[name](folder, port, gateway, prefix=prefix)
    started = start_program(command, log=folder / "log", env={"HOME": str(folder)})
    try:
        await asyncio.to_thread(wait_for_port, port, process=started.process)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE
        ) as client:
            yield client
    finally:
        started.kill()


def port_of(client: httpx.AsyncClient) -> int:
    return httpx.URL(client.base_url).port or 0


async def events(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> list[str]:
    """The names of the first event that is no heartbeat and of the two after it, read while the stream stays open. On a
    busy machine the state may come later than the first heartbeat."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE), client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
                if found or name != "beat":
                    found.append(name)
                if len(found) == 3:
                    break
    return found


@pytest.mark.parametrize("name", PROXIES)
async def test_a_person_behind_the_proxy_signs_in_and_receives_events_at_once(
    redis_url: str, tmp_path: Path, name: str
) -> None:
    async with (
        below(redis_url, "", tmp_path / "site", live={"beat": 0.2}) as (gateway, _),
        proxied(name, tmp_path / "proxy", port_of(gateway)) as client,
    ):
        # HAProxy and Caddy check that the gateway is ready before they send requests to it.
        async with asyncio.timeout(PATIENCE):
            while (await client.get("/livez")).status_code != 200:
                await asyncio.sleep(0.1)
        assert (await client.get("/")).status_code == 200
        assert (await client.get("/a%2Fb")).status_code in (400, 404)
        ((cookie, value),) = (await signed_in(client, "", "")).items()
        session = {"cookie": f"{cookie}={value}"}
        assert (await client.get("/api/me", headers=session)).status_code == 200
        assert await events(client, "/bff/live", session) == ["snapshot", "beat", "beat"]


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_the_example_of_a_path_prefix_works_from_sign_in_to_stream(
    redis_url: str, tmp_path: Path, name: str
) -> None:
    async with (
        below(redis_url, "/desk", tmp_path / "site", live={"beat": 0.2}) as (gateway, _),
        proxied(name, tmp_path / "proxy", port_of(gateway), prefix=True) as client,
    ):
        assert (await client.get("/desk/")).status_code == 200
        assert (await client.get("/desk/assets/app.js")).status_code == 200
        ((cookie, value),) = (await signed_in(client, "/desk", "/desk")).items()
        assert cookie == "__Host-bff.desk"
        session = {"cookie": f"{cookie}={value}"}
        assert (await client.get("/desk/api/me", headers=session)).json() == {"name": "ada at desk"}
        assert await events(client, "/desk/bff/live", session) == ["snapshot", "beat", "beat"]


@pytest.mark.parametrize("name", PROXIES)
async def test_the_proxy_passes_on_the_address_of_the_client(tmp_path: Path, name: str) -> None:
    async def echo(target: str, head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head))

    async with (
        raw_server(echo) as server,
        proxied(name, tmp_path / "proxy", server.port) as client,
        asyncio.timeout(PATIENCE),
    ):
        while (answer := await client.get("/x")).status_code != 200:
            await asyncio.sleep(0.1)
        seen = answer.text.lower()
        assert re.search(r"^x-forwarded-for: .*127\.0\.0\.1\s*$", seen, re.MULTILINE), seen
        assert "http/1.1" in seen.splitlines()[0]
