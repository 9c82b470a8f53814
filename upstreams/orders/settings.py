"""Orders' settings, from the environment. Guarantees bounded times and a stable name for this process. Refuses a
waiting time that never ends. What a saga needs of them travels in its input, so an edit never changes a running
one."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, SecretStr
from sqlalchemy import make_url

from upstreams.kit import ShopSettings


class OrdersSettings(ShopSettings):
    """What orders reads beside the settings of every service."""

    service: ClassVar[str] = "orders"
    own_port: ClassVar[int] = 8106

    catalog_url: str = "http://localhost:8102"
    inventory_url: str = "http://localhost:8103"
    payments_url: str = "http://localhost:8104"
    shipping_url: str = "http://localhost:8105"
    orders_client_secret: SecretStr = SecretStr("demo-only-secret")
    engine_database_url: str | None = Field(
        None,
        description="the engine's own database (a synchronous SQLAlchemy URL); None: that of the orders if it is a "
        "server, else a SQLite file of its own in data_dir",
    )
    executor_id: str = Field(
        "orders-0", description="stable and unique for each process: it gets its sagas back"
    )
    executor_threads: int = Field(24, ge=4, le=64)
    step_pause_ms: int = Field(0, ge=0, le=60_000, description="wait before each step, so that people see it")
    call_seconds: float = Field(5.0, gt=0, le=60, description="the most one call to a participant may take")
    catalog_seconds: float = Field(2.0, gt=0, le=60, description="the most the prices may take")
    forward_seconds: float = Field(
        120.0, ge=0, le=86_400, description="how long a failing step is tried again"
    )
    retry_first_seconds: float = Field(
        0.5, gt=0, le=60, description="before the second attempt; then doubling"
    )
    retry_cap_seconds: float = Field(15.0, gt=0, le=3600, description="the longest wait between attempts")
    attention_attempts: int = Field(
        10, ge=1, description="a compensation that fails more often needs attention"
    )
    attention_seconds: float = Field(
        900.0,
        gt=0,
        description="a compensation that fails for longer, or an order without news for longer, needs attention",
    )
    attention_cap_seconds: float = Field(
        300.0,
        gt=0,
        le=86_400,
        description="the longest wait between attempts of a compensation that needs attention",
    )
    attempts_per_run: int = Field(
        50, ge=1, le=1000, description="a saga that goes on failing starts a new run after so many attempts"
    )
    orphan_recovery: bool | None = Field(
        None,
        description="finish the sagas of dead orders processes; None: when the engine's database is a server",
    )
    saga_retention_seconds: float = Field(
        7 * 86_400.0,
        gt=0,
        description="how long the engine's records of an ended saga are kept; the order itself stays",
    )
    lease_seconds: float = Field(
        3.0, ge=0.3, le=60, description="without a sign of life for so long, a process may be dead"
    )

    @property
    def recovers_orphans(self) -> bool:
        """Whether this process finishes the sagas of dead ones: a SQLite file has one process, and nobody to do it."""
        return (
            make_url(self.engine_url).get_backend_name() != "sqlite"
            if self.orphan_recovery is None
            else self.orphan_recovery
        )

    @property
    def engine_url(self) -> str:
        """The database of the saga engine.

        On a server it may be the application's (the engine keeps to a schema of its own); a SQLite file is never
        shared: two writers of that kind in one file lock each other out.
        """
        if self.engine_database_url is not None:
            return self.engine_database_url
        if (
            self.database_url is not None
            and (url := make_url(self.own_database_url)).get_backend_name() != "sqlite"
        ):
            return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=False)
        return f"sqlite:///{self.data_dir / 'orders-engine.db'}"
