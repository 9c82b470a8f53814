"""Settings, checked as a whole before anything starts: `gateway.py` has all of them and where they come from."""

from __future__ import annotations

from .gateway import (
    AdmissionSettings,
    IdempotencySettings,
    IssuerSettings,
    LimitSettings,
    LiveSettings,
    OidcSettings,
    RedisSettings,
    SessionSettings,
    Settings,
    TelemetrySettings,
    load,
)
from .sources import SettingsError

__all__ = [
    "AdmissionSettings",
    "IdempotencySettings",
    "IssuerSettings",
    "LimitSettings",
    "LiveSettings",
    "OidcSettings",
    "RedisSettings",
    "SessionSettings",
    "Settings",
    "SettingsError",
    "TelemetrySettings",
    "load",
]
