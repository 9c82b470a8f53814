"""Makes the network from its settings: the trust in certificates, the proxy, and the ways to the identity providers.

`Connections` owns what it made: `start` watches the files, `close` ends that.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ...calls import DeclarationError
from ...calls.shutdown import Closing
from ...network import Network, Proxy, TlsTrust
from ..access.fetch import FetchTarget
from ..settings import IssuerSettings, OidcSettings, Settings
from ..settings.network import NetworkSettings, TlsSettings


def target_trust(setting: str, target: str, tls: TlsSettings | None) -> TlsTrust | None:
    """The TLS settings of one target; None where none are set. setting: the section that has `tls`, for the message;
    target: its name in the log. Raises DeclarationError."""
    if tls is None:
        return None
    try:
        return TlsTrust(target, cert=tls.cert, key=tls.key, ca=tls.ca, look=tls.look)
    except ValueError as error:
        raise DeclarationError(f"{setting}__TLS: {error}") from None


def make_network(settings: NetworkSettings) -> Network:
    """The network of targets without TLS settings of their own. Raises DeclarationError."""
    try:
        trust = TlsTrust("every target", also=settings.ca, look=settings.look)
    except ValueError as error:
        raise DeclarationError(f"BFF_NETWORK__CA: {error}") from None
    return Network(trust, _proxy(settings))


def _proxy(settings: NetworkSettings) -> Proxy | None:
    if settings.proxy is None:
        return None

    def login() -> tuple[str, str] | None:
        user, password = settings.proxy_username, settings.proxy_password
        return None if user is None or password is None else (user, password.get_secret_value())

    return Proxy(settings.proxy, settings.no_proxy, login)


class Connections:
    """The network, and the trusts of single targets whose files are watched with it.

    network   for targets without TLS settings of their own
    trusts    every trust that was made, the network's first
    """

    def __init__(self, settings: NetworkSettings) -> None:
        self.network = make_network(settings)
        self.trusts = [self.network.trust]

    def to(self, setting: str, target: str, tls: TlsSettings | None) -> Network:
        """The network with the TLS settings of one target. Raises DeclarationError."""
        trust = target_trust(setting, target, tls)
        if trust is not None:
            self.trusts.append(trust)
        return self.network.with_trust(trust)

    def start(self) -> None:
        """Watch the files from now on."""
        for trust in self.trusts:
            trust.watch.start()

    def closings(self) -> list[Closing]:
        """What to close."""
        return [("the watch of certificates", trust.watch.close) for trust in self.trusts]


def fetch_targets(settings: Settings, connections: Connections) -> list[FetchTarget]:
    """How the addresses of issuers are reached that have an inner address or TLS settings of their own. Raises
    DeclarationError when two sections contradict each other."""
    found: dict[str, FetchTarget] = {}
    for setting, issuer in identity_providers(settings):
        if issuer.internal_url is None and issuer.tls is None:
            continue
        parts = urlsplit(issuer.issuer)
        origin = f"{parts.scheme}://{parts.netloc}"
        target = FetchTarget(
            origin, issuer.internal_url or origin, connections.to(setting, parts.netloc, issuer.tls)
        )
        known = found.setdefault(origin, target)
        if known is not target and known.inner != target.inner:
            raise DeclarationError(
                f"{setting}__INTERNAL_URL: {origin} has another internal_url in another section; give both the same"
            )
    return list(found.values())


def identity_providers(settings: Settings) -> Iterator[tuple[str, IssuerSettings | OidcSettings]]:
    """Every issuer of tokens and sign-ins, with the name of its section."""
    for name, oidc in settings.sign_ins.items():
        yield f"BFF_PROVIDERS__{name.upper()}" if name else "BFF_OIDC", oidc
    for number, issuer in enumerate(settings.issuers):
        yield f"BFF_ISSUERS__{number}", issuer
