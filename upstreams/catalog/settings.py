"""The catalog's settings, from the environment. Guarantees that nobody edits or is told unless it is asked for. Refuses
a webhook without a secret worth the name."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from upstreams.kit import ShopSettings


class CatalogSettings(ShopSettings):
    """What the catalog reads beside the settings of every service."""

    service: ClassVar[str] = "catalog"
    own_port: ClassVar[int] = 8102

    editing: bool = Field(False, description="serve the edit page; it asks nobody who they are")
    webhook_url: str | None = Field(None, description="told of each change; None: nobody is")
    webhook_secret: SecretStr | None = Field(None, description="signs what is told, at least 24 characters")

    @model_validator(mode="after")
    def _signed(self) -> Self:
        secret = self.webhook_secret.get_secret_value() if self.webhook_secret else ""
        if self.webhook_url is not None and len(secret) < 24:
            raise ValueError("SHOP_WEBHOOK_URL needs a SHOP_WEBHOOK_SECRET of at least 24 characters")
        return self
