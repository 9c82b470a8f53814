"""A gateway below a path prefix: `https://example.org/desk/` is one gateway, `https://example.org/shop/` another.

Input: `BFF_PUBLIC_URL` with a path, behind a proxy that removes the prefix (nginx `proxy_pass http://gateway/;`, Caddy
`handle_path`) and behind one that does not.
Right: both work. The addresses that browsers get (redirects, `Location`, links, `type` of problems) begin with the
prefix; a return address outside of it is refused; the cookies of two gateways on one host have different names, because
`__Host-` cookies belong to the whole host.
Source: RFC 6265bis section 4.1.3.2, ASGI (`root_path`), RFC 3986 section 3.3.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from bff import Gateway, Principal
from bff.cli.check import mistakes
from bff.edge.http.public_path import PublicPath
from bff.edge.settings import Settings

from ..wire.gateway import serving
from ..wire.oidc_provider import CLIENT, SECRET, OidcProvider
from ..wire.own_connection import behind_own_connection
from .test_pages_for_people import PERSON, links


class Who(BaseModel):
    name: str


def declared(name: str, folder: Path) -> Gateway:
    gateway = Gateway(name)
    (folder / "index.html").write_text(f"<!doctype html><title>{name}</title>")
    (folder / "app.js").write_text("export {};")
    gateway.site(folder / "index.html", folders={"/assets": folder}, fallback=True)

    @gateway.view("/api/me")
    async def me(who: Principal) -> Who:
        return Who(name=f"{who.subject} at {name}")

    return gateway


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    """The cookies that an answer sets, by name; emptied ones too."""
    pairs = [line.partition(";")[0].partition("=") for line in answer.headers.get_list("set-cookie")]
    return {name: value for name, _, value in pairs}


@asynccontextmanager
async def below(
    redis_url: str, prefix: str, folder: Path, **more: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, OidcProvider]]:
    """The gateway as a proxy would reach it, and the provider, in this process. more: settings."""
    site = f"http://example.test{prefix}"
    provider = OidcProvider(f"{site}/bff/callback")
    folder.mkdir(exist_ok=True)
    gateway = declared(prefix.strip("/").replace("/", "-") or "root", folder)
    async with provided(provider):
        settings = Settings.model_validate(
            {
                "redis": {"url": redis_url},
                "public_url": site,
                "oidc": {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET},
                "admission": {"lag": 5},
                **more,
            }
        )
        runtime = await gateway.start(settings)
        try:
            async with (
                behind_own_connection(gateway, runtime) as port,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
            ):
                yield client, provider
        finally:
            await gateway.stop()


@asynccontextmanager
async def provided(provider: OidcProvider) -> AsyncIterator[None]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    provider.issuer = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with serving(provider.app, sock):
        yield


async def signed_in(client: httpx.AsyncClient, hop: str, prefix: str) -> dict[str, str]:
    """Sign in at the provider; returns the session cookie. hop: the part of the prefix that the proxy leaves."""
    begun = await client.get(f"{hop}/bff/login?return={prefix}/orders%3Fa=1")
    assert begun.status_code == 303, begun.text
    (flow,) = cookies_of(begun)
    assert flow.startswith(f"__Host-bff{prefix.replace('/', '.')}-login-")
    async with httpx.AsyncClient(trust_env=False) as outside:
        back = (await outside.get(begun.headers["location"])).headers["location"]
    assert back.startswith(f"http://example.test{prefix}/bff/callback?")
    path = back.removeprefix(f"http://example.test{prefix}")
    cookie = {"cookie": f"{flow}={cookies_of(begun)[flow]}"}
    landed = await client.get(f"{hop}{path}", headers=cookie)
    assert landed.status_code == 200, landed.text
    assert f'content="0;url={prefix}/orders?a=1"' in landed.text
    name = f"__Host-bff{prefix.replace('/', '.')}"
    assert all("Path=/;" in line for line in landed.headers.get_list("set-cookie"))
    return {name: cookies_of(landed)[name]}


@pytest.mark.parametrize("proxy", ["removes the prefix", "leaves the prefix"])
@pytest.mark.parametrize("prefix", ["/desk", "/a/b"])
async def test_a_person_signs_in_reads_and_leaves(
    redis_url: str, tmp_path: Path, prefix: str, proxy: str
) -> None:
    hop = "" if proxy == "removes the prefix" else prefix
    async with below(redis_url, prefix, tmp_path) as (client, _):
        for path in ("/", "/orders/7"):
            page = await client.get(f"{hop}{path}", headers=PERSON)
            assert (page.status_code, "<title>" in page.text) == (200, True), path
        if hop:
            assert (await client.get(hop, headers=PERSON)).status_code == 200
        assert (await client.get(f"{hop}/assets/app.js")).status_code == 200
        for path in ("/livez", "/readyz", "/openapi.json", "/docs"):
            assert (await client.get(f"{hop}{path}")).status_code == 200, path
        problem = (await client.get(f"{hop}/api/me")).json()
        assert problem["type"] == f"http://example.test{prefix}/docs/problems#unauthenticated"
        page = await client.get(f"{hop}/api/me?x=1", headers=PERSON)
        assert links(page.text) == [f"{prefix}/bff/login?return={prefix}/api/me%3Fx%3D1", f"{prefix}/"]
        reload = await client.get(f"{hop}/api/me?x=1", headers=PERSON | {"sec-fetch-site": "cross-site"})
        assert f'content="0;url={prefix}/api/me?x=1"' in reload.text

        ((name, value),) = (await signed_in(client, hop, prefix)).items()
        session = {"cookie": f"{name}={value}"}
        me = await client.get(f"{hop}/api/me", headers=session)
        assert me.json() == {"name": f"ada at {prefix.strip('/').replace('/', '-')}"}
        assert (await client.get(f"{hop}/bff/user", headers=session)).json()["sub"] == "ada"
        # The names of a gateway at the root, or below another prefix, are not known here.
        for other in ("__Host-bff", "__Host-bff.other"):
            assert (
                await client.get(f"{hop}/api/me", headers={"cookie": f"{other}={value}"})
            ).status_code == 401
        out = await client.post(f"{hop}/bff/logout", headers=session | {"x-bff": "1"})
        assert out.status_code == 200
        redirect = out.json()["redirect"]
        assert redirect.startswith((f"{prefix}/", "http://127.0.0.1"))
        assert cookies_of(out) == {name: ""}
        assert (await client.get(f"{hop}/api/me", headers=session)).status_code == 401


@pytest.mark.parametrize("outside", ["/", "/orders", "/desktop", "/desk/../shop", "//desk/x", "/Desk/"])
async def test_a_return_address_outside_the_prefix_is_refused(
    redis_url: str, tmp_path: Path, outside: str
) -> None:
    async with below(redis_url, "/desk", tmp_path) as (client, _):
        answer = await client.get("/bff/login", params={"return": outside})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-request")
        begun = await client.get("/bff/login")
        assert begun.status_code == 303, "without one it is the gateway's start page"


async def test_two_gateways_on_one_host_have_separate_sessions(redis_url: str, tmp_path: Path) -> None:
    async with (
        below(redis_url, "/desk", tmp_path / "desk") as (desk, _),
        below(redis_url, "/shop", tmp_path / "shop") as (shop, _),
    ):
        jar = await signed_in(desk, "/desk", "/desk") | await signed_in(shop, "", "/shop")
        assert len(jar) == 2
        both = {"cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        assert (await desk.get("/desk/api/me", headers=both)).json() == {"name": "ada at desk"}
        assert (await shop.get("/api/me", headers=both)).json() == {"name": "ada at shop"}


async def test_the_description_names_the_cookie(redis_url: str, tmp_path: Path) -> None:
    async with below(redis_url, "/desk", tmp_path) as (client, _):
        document: Any = json.loads((await client.get("/desk/openapi.json")).text)
        assert document["components"]["securitySchemes"]["session"]["name"] == "__Host-bff.desk"


def test_a_route_that_begins_like_the_prefix_is_reported(tmp_path: Path) -> None:
    gateway = declared("desk", tmp_path)

    @gateway.view("/desk/extra", public=True)
    async def extra() -> Who:
        return Who(name="x")

    settings = Settings.model_validate({"public_url": "https://example.org/desk"})
    assert [one for one in mistakes(gateway, settings) if "/desk/extra begins with /desk" in one]
    root = Settings.model_validate({"public_url": "https://example.org"})
    assert not [one for one in mistakes(gateway, root) if "begins with" in one]


@pytest.mark.parametrize(
    ("path", "raw", "entered"),
    [
        ("/x", b"/x", ("/desk/x", b"/desk/x")),
        ("/desk/x", b"/desk/x", ("/desk/x", b"/desk/x")),
        ("/desk", b"/desk", ("/desk/", b"/desk/")),
        ("/desktop", b"/desktop", ("/desk/desktop", b"/desk/desktop")),
        ("/ü", b"/%c3%bc", ("/desk/ü", b"/desk/%c3%bc")),
        ("/desk/x", None, ("/desk/x", b"/desk/x")),
    ],
)
def test_the_prefix_is_removed_once(path: str, raw: bytes | None, entered: tuple[str, bytes]) -> None:
    scope: dict[str, Any] = {"path": path, "raw_path": raw, "root_path": ""}
    public = PublicPath.of("https://example.org/desk/")
    for _ in range(2):
        public.enter(scope)
        assert (scope["path"], scope["raw_path"], scope["root_path"]) == (*entered, "/desk")
    mounted = {"path": "/host/x", "root_path": "/host"}
    public.enter(mounted)
    assert mounted == {"path": "/host/x", "root_path": "/host"}
