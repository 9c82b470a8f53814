"""A gateway with one or several providers, over real sockets, for tests of sign-in."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from bff import Gateway
from bff.edge.app.build import App
from bff.edge.settings import Settings

from ..waiting import GUARD
from .gateway import serving
from .oidc_provider import CLIENT, SECRET, OidcProvider
from .served import listening, served
from .test_signin import Browser


@dataclass
class Place:
    """site: its public URL; providers: by name, "" is `oidc`."""

    site: str
    port: int
    providers: dict[str, OidcProvider]
    app: App
    client: httpx.AsyncClient
    settings: dict[str, Any] = field(default_factory=dict)

    def browser(self, host: str | None = None) -> Browser:
        """host: another host than the public URL's."""
        return Browser(self.client, self.site if host is None else f"http://{host}:{self.port}")


@asynccontextmanager
async def signing_in(
    redis_url: str, gateway: Gateway, providers: dict[str, dict[str, Any]], **more: Any
) -> AsyncIterator[Place]:
    """providers: by name, further settings of each. In their `hosts`, PORT stands for the gateway's port."""
    sock = listening()
    port = sock.getsockname()[1]
    site = f"http://127.0.0.1:{port}"
    made: dict[str, OidcProvider] = {}
    socks: dict[str, socket.socket] = {}
    each: dict[str, dict[str, Any]] = {}
    for name, settings in providers.items():
        hosts = [host.replace("PORT", str(port)) for host in settings.get("hosts", ())]
        where = f"http://{hosts[0]}" if hosts else site
        provider = OidcProvider(f"{where}/bff/callback{f'/{name}' if name else ''}")
        socks[name] = listening()
        provider.issuer = f"http://127.0.0.1:{socks[name].getsockname()[1]}"
        made[name] = provider
        own = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET}
        each[name] = own | settings | {"hosts": hosts}
    chosen = {
        "public_url": site,
        "redis": {"url": redis_url, "timeout": 10},
        "admission": {"lag": 10, "standing": 10},
        "limits": {"login": "100000/minute", "default": "100000/minute"},
        "oidc": each.pop("", None),
        "providers": each,
        **more,
    }
    async with AsyncExitStack() as stack:
        for name, provider in made.items():
            await stack.enter_async_context(served(provider.app, socks[name]))
        client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=GUARD))
        app = await gateway.start(Settings.model_validate(chosen))
        stack.push_async_callback(gateway.stop)
        await stack.enter_async_context(serving(gateway, sock, lifespan="off"))
        yield Place(site, port, made, app, client, chosen)
