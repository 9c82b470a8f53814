"""What every room that opens connections shares: trust in certificates, the proxy, and files that may change."""

from __future__ import annotations

from .file_watcher import FileWatcher, Fingerprint, fingerprint
from .network import Network
from .proxy import Proxy, ProxyRefused, open_connection
from .tls import TlsTrust, usual_trust

__all__ = [
    "FileWatcher",
    "Fingerprint",
    "Network",
    "Proxy",
    "ProxyRefused",
    "TlsTrust",
    "fingerprint",
    "open_connection",
    "usual_trust",
]
