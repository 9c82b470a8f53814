"""Settings of where events come from beside Redis Streams, and of who may send signed messages."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from .address import split

_PREFIX = "whsec_"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _secret(value: SecretStr) -> SecretStr:
    key_of(value.get_secret_value())
    return value


def key_of(secret: str) -> bytes:
    """The key a webhook's secret stands for. Raises ValueError when what follows `whsec_` is not Base64."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ is not Base64") from None


def _scheme(*schemes: str) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        for one in value.get_secret_value().split(","):
            split(one.strip(), *schemes)
        return value

    return AfterValidator(check)


class SignedSettings(_Section):
    """A source of signed messages (Standard Webhooks)."""

    secret: Annotated[SecretStr, AfterValidator(_secret)] = Field(min_length=24)
    """Secret shared with the source, at least 24 characters; one that begins with `whsec_` is Base64 after
    that."""
    window: float = Field(300.0, ge=1, le=3600)
    """Seconds that the time of a message may differ from ours."""


class EventSourceSettings(SignedSettings):
    """A source of CloudEvents over HTTP."""

    origins: tuple[Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")], ...] = ()
    """Names that may ask, as `WebHook-Request-Origin`, to deliver here (the handshake of CloudEvents' Web
    Hooks section 4), in lower case, such as `eventgrid.azure.net`; empty: nobody is granted anything, and
    signed messages are taken all the same."""
    rate: int = Field(6000, ge=1, le=6000)
    """Messages a minute that are granted at most, which is also what one address may send."""


class NatsSettings(_Section):
    """A JetStream stream with events."""

    url: Annotated[SecretStr, _scheme("nats", "tls", "ws", "wss")]
    """Address of a server, or of several with commas between; may hold user and password."""
    stream: str = Field(min_length=1, max_length=200)
    """Name of the stream; it must keep messages for a while (retention by limits)."""
    subject: str | None = None
    """Only events of these subjects are read, for example `events.>`; unset: all of the stream."""


class RabbitMqSettings(_Section):
    """Durable queues with events; all events of one saga must go to the same one."""

    url: Annotated[SecretStr, _scheme("amqp", "amqps")]
    """amqp:// or amqps://, with user, password and virtual host."""
    queues: tuple[str, ...] = Field(min_length=1, max_length=64)
    """Names of the queues, which are made where they are missing. What a queue drops by a limit of its own
    is lost without notice."""
    exchange: str | None = None
    """Exchange to bind the queues to; unset: somebody else binds them."""
    keys: tuple[str, ...] = ("#",)
    """Routing keys of that binding."""
