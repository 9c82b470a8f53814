"""The network as one value: the trust in certificates for targets without their own, and the proxy.

It is handed to whatever opens connections, so that upstreams, identity provider, brokers and traces follow one setting.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .proxy import Proxy
from .tls import TlsTrust, usual_trust


@dataclass(frozen=True, slots=True)
class Network:
    """trust: TLS with a target; proxy: for the hosts that it applies to, None: every connection is direct. The default
    is the usual authorities and no proxy."""

    trust: TlsTrust = field(default_factory=usual_trust)
    proxy: Proxy | None = None

    def with_trust(self, trust: TlsTrust | None) -> Network:
        """The same network with a target's own trust; None: unchanged."""
        return self if trust is None else replace(self, trust=trust)

    def proxy_for(self, host: str) -> Proxy | None:
        """The proxy that leads to this host; None: it is reached directly."""
        return self.proxy if self.proxy is not None and self.proxy.applies_to(host) else None
