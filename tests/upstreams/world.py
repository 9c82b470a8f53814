"""The demo's services as real processes for tests: their own ports and data, faults enabled, and a real Valkey.

`World` starts them all at once and lets a test kill, restart and disturb each. `identity` is the development sign-in
with the people of the demo.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from tests.conftest import ROOT, Program, Valkey, free_port, start_module, wait_for_port
from tests.sign_in_flow import CLIENT_SECRET, PUBLIC_URL, sign_in, start_sign_in

PEOPLE = ROOT / "web" / "shop" / "people.toml"
CLIENT_SECRETS = {"ORDERS_CLIENT_SECRET": CLIENT_SECRET, "OPERATOR_CLIENT_SECRET": CLIENT_SECRET}
SERVICES = ("identity", "catalog", "inventory", "payments", "shipping", "orders")
OPEN_STATUSES = ("PENDING", "RUNNING", "COMPENSATING", "NEEDS_ATTENTION")
# Sagas in tests retry quickly, and orders notices a held participant soon.
QUICK = {
    "RETRY_FIRST_SECONDS": "0.05",
    "RETRY_CAP_SECONDS": "0.4",
    "ATTENTION_CAP_SECONDS": "0.4",
    "CALL_SECONDS": "20",
    "FORWARD_SECONDS": "60",
}


def variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings of a service, by their names in capitals, as its environment has them."""
    return {f"SHOP_{name}": value for name, value in settings.items()}


class World:
    """All services, each a process on its own port, and the Valkey to which they publish.

    Synchronous on purpose: tests use it step by step, and threads do what must happen at the same time.

    `database_url_for` names the database of a service (None: its SQLite file). With `orders` above 1 there are that
    many orders processes on one database, called `orders`, `orders-1` and so on. `public_url` is the gateway's, to
    which people return from the sign-in.
    """

    def __init__(
        self,
        folder: Path,
        database_url_for: Callable[[str], str | None] | None = None,
        orders: int = 1,
        public_url: str = PUBLIC_URL,
        **settings: str,
    ) -> None:
        self.folder = folder
        self.public_url = public_url
        self.settings = {**QUICK, **settings}
        self.database_url_for = database_url_for
        self.orders = ["orders", *(f"orders-{n}" for n in range(1, orders))]
        self.names = [*SERVICES, *self.orders[1:]]
        self.ports = {name: free_port() for name in self.names}
        self.valkey = Valkey(folder / "valkey")
        self.programs: dict[str, Program] = {}
        self.http = httpx.Client(trust_env=False, timeout=60)
        self._tokens: dict[str, tuple[str, float]] = {}
        # Makes an internal token: for which person, for which service.
        self.vouch: Callable[[str, str], str] | None = None

    def __enter__(self) -> World:
        self.valkey.folder.mkdir(parents=True, exist_ok=True)
        self.valkey.start()
        try:
            for name in self.names:
                self._launch(name)
            for name in self.names:
                self.wait_ready(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for program in self.programs.values():
            program.kill()
        self.valkey.stop()
        self.http.close()

    # Processes

    def again(self, **settings: str) -> None:
        """Restart orders with these settings from now on, and without faults."""
        self.calm()
        self.settings = {**QUICK, **settings}
        self.stop("orders")
        self.start("orders")

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def orders_urls(self) -> list[str]:
        return [self.url(name) for name in self.orders]

    def _launch(self, name: str, **settings: str) -> None:
        service = "orders" if name in self.orders else name
        data = self.folder / service
        data.mkdir(exist_ok=True)
        if name == "identity":
            self.programs[name] = start_sign_in(
                self.ports[name],
                data,
                log=self.log(name),
                public_url=self.public_url,
                people=PEOPLE,
                audience="shop",
                env=CLIENT_SECRETS,
                **settings,
            )
            return
        database_url = self.database_url_for(service) if self.database_url_for else None
        env = {f"{other.upper()}_URL": self.url(other) for other in SERVICES}
        env |= {
            "PORT": str(self.ports[name]),
            "DATA_DIR": str(data),
            "REDIS_URL": self.valkey.url,
            "FAULTS": "1",
        }
        if database_url is not None:
            env["DATABASE_URL"] = database_url
        if name in self.orders[1:]:
            env["EXECUTOR_ID"] = name
        self.programs[name] = start_module(
            f"upstreams.{service}", log=self.log(name), env=variables({**env, **self.settings, **settings})
        )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def start(self, name: str, **settings: str) -> None:
        """Start a service again on its port with its data; `settings` are for this start."""
        self._launch(name, **settings)
        self.wait_ready(name)

    def wait_ready(self, name: str, seconds: float = 120) -> None:
        wait_for_port(self.ports[name], process=self.programs[name].process, seconds=seconds)
        eventually(lambda: self.http.get(f"{self.url(name)}/readyz").status_code == 200, seconds)

    def kill(self, name: str) -> None:
        self.programs[name].kill()

    def stop(self, name: str) -> float:
        """SIGTERM; returns the seconds it took."""
        began = time.monotonic()
        self.programs[name].stop()
        return time.monotonic() - began

    # Faults

    def faults(self, name: str, **plan: Any) -> None:
        self.http.put(f"{self.url(name)}/faults", json=plan).raise_for_status()

    def held(self, name: str) -> int:
        return int(self.http.get(f"{self.url(name)}/faults").json()["held"])

    def wait_held(self, name: str, count: int = 1) -> None:
        eventually(lambda: self.held(name) >= count)

    def release(self, name: str) -> None:
        self.http.post(f"{self.url(name)}/faults/release").raise_for_status()

    def calm(self, *names: str) -> None:
        """Remove all faults and release held requests."""
        for name in names or ("catalog", "inventory", "payments", "shipping"):
            if self.programs[name].process.poll() is None:
                self.http.delete(f"{self.url(name)}/faults").raise_for_status()

    # Tokens

    def owner(self, person: str) -> str:
        return f"{self.url('identity')}|{person}"

    def user_token(self, person: str) -> str:
        return self._kept(person, lambda: self._access_token(person))

    def _access_token(self, person: str) -> str:
        return str(sign_in(self.url("identity"), person, self.public_url)["access_token"])

    def service_token(self, client_id: str = "orders", scope: str = "saga") -> str:
        def asked() -> str:
            answer = self.http.post(
                f"{self.url('identity')}/token",
                data={"grant_type": "client_credentials", "scope": scope},
                auth=(client_id, CLIENT_SECRET),
            )
            return str(answer.raise_for_status().json()["access_token"])

        return self._kept(f"client:{client_id}", asked)

    def _kept(self, name: str, ask: Callable[[], str]) -> str:
        """A token for the next minute; tests may last longer than one token."""
        token, until = self._tokens.get(name, ("", 0.0))
        if until < time.monotonic():
            token = ask()
            self._tokens[name] = (token, time.monotonic() + 60)
        return token

    def operator(self) -> dict[str, str]:
        """The headers of an operator."""
        return {"Authorization": f"Bearer {self.service_token('operator', 'operator')}"}

    # Orders

    def bearer(self, person: str) -> dict[str, str]:
        """What orders accepts from a person: their own token, or an internal token of the gateway where there is
        one."""
        token = self.user_token(person) if self.vouch is None else self.vouch(self.owner(person), "orders")
        return {"Authorization": f"Bearer {token}"}

    def place(
        self,
        person: str = "ada",
        lines: Sequence[tuple[str, int]] = (("mug-01", 1),),
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        at: str = "orders",
    ) -> httpx.Response:
        return self.http.post(
            f"{self.url(at)}/orders",
            json={"lines": [{"sku": sku, "quantity": quantity} for sku, quantity in lines]},
            headers={
                **self.bearer(person),
                "Idempotency-Key": f'"{key or secrets.token_hex(8)}"',
                **(headers or {}),
            },
        )

    def order_id(self, *args: Any, **kwargs: Any) -> str:
        """Place an order that must be accepted; returns its id."""
        answer = self.place(*args, **kwargs)
        if answer.status_code != 202:
            raise AssertionError(f"not accepted: {answer.status_code} {answer.text}")
        return str(answer.json()["id"])

    def order(self, order_id: str, person: str = "ada", at: str = "orders") -> dict[str, Any]:
        answer = self.http.get(f"{self.url(at)}/orders/{order_id}", headers=self.bearer(person))
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def cancel(
        self,
        order_id: str,
        person: str = "ada",
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        return self.http.post(
            f"{self.url('orders')}/orders/{order_id}/cancel",
            headers={
                **self.bearer(person),
                "Idempotency-Key": f'"{key or secrets.token_hex(8)}"',
                **(headers or {}),
            },
        )

    def ended(
        self, order_id: str, person: str = "ada", seconds: float = 60, at: str = "orders"
    ) -> dict[str, Any]:
        """The order once it has ended."""
        eventually(lambda: self.order(order_id, person, at)["status"] not in OPEN_STATUSES, seconds)
        return self.order(order_id, person, at)

    # The operator

    def stuck(self, at: str = "orders") -> list[dict[str, Any]]:
        answer = self.http.get(f"{self.url(at)}/operations/stuck", headers=self.operator())
        found: list[dict[str, Any]] = answer.raise_for_status().json()["stuck"]
        return found

    def operate(
        self, order_id: str, operation: str, body: Mapping[str, str] | None = None, *, key: str | None = None
    ) -> httpx.Response:
        """`retry`, or `give-up` with a reason."""
        return self.http.post(
            f"{self.url('orders')}/operations/{order_id}/{operation}",
            json=dict(body or {}),
            headers={**self.operator(), "Idempotency-Key": f'"{key or secrets.token_hex(8)}"'},
        )

    def told(self, order_id: str, step: str, status: str = "RUNNING", attempt: int = 1) -> None:
        """Wait until the services have published this about the order."""

        def there() -> bool:
            return any(
                (event["data"]["status"], event["data"]["step"]) == (status, step)
                and event["data"]["attempt"] >= attempt
                for event in self.events(order_id)
            )

        eventually(there)

    # What the other services have

    def charges(self, order_id: str | None = None) -> list[dict[str, Any]]:
        """Every charge, or those of an order."""
        found = self._asked("payments", "/charges")["charges"]
        return [charge for charge in found if order_id in (None, charge["order_id"])]

    def shipments(self, order_id: str | None = None) -> list[dict[str, Any]]:
        """Every shipment, or those of an order."""
        found = self._asked("shipping", "/shipments")["shipments"]
        return [one for one in found if order_id in (None, one["order_id"])]

    def levels(self) -> dict[str, int]:
        """The available stock of each product."""
        return {level["sku"]: level["available"] for level in self._asked("inventory", "/stock")["levels"]}

    def stock(self, sku: str) -> int:
        return int(self._asked("inventory", f"/stock/{sku}")["available"])

    def _asked(self, name: str, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.service_token()}"}
        found: dict[str, Any] = (
            self.http.get(f"{self.url(name)}{path}", headers=headers).raise_for_status().json()
        )
        return found

    def published(self, order_id: str) -> list[dict[str, Any]]:
        """The events of an order that has ended, once its end is published: they come from an outbox, in order."""
        ends = ("COMPLETED", "COMPENSATED", "REJECTED")
        eventually(lambda: any(event["data"]["status"] in ends for event in self.events(order_id)))
        return self.events(order_id)

    def events(self, subject: str | None = None, service: str = "orders") -> list[dict[str, Any]]:
        """The events of a service's streams in the order of each stream; only those of one subject if named."""
        with Redis.from_url(self.valkey.url) as redis:
            found = [
                json.loads(fields[b"event"])
                for partition in range(16)
                for _, fields in redis.xrange(f"events:{service}:{partition}")
            ]
        return [event for event in found if subject in (None, event["subject"])]


def eventually(check: Callable[[], bool], seconds: float = 180) -> None:
    """Return once the check is true; AssertionError when it is not in time."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.02)
