"""Settings of the sources of events other than Redis Streams, and of the sources of signed messages."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from .fields import Section, split
from .http import HeaderName
from .network import TlsSettings

_PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """The key of a webhook's secret. Raises ValueError when what follows `whsec_` is not Base64."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ is not Base64") from None


def _secret(value: SecretStr) -> SecretStr:
    key_of(value.get_secret_value())
    return value


def _scheme(*schemes: str) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        for one in value.get_secret_value().split(","):
            split(one.strip(), *schemes)
        return value

    return AfterValidator(check)


class SignedSettings(Section):
    """A source of signed messages (Standard Webhooks)."""

    secret: Annotated[SecretStr, AfterValidator(_secret)] = Field(min_length=24)
    """Secret shared with the source, at least 24 characters; one that begins with `whsec_` is Base64 after
    that."""
    window: float = Field(300.0, ge=1, le=3600)
    """Seconds that the time of a message may differ from ours."""


class WebhookSettings(SignedSettings):
    """A source, such as a headless CMS, that reports changes to `/bff/changes/<its name>`. A signed message takes
    effect once within its window; one with a token takes effect each time it is sent."""

    proof: Literal["signature", "token"] = "signature"
    """What proves who sent a message: `signature` (Standard Webhooks), or `token`, the secret itself in a header, for
    a source that cannot sign, such as Strapi. Whoever reads a token can send messages: use TLS."""
    header: HeaderName = "authorization"
    """With a token: the header whose value is the secret, or `Bearer` and the secret."""
    event: str = Field("event", min_length=1)
    """Where the kind of event is in the JSON body; dots separate steps."""
    events: tuple[str, ...] = ()
    """The kinds of events that change something; all others are accepted and have no effect. Empty: all
    change something."""
    tag: str = Field("model", min_length=1)
    """Where the tag is in the JSON body; dots separate steps. Strapi says `model`."""
    subject: str | None = "entry.documentId"
    """Where the name of the changed item is, which makes a second tag `<tag>/<subject>`; unset: nowhere."""

    @model_validator(mode="after")
    def _token_fits_a_header(self) -> Self:
        if self.proof == "token" and not re.fullmatch(r"[\x21-\x7e]+", self.secret.get_secret_value()):
            raise ValueError("the secret is sent in a header: use visible ASCII characters without blanks")
        return self


class EventSourceSettings(SignedSettings):
    """A source of CloudEvents over HTTP."""

    origins: tuple[Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")], ...] = ()
    """Names that may ask, as `WebHook-Request-Origin`, to deliver here (the handshake of CloudEvents' Web
    Hooks section 4), in lower case, such as `eventgrid.azure.net`; empty: none. Signed messages are accepted
    in any case."""
    rate: int = Field(6000, ge=1, le=6000)
    """Messages a minute that are granted at most, and that one address may send at most."""


class NatsSettings(Section):
    """A JetStream stream with events."""

    url: Annotated[SecretStr, _scheme("nats", "tls", "ws", "wss")]
    """Address of a server, or of several with commas between; may hold user and password."""
    stream: str = Field(min_length=1, max_length=200)
    """Name of the stream; it must keep messages for a while (retention by limits)."""
    subject: str | None = None
    """Only events of these subjects are read, for example `events.>`; unset: all of the stream."""
    timeout: float = Field(5.0, ge=0.1, le=60)
    """Seconds for connecting, and for one reply of the server."""
    tls: TlsSettings | None = None


class RabbitMqSettings(Section):
    """Durable queues with events; all events of one saga must go to the same one."""

    url: Annotated[SecretStr, _scheme("amqp", "amqps")]
    """amqp:// or amqps://, with user, password and virtual host."""
    queues: tuple[str, ...] = Field(min_length=1, max_length=64)
    """Names of the queues, which are made where they are missing. What a queue drops by its own limit is
    lost without notice."""
    exchange: str | None = None
    """Exchange to bind the queues to; unset: the gateway does not bind them."""
    keys: tuple[str, ...] = ("#",)
    """Routing keys of that binding."""
    timeout: float = Field(5.0, ge=0.1, le=60)
    """Seconds for connecting, and for one reply of the server."""
    tls: TlsSettings | None = None
