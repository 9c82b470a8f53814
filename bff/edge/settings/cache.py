"""Settings of what is kept: how much of it, and who outside may say that it has changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from .events import SignedSettings


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CacheSettings(_Section):
    """Answers of calls declared `fresh`.

    max_bytes  of all answers kept in one process; the least recently used go first. 0: none are
    max_entry  bytes of one answer; a larger one is not kept
    redis      whether answers are kept in Redis, too, for every gateway (their changes are told through it anyway)
    wait       seconds Redis may take to be asked; slower counts as away
    aside      fetches at once that nobody waits for, and a quarter as many writes to Redis
    followers  requests that may wait for one identical call under way; the next one sends another
    """

    max_bytes: int = Field(64_000_000, ge=0, le=10_000_000_000)
    max_entry: int = Field(1_000_000, ge=1_000, le=100_000_000)
    redis: bool = True
    wait: float = Field(0.1, gt=0, le=1)
    aside: int = Field(64, ge=0, le=10_000)
    followers: int = Field(1_000, ge=0, le=100_000)


class WebhookSettings(SignedSettings):
    """A source, such as a headless CMS, that tells at `/bff/changes/<its name>` what has changed. A message is taken
    once within its window.

    tag      where in its JSON body the tag is, steps parted by dots: Strapi says `model`
    subject  where the changed one's own name is, which gives a second tag `<tag>/<subject>`; None: nowhere
    """

    tag: str = Field("model", min_length=1)
    subject: str | None = "entry.documentId"
