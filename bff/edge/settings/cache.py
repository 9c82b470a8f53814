"""Settings of what is kept: how much of it, and who outside may say that it has changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from .events import SignedSettings


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CacheSettings(_Section):
    """Answers of calls declared `fresh`."""

    max_bytes: int = Field(64_000_000, ge=0, le=10_000_000_000)
    """Bytes of all answers cached in one process; the least recently used go first. 0: none are cached."""
    max_entry: int = Field(1_000_000, ge=1_000, le=100_000_000)
    """Bytes of one answer at most; a larger one is not cached."""
    redis: bool = True
    """Whether answers are cached in Redis, too, for every gateway. Invalidations go through Redis either
    way."""
    wait: float = Field(0.1, gt=0, le=1)
    """Seconds that a look into Redis may take; slower counts as away."""
    aside: int = Field(64, ge=0, le=10_000)
    """Detached fetches at once, and a quarter as many writes to Redis."""
    followers: int = Field(1_000, ge=0, le=100_000)
    """Requests that may wait for one identical call under way; the next one sends another."""


class WebhookSettings(SignedSettings):
    """A source, such as a headless CMS, that tells at `/bff/changes/<its name>` what has changed. A message is taken
    once within its window.
    """

    tag: str = Field("model", min_length=1)
    """Where the tag is in the JSON body; dots separate steps. Strapi says `model`."""
    subject: str | None = "entry.documentId"
    """Where the name of the changed item is, which makes a second tag `<tag>/<subject>`; unset: nowhere."""
