"""Settings of the network between the gateway and what it calls: certificate authorities, client certificates, and a
proxy for outgoing connections.

The proxy is set here and nowhere else: `HTTPS_PROXY` and its relatives in the environment are not used. SSL_CERT_FILE
and SSL_CERT_DIR are used, as OpenSSL does, in place of the usual certificate authorities.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from ...network.proxy import HOST_PATTERN
from .fields import Section, Url


def _proxy(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "http":
        raise ValueError("must be an address that begins with http://; a proxy is asked in plain HTTP")
    if parts.path:
        raise ValueError("must be an address without a path, such as http://proxy.corp:3128")
    return value


def _exception(value: str) -> str:
    text = value.strip().lower().removeprefix("*")
    if "/" in text and "://" not in text:
        try:
            ip_network(text)
        except ValueError:
            raise ValueError(
                f"{value!r} is not a network, such as 10.0.0.0/8: the bits after the prefix must be zero"
            ) from None
    elif not HOST_PATTERN.fullmatch(text):
        raise ValueError(
            f"{value!r} must be a host such as redis.corp, a suffix such as .corp, or a network such as 10.0.0.0/8; "
            "without scheme and port"
        )
    return text


def _origin(value: str) -> str:
    if urlsplit(value).path:
        raise ValueError(
            "must be scheme, host and port alone, such as http://keycloak:8080; paths stay as the issuer names them"
        )
    return value


Origin = Annotated[Url, AfterValidator(_origin)]
"""An address without a path."""


class TlsSettings(Section):
    """TLS with one target; files are PEM and are read again when they change, for connections opened from then on."""

    cert: Path | None = None
    """File with our certificate and its chain (PEM); unset: we present none."""
    key: Path | None = None
    """File with its key, unencrypted; with `cert` or not at all."""
    ca: Path | None = None
    """File with the only authorities that are trusted; unset: the usual ones, and those of `network.ca`."""
    look: float = Field(1.0, ge=0.05, le=3600)
    """Seconds between two looks at the files."""

    @model_validator(mode="after")
    def _a_pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together")
        return self


class NetworkSettings(Section):
    """How every outgoing connection is made: to the identity provider, upstreams, event brokers and the collector of
    traces. Redis has its own section, because no HTTP proxy leads to it."""

    ca: Path | None = None
    """File (PEM) with further certificate authorities that are trusted everywhere, beside the usual ones. The
    usual ones are those of SSL_CERT_FILE or SSL_CERT_DIR where the environment has them, else Mozilla's."""
    look: float = Field(1.0, ge=0.05, le=3600)
    """Seconds between two looks at these files."""
    proxy: Annotated[Url, AfterValidator(_proxy)] | None = None
    """Proxy for outgoing connections, such as `http://proxy.corp:3128`: CONNECT for https://, NATS and RabbitMQ, a
    request with the whole address for http://. Unset: none; `HTTPS_PROXY` of the environment is not used."""
    proxy_username: str | None = Field(None, min_length=1)
    """User at the proxy (basic authentication), without a colon."""
    proxy_password: SecretStr | None = None
    """That user's password."""
    no_proxy: tuple[Annotated[str, AfterValidator(_exception)], ...] = Field((), max_length=200)
    """Hosts that are reached without the proxy: names, suffixes such as `.svc.cluster.local`, and networks
    such as `10.0.0.0/8`, which are compared with addresses, not with what names stand for. This machine
    (`localhost`, 127.0.0.0/8, ::1) is always one."""
    discovery_timeout: float = Field(2.0, ge=0.1, le=30)
    """Seconds for one document of an identity provider: discovery, keys."""
    token_timeout: float = Field(10.0, ge=0.1, le=60)
    """Seconds for one answer of a token endpoint. A late answer may hold the only refresh token that is still
    valid, so do not shorten it without need."""

    @model_validator(mode="after")
    def _credentials(self) -> Self:
        if (self.proxy_username is None) != (self.proxy_password is None):
            raise ValueError("proxy_username and proxy_password go together")
        if self.proxy is None and (self.proxy_username is not None or self.no_proxy):
            raise ValueError("proxy_username, proxy_password and no_proxy say nothing without proxy; set it")
        if self.proxy_username is not None and ":" in self.proxy_username:
            raise ValueError("proxy_username holds a colon, which basic authentication cannot express")
        if self.proxy_password is not None and not _is_latin(
            f"{self.proxy_username}{self.proxy_password.get_secret_value()}"
        ):
            raise ValueError("proxy_username and proxy_password can have characters of Latin-1 alone")
        return self


def _is_latin(text: str) -> bool:
    return all(letter <= "\xff" for letter in text)
