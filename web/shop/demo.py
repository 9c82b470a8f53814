"""`make demo`: the whole system on one machine, on loopback: a Valkey, the development sign-in (called identity), six
services, the gateway with the page.

Prints one address; Ctrl-C ends everything it started. Its data is below `.bff/` (DEMO_HOME chooses another folder);
delete it to start afresh. DEMO_OFFSET is added to every port, for a machine where the usual ones are in use.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import uvicorn

from bff import DeclarationError
from bff.edge import settings as settings_file
from bff.edge.observe.log_lines import log_to_stderr
from bff.edge.server import run
from bff.edge.settings import Settings
from bff.edge.signing_keys import rotate

from . import embedded
from .activity import Activity
from .embedded import CannotStart
from .gateway import shop
from .panel import Panel
from .processes import Fleet, Service, check_ports

HOME = Path(os.environ.get("DEMO_HOME", ".bff"))
OFFSET = int(os.environ.get("DEMO_OFFSET", "0"))
PORTS = {
    name: OFFSET + port
    for name, port in {
        "identity": 8101,
        "catalog": 8102,
        "inventory": 8103,
        "payments": 8104,
        "shipping": 8105,
        "orders": 8106,
        "notifications": 8107,
    }.items()
}
GATEWAY, ADMIN = OFFSET + 8000, OFFSET + 8001
PUBLIC = f"http://localhost:{GATEWAY}"
# The keys that sign internal tokens.
KEYS = HOME / "internal-keys.pem"
ISSUER = f"http://localhost:{PORTS['identity']}"
PEOPLE = Path(__file__).parent / "people.toml"
# For loopback only; a deployment sets its own.
SECRET = "demo-only-secret"  # noqa: S105 - says itself that it is none
HOOK_SECRET = "demo-only-secret-of-the-catalog"  # noqa: S105 - the same


def service_environment(redis_url: str, data: Path) -> dict[str, str]:
    """The environment of every service of the demo, the sign-in among them."""
    return {
        "SIGN_IN_CLIENT_SECRET": SECRET,
        "ORDERS_CLIENT_SECRET": SECRET,
        "OPERATOR_CLIENT_SECRET": SECRET,
        "SHOP_DATA_DIR": str(data),
        "SHOP_REDIS_URL": redis_url,
        "SHOP_FAULTS": "1",
        "SHOP_IDENTITY_URL": ISSUER,
        "SHOP_GATEWAY_KEYS_URL": f"http://127.0.0.1:{ADMIN}/.well-known/jwks.json",
        "SHOP_GATEWAY_ISSUER": PUBLIC,
        "SHOP_ORDERS_CLIENT_SECRET": SECRET,
        "SHOP_STEP_PAUSE_MS": "700",
        "SHOP_EDITING": "1",
        "SHOP_WEBHOOK_URL": f"http://127.0.0.1:{GATEWAY}/bff/changes/catalog",
        "SHOP_WEBHOOK_SECRET": HOOK_SECRET,
        # In a demonstration, ten attempts a quarter of a minute apart would take too long.
        "SHOP_RETRY_CAP_SECONDS": "8",
        "SHOP_ATTENTION_ATTEMPTS": "5",
        "SHOP_ATTENTION_CAP_SECONDS": "8",
        **{
            f"SHOP_{name.upper()}_URL": f"http://127.0.0.1:{port}"
            for name, port in PORTS.items()
            if name != "identity"
        },
    }


def services(data: Path) -> tuple[Service, ...]:
    """All services. data: the folder of the sign-in's state."""
    sign_in = {
        "--port": str(PORTS["identity"]),
        "--issuer": ISSUER,
        "--public-url": PUBLIC,
        "--audience": "shop",
        "--people": str(PEOPLE),
        "--state": str(data / "sign-in.db"),
    }
    command = (
        sys.executable,
        "-m",
        "bff.cli.dev.sign_in",
        *(word for pair in sign_in.items() for word in pair),
    )
    return tuple(Service(name, port, command if name == "identity" else None) for name, port in PORTS.items())


def gateway_environment(redis_url: str) -> dict[str, str]:
    """The gateway's settings in the demo; the person's own BFF_… variables take precedence."""
    upstreams: dict[str, str] = {}
    for name, port in PORTS.items():
        if name != "identity":
            upstreams[f"BFF_UPSTREAMS__{name.upper()}__URL"] = f"http://127.0.0.1:{port}"
            upstreams[f"BFF_UPSTREAMS__{name.upper()}__IDENTITY"] = "internal"
    return {
        "BFF_PUBLIC_URL": PUBLIC,
        "BFF_PORT": str(GATEWAY),
        "BFF_ADMIN_PORT": str(ADMIN),
        "BFF_REDIS__URL": redis_url,
        # Another host name that resolves to this machine is refused (DNS rebinding).
        "BFF_HTTP__LINGER": "0",
        "BFF_HTTP__HOSTS": '["localhost", "127.0.0.1", "[::1]"]',
        "BFF_INTERNAL__KEYS": str(KEYS),
        "BFF_INTERNAL__ISSUER": PUBLIC,
        "BFF_ISSUERS": f'[{{"issuer": "{ISSUER}", "audience": "shop"}}]',
        "BFF_OIDC__ISSUER": ISSUER,
        "BFF_OIDC__CLIENT_ID": "bff",
        "BFF_OIDC__CLIENT_SECRET": SECRET,
        "BFF_OIDC__SCOPES": '["openid", "profile", "offline_access", "shop"]',
        "BFF_LIVE__STREAM_KEYS": '["events:orders:{p}", "events:inventory:{p}", "events:notifications:{p}"]',
        "BFF_WEBHOOKS__CATALOG__SECRET": HOOK_SECRET,
        "BFF_WEBHOOKS__CATALOG__SUBJECT": "entry.sku",
        # Screens wait half a second for the stock. A timeout counts as the service's failure from half of this one on.
        "BFF_UPSTREAMS__INVENTORY__TIMEOUT": "0.8",
        "BFF_TELEMETRY__LOG_LEVEL": "WARNING",
        **upstreams,
    }


async def _serve(fleet: Fleet, settings: Settings, store: embedded.Store) -> None:
    # Only the demo observes what the gateway does: the shop's own gateway needs no record of it.
    activity = Activity()
    observers = (*shop.extensions.observers, activity)
    shop.extensions = replace(shop.extensions, observers=observers)
    panel = Panel(fleet, shop, store, ISSUER, SECRET, activity)
    watch = asyncio.create_task(fleet.watch())
    try:
        await run(shop, settings, panel, ready=_say_open)
    finally:
        watch.cancel()
        await panel.close()


def _say_open() -> None:
    print(f"\n  Open {PUBLIC}\n  Ctrl-C ends it.\n", flush=True)


def main() -> int:
    """Start everything, serve, end everything; returns the exit code."""
    # A closed terminal ends the demo as Ctrl-C does, including the services.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    store: embedded.Store | None = None
    fleet: Fleet | None = None
    try:
        check_ports(
            {GATEWAY: "the gateway", ADMIN: "its admin port", **{port: name for name, port in PORTS.items()}}
        )
        print("Starting the shop:", flush=True)
        # At each start the key that was published ahead begins to sign.
        rotate(KEYS)
        store = embedded.start(HOME / "valkey", os.environ.get("REDIS_URL"))
        print(f"  ready  {'valkey':<13} {store.url}", flush=True)
        fleet = Fleet(services(HOME / "data"), service_environment(store.url, HOME / "data"), HOME / "logs")
        fleet.start()
        settings = settings_file.load({**gateway_environment(store.url), **os.environ})
        log_to_stderr(settings.telemetry)
        loop = uvicorn.Config(shop, loop="uvloop").get_loop_factory()
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(_serve(fleet, settings, store))
    except (CannotStart, DeclarationError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    finally:
        if fleet is not None:
            fleet.stop()
        if store is not None:
            store.stop()
    print("Ended.", flush=True)
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
